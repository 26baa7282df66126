// SPDX-License-Identifier: MIT OR Apache-2.0
//! Owner, rights and attributes of the files, as Windows has them (spec section 1.1), in the form that ntfs-3g takes
//! as extended attributes.

use std::os::fd::AsFd;

use rustix::fs::{XattrFlags, fsetxattr};

/// Hidden, System.
const DIRECTORY_ATTRIBUTES: u32 = 0x06;
/// Hidden, System, Archive.
const FILE_ATTRIBUTES: u32 = 0x26;

/// S-1-5-32-544, the administrators.
const ADMINISTRATORS: [u8; 16] = [1, 2, 0, 0, 0, 0, 0, 5, 0x20, 0, 0, 0, 0x20, 2, 0, 0];
/// S-1-5-18, the local system.
const SYSTEM: [u8; 12] = [1, 1, 0, 0, 0, 0, 0, 5, 0x12, 0, 0, 0];

/// Rights: everything.
const FULL_CONTROL: u32 = 0x001f_01ff;
/// Rights: DELETE.
const DELETE: u32 = 0x0001_0000;

/// What is being protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `System Volume Information`: full control for the system.
    Directory,
    /// A store or the catalogue: administrators may delete it, nobody may open it.
    File,
}

/// Gives an open file or directory of an ntfs-3g mount its owner, rights and attributes.
pub(super) fn protect(file: impl AsFd, kind: Kind) -> std::io::Result<()> {
    let (descriptor, attributes) = match kind {
        Kind::Directory => (descriptor(FULL_CONTROL, &SYSTEM), DIRECTORY_ATTRIBUTES),
        Kind::File => (descriptor(DELETE, &ADMINISTRATORS), FILE_ATTRIBUTES),
    };
    fsetxattr(&file, "system.ntfs_acl", &descriptor, XattrFlags::empty())?;
    fsetxattr(&file, "system.ntfs_attrib_be", &attributes.to_be_bytes(), XattrFlags::empty())?;
    Ok(())
}

/// A self-relative security descriptor: owner administrators, group system, one ACE that allows `rights` to `sid`.
///
/// [MS-DTYP] 2.4.6: revision 1, control SE_SELF_RELATIVE | SE_DACL_PRESENT, offsets of owner, group, SACL (none) and
/// DACL; 2.4.5: ACL revision 2; 2.4.4.2: ACCESS_ALLOWED_ACE, type 0.
fn descriptor(rights: u32, sid: &[u8]) -> Vec<u8> {
    const HEADER: u32 = 20;
    let ace_size = 8 + sid.len() as u16;
    let acl_size = 8 + ace_size;
    let owner = HEADER + u32::from(acl_size);
    let group = owner + ADMINISTRATORS.len() as u32;
    let mut bytes = vec![1, 0];
    bytes.extend(0x8004_u16.to_le_bytes());
    for offset in [owner, group, 0, HEADER] {
        bytes.extend(offset.to_le_bytes());
    }
    bytes.extend([2, 0]);
    for field in [acl_size, 1, 0] {
        bytes.extend(field.to_le_bytes());
    }
    bytes.extend([0, 0]);
    bytes.extend(ace_size.to_le_bytes());
    bytes.extend(rights.to_le_bytes());
    bytes.extend(sid);
    bytes.extend(ADMINISTRATORS);
    bytes.extend(SYSTEM);
    bytes
}
