// SPDX-License-Identifier: MIT OR Apache-2.0
//! An NBD client of a few lines, for what no decent client sends. Written from the protocol, not from the server.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

pub(crate) const GO: u32 = 7;
pub(crate) const STRUCTURED_REPLY: u32 = 8;
pub(crate) const SET_META_CONTEXT: u32 = 10;

pub(crate) const READ: u16 = 0;
pub(crate) const WRITE: u16 = 1;
pub(crate) const DISCONNECT: u16 = 2;
pub(crate) const FLUSH: u16 = 3;
pub(crate) const TRIM: u16 = 4;
pub(crate) const WRITE_ZEROES: u16 = 6;
pub(crate) const BLOCK_STATUS: u16 = 7;

pub(crate) struct Raw(pub(crate) UnixStream);

impl Raw {
    /// Connected and greeted, flags answered.
    pub(crate) fn greeted(socket: &Path) -> Self {
        let mut raw = Self::silent(socket);
        raw.send(&3_u32.to_be_bytes());
        raw
    }

    /// Connected and greeted, nothing sent.
    pub(crate) fn silent(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut raw = Self(stream);
        assert_eq!(&raw.receive(18)[..16], b"NBDMAGICIHAVEOPT");
        raw
    }

    /// Ready to send requests, with simple replies.
    pub(crate) fn open(socket: &Path, export: &str) -> Self {
        let mut raw = Self::greeted(socket);
        raw.go(export);
        raw
    }

    pub(crate) fn go(&mut self, export: &str) {
        let mut payload = (export.len() as u32).to_be_bytes().to_vec();
        payload.extend(export.as_bytes());
        payload.extend([0, 0]);
        self.option(GO, &payload);
        while self.option_reply().0 != 1 {}
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    pub(crate) fn option(&mut self, option: u32, payload: &[u8]) {
        let mut message = b"IHAVEOPT".to_vec();
        message.extend(option.to_be_bytes());
        message.extend((payload.len() as u32).to_be_bytes());
        message.extend(payload);
        self.send(&message);
    }

    /// Kind and payload of one reply.
    pub(crate) fn option_reply(&mut self) -> (u32, Vec<u8>) {
        let header = self.receive(20);
        assert_eq!(header[..8], 0x0003_e889_0455_65a9_u64.to_be_bytes());
        let kind = u32::from_be_bytes(header[12..16].try_into().unwrap());
        let length = u32::from_be_bytes(header[16..].try_into().unwrap());
        (kind, self.receive(length as usize))
    }

    pub(crate) fn request(&mut self, command: u16, flags: u16, cookie: u64, offset: u64, length: u32) {
        let mut message = 0x2560_9513_u32.to_be_bytes().to_vec();
        message.extend(flags.to_be_bytes());
        message.extend(command.to_be_bytes());
        message.extend(cookie.to_be_bytes());
        message.extend(offset.to_be_bytes());
        message.extend(length.to_be_bytes());
        self.send(&message);
    }

    /// Cookie and error number of a simple reply.
    pub(crate) fn simple_reply(&mut self) -> (u64, u32) {
        let reply = self.receive(16);
        assert_eq!(reply[..4], 0x6744_6698_u32.to_be_bytes());
        let error = u32::from_be_bytes(reply[4..8].try_into().unwrap());
        (u64::from_be_bytes(reply[8..].try_into().unwrap()), error)
    }

    /// Kind and payload of a chunk, which must be the last of its reply.
    pub(crate) fn chunk(&mut self) -> (u16, Vec<u8>) {
        let header = self.receive(20);
        assert_eq!(header[..4], 0x668e_33ef_u32.to_be_bytes());
        assert_eq!(header[4..6], [0, 1], "not the last chunk");
        let length = u32::from_be_bytes(header[16..].try_into().unwrap());
        (u16::from_be_bytes([header[6], header[7]]), self.receive(length as usize))
    }

    /// One request and the error number of its simple reply.
    pub(crate) fn error_of(&mut self, command: u16, flags: u16, offset: u64, length: u32) -> u32 {
        self.request(command, flags, 99, offset, length);
        let (cookie, error) = self.simple_reply();
        assert_eq!(cookie, 99);
        if command == READ && error == 0 {
            self.receive(length as usize);
        }
        error
    }

    pub(crate) fn receive(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Whether the server has closed the connection; reads away what was still to come.
    pub(crate) fn closed(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Ok(_) => true,
            Err(why) => why.kind() == io::ErrorKind::ConnectionReset,
        }
    }
}
