// SPDX-License-Identifier: MIT OR Apache-2.0
//! What stat shows for the directory and its files.

use super::tree::Node;
use fuser::{FileAttr, FileType, INodeNo};
use std::time::{Duration, SystemTime};

/// How long the kernel may keep names and attributes. They do not change while a file exists, and its removal is told
/// to the kernel; the limit heals what a lost message would leave behind.
pub(super) const LIFETIME: Duration = Duration::from_secs(60);

/// A good size for one read or write, in bytes.
const PREFERRED_IO: u32 = 1 << 20;

/// Who owns what is shown: the user that the host runs as.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner {
    uid: u32,
    gid: u32,
    mounted: SystemTime,
}

impl Owner {
    pub(super) fn current() -> Self {
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        Self { uid, gid, mounted: SystemTime::now() }
    }

    pub(super) fn directory(&self) -> FileAttr {
        FileAttr { kind: FileType::Directory, perm: 0o555, nlink: 2, ..self.attributes(1, 0, self.mounted) }
    }

    pub(super) fn file(&self, node: &Node) -> FileAttr {
        let perm = if node.read_only { 0o444 } else { 0o600 };
        FileAttr { perm, ..self.attributes(node.ino, node.size, node.added) }
    }

    fn attributes(&self, ino: u64, size: u64, time: SystemTime) -> FileAttr {
        FileAttr {
            ino: INodeNo(ino),
            size,
            // No fewer than the size has: programs take a file with fewer for one with holes and go looking for them.
            blocks: size.div_ceil(512),
            atime: time,
            mtime: time,
            ctime: time,
            crtime: time,
            kind: FileType::RegularFile,
            perm: 0,
            nlink: 1,
            uid: self.uid,
            gid: self.gid,
            rdev: 0,
            blksize: PREFERRED_IO,
            flags: 0,
        }
    }
}
