// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every structure of the format, from bytes and to bytes.

use core::{
    fmt::{self, Write},
    hint::black_box,
};

use ondisk::{
    BitmapBlock, BlockHeader, BlockList, BlockType, CatalogBlock, CatalogEntry, ChainGuard, Descriptor, FormatError,
    Guid, Range, RangeList, StoreHeader, Structure, VolumeHeader, WideString, bitmap, store_file_name,
};

/// The volume header and the block header, there and back.
#[unsafe(no_mangle)]
pub fn probe_headers(bytes: &[u8], at: u64, kind: BlockType) -> Result<(), FormatError> {
    if let Some(header) = VolumeHeader::parse(bytes)? {
        black_box(header.to_bytes());
    }
    black_box(BlockHeader::parse(bytes, at, kind)?.to_bytes());
    Ok(())
}

/// A catalog block with its entries, as far down its chain as it may go.
#[unsafe(no_mangle)]
pub fn probe_catalog(bytes: &[u8], at: u64, most: u64) -> Result<(), FormatError> {
    let mut guard = ChainGuard::new(most, Structure::Catalog);
    let block = CatalogBlock::parse(bytes, at)?;
    guard.visit(block.header().next)?;
    for (index, offset, entry) in block.entries() {
        black_box((index, offset, entry?.to_bytes()));
    }
    black_box(CatalogEntry::parse(bytes, at)?.to_bytes());
    Ok(())
}

/// The blocks of a store.
#[unsafe(no_mangle)]
pub fn probe_store(bytes: &[u8], at: u64, out: &mut [u8]) -> Result<(), FormatError> {
    let header = StoreHeader::parse(bytes, at)?;
    header.to_block(out)?;
    for (index, descriptor) in BlockList::parse(bytes, at)?.descriptors() {
        black_box((index, descriptor?.map(|descriptor| descriptor.to_bytes())));
    }
    for (index, range) in RangeList::parse(bytes, at)?.ranges() {
        black_box((index, range?.to_bytes()));
    }
    let payload = BitmapBlock::parse(bytes, at)?.payload();
    black_box(bitmap::get(payload, at));
    black_box((Descriptor::parse(bytes, at)?, Range::parse(bytes, at)?));
    Ok(())
}

/// Names and strings.
#[unsafe(no_mangle)]
pub fn probe_names(text: &str, bytes: &[u8], guid: &Guid) -> usize {
    let made = WideString::try_from_str(text).and_then(|string| string.try_clone()).map_or(0, |s| s.as_bytes().len());
    let read = WideString::try_from_bytes(bytes).map_or(0, |string| string.as_bytes().len());
    let parsed = usize::from(text.parse::<Guid>().is_ok());
    made ^ read ^ parsed ^ store_file_name(guid).as_str().len()
}

/// An error in a driver's log.
#[unsafe(no_mangle)]
pub fn probe_error_text(error: &FormatError, out: &mut dyn Write) -> fmt::Result {
    write!(out, "{error}")
}
