// SPDX-License-Identifier: MIT OR Apache-2.0
//! Numbers and fixed layouts of the NBD protocol, from its published description (`doc/proto.md`).
//! Everything on the wire is big-endian.

use zerocopy::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

/// "NBDMAGIC", the server's first eight bytes.
pub(super) const NBD_MAGIC: u64 = 0x4e42_444d_4147_4943;
/// "IHAVEOPT", before every option and in the greeting.
pub(super) const OPTION_MAGIC: u64 = 0x4948_4156_454f_5054;
pub(super) const OPTION_REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;
pub(super) const REQUEST_MAGIC: u32 = 0x2560_9513;
pub(super) const SIMPLE_REPLY_MAGIC: u32 = 0x6744_6698;
pub(super) const CHUNK_MAGIC: u32 = 0x668e_33ef;

/// Greeting and client flags: both sides know newstyle with replies to options.
pub(super) const FIXED_NEWSTYLE: u16 = 1;
/// Greeting and client flags: no 124 zeros after EXPORT_NAME.
pub(super) const NO_ZEROES: u16 = 2;

/// Options of the negotiation.
pub(super) mod option {
    pub(crate) const EXPORT_NAME: u32 = 1;
    pub(crate) const ABORT: u32 = 2;
    pub(crate) const LIST: u32 = 3;
    pub(crate) const INFO: u32 = 6;
    pub(crate) const GO: u32 = 7;
    pub(crate) const STRUCTURED_REPLY: u32 = 8;
    pub(crate) const LIST_META_CONTEXT: u32 = 9;
    pub(crate) const SET_META_CONTEXT: u32 = 10;
}

/// Kinds of replies to an option; errors have the top bit.
pub(super) mod answer {
    pub(crate) const ACK: u32 = 1;
    pub(crate) const SERVER: u32 = 2;
    pub(crate) const INFO: u32 = 3;
    pub(crate) const META_CONTEXT: u32 = 4;
    pub(crate) const ERR_UNSUPPORTED: u32 = (1 << 31) + 1;
    pub(crate) const ERR_POLICY: u32 = (1 << 31) + 2;
    pub(crate) const ERR_INVALID: u32 = (1 << 31) + 3;
    pub(crate) const ERR_UNKNOWN: u32 = (1 << 31) + 6;
}

/// Information items of INFO and GO.
pub(super) mod info {
    pub(crate) const EXPORT: u16 = 0;
    pub(crate) const NAME: u16 = 1;
    pub(crate) const DESCRIPTION: u16 = 2;
    pub(crate) const BLOCK_SIZE: u16 = 3;
}

/// What an export can do, sent with its size.
pub(super) mod export_flag {
    pub(crate) const HAS_FLAGS: u16 = 1 << 0;
    pub(crate) const READ_ONLY: u16 = 1 << 1;
    pub(crate) const SEND_FLUSH: u16 = 1 << 2;
    pub(crate) const SEND_FUA: u16 = 1 << 3;
    pub(crate) const SEND_TRIM: u16 = 1 << 5;
    pub(crate) const SEND_WRITE_ZEROES: u16 = 1 << 6;
    pub(crate) const SEND_DF: u16 = 1 << 7;
    pub(crate) const CAN_MULTI_CONN: u16 = 1 << 8;
}

/// Commands of the transmission phase.
pub(super) mod command {
    pub(crate) const READ: u16 = 0;
    pub(crate) const WRITE: u16 = 1;
    pub(crate) const DISCONNECT: u16 = 2;
    pub(crate) const FLUSH: u16 = 3;
    pub(crate) const TRIM: u16 = 4;
    pub(crate) const WRITE_ZEROES: u16 = 6;
    pub(crate) const BLOCK_STATUS: u16 = 7;
}

/// Flags of a command.
pub(super) mod command_flag {
    /// Durable before the reply; allowed on every command, also where it means nothing.
    pub(crate) const FUA: u16 = 1 << 0;
    pub(crate) const NO_HOLE: u16 = 1 << 1;
    pub(crate) const DONT_FRAGMENT: u16 = 1 << 2;
    pub(crate) const ONE_EXTENT: u16 = 1 << 3;
}

/// Kinds of chunks of a structured reply.
pub(super) mod chunk {
    pub(crate) const NONE: u16 = 0;
    pub(crate) const OFFSET_DATA: u16 = 1;
    pub(crate) const BLOCK_STATUS: u16 = 5;
    pub(crate) const ERROR: u16 = (1 << 15) + 1;
    /// Flag: the last chunk of the reply.
    pub(crate) const DONE: u16 = 1;
}

/// The one metadata context that we know.
pub(super) const BASE_ALLOCATION: &str = "base:allocation";
/// Our number for it; any would do.
pub(super) const BASE_ALLOCATION_ID: u32 = 1;
pub(super) const STATE_HOLE: u32 = 1;
pub(super) const STATE_ZERO: u32 = 2;

/// An export name is at most this long, by the protocol.
pub(super) const MAX_STRING: usize = 4096;

#[derive(IntoBytes, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Greeting {
    pub magic: U64,
    pub option_magic: U64,
    pub flags: U16,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct OptionHeader {
    pub magic: U64,
    pub option: U32,
    pub length: U32,
}

#[derive(IntoBytes, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct OptionReply {
    pub magic: U64,
    pub option: U32,
    pub kind: U32,
    pub length: U32,
}

#[derive(IntoBytes, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct ExportInfo {
    pub kind: U16,
    pub size: U64,
    pub flags: U16,
}

#[derive(IntoBytes, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct BlockSizeInfo {
    pub kind: U16,
    pub minimum: U32,
    pub preferred: U32,
    pub maximum: U32,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct RequestHeader {
    pub magic: U32,
    pub flags: U16,
    pub command: U16,
    /// The client's name for the request; goes back unchanged.
    pub cookie: U64,
    pub offset: U64,
    pub length: U32,
}

#[derive(IntoBytes, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct SimpleReply {
    pub magic: U32,
    pub error: U32,
    pub cookie: U64,
}

#[derive(IntoBytes, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct ChunkHeader {
    pub magic: U32,
    pub flags: U16,
    pub kind: U16,
    pub cookie: U64,
    pub length: U32,
}

#[derive(IntoBytes, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct StatusDescriptor {
    pub length: U32,
    pub state: U32,
}

/// Reads one of the structures above.
pub(super) fn read<T: FromZeros + FromBytes + IntoBytes>(from: &mut impl std::io::Read) -> std::io::Result<T> {
    let mut value = T::new_zeroed();
    from.read_exact(value.as_mut_bytes())?;
    Ok(value)
}
