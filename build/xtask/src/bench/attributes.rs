// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the counting file system says of its files and of its only folder.

use std::{fs::File, io, os::unix::fs::MetadataExt, time::UNIX_EPOCH};

use fuser::{FileAttr, FileType, INodeNo};

/// Those of a file.
pub(super) fn attributes(number: INodeNo, file: &File) -> io::Result<FileAttr> {
    let metadata = file.metadata()?;
    Ok(FileAttr {
        ino: number,
        size: metadata.len(),
        blocks: metadata.blocks(),
        kind: FileType::RegularFile,
        perm: 0o600,
        nlink: 1,
        ..folder_attributes()
    })
}

/// Those of the folder.
pub(super) fn folder_attributes() -> FileAttr {
    FileAttr {
        ino: INodeNo::ROOT,
        size: 0,
        blocks: 0,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: FileType::Directory,
        perm: 0o700,
        nlink: 2,
        uid: rustix::process::getuid().as_raw(),
        gid: rustix::process::getgid().as_raw(),
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}
