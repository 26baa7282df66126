// SPDX-License-Identifier: MIT OR Apache-2.0
//! The folder with the control sockets, `NAME.sock` for each host, so that clients find all hosts of a user.
//!
//! `$VSSHOST_RUNTIME_DIR`, else `/run/vsshost` for root, else `$XDG_RUNTIME_DIR/vsshost`, else `/tmp/vsshost-UID`.
//! The last one lies where anybody may create files, so it is used only if it is a folder of this user that nobody
//! else can write to; the same is asked of the others.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Bytes in a host's name: a socket's path has 107 in all.
const LONGEST_NAME: usize = 40;

/// Where the sockets are.
#[must_use]
pub fn folder() -> PathBuf {
    let user = rustix::process::geteuid();
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(folder) = variable("VSSHOST_RUNTIME_DIR") {
        return folder;
    }
    if user.is_root() {
        return "/run/vsshost".into();
    }
    match variable("XDG_RUNTIME_DIR") {
        Some(folder) => folder.join("vsshost"),
        None => format!("/tmp/vsshost-{}", user.as_raw()).into(),
    }
}

/// The socket of the host called `name`, in a folder that is made if it is not there.
///
/// # Errors
/// `InvalidInput` for a name that is no good as a file's; else what the system says, with the path.
pub fn socket(name: &str) -> io::Result<PathBuf> {
    check_name(name)?;
    let folder = folder();
    DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(|why| at(&folder, &why))?;
    check_private(&folder)?;
    Ok(folder.join(format!("{name}.sock")))
}

/// The sockets that there are, in the order of their names; also dead ones.
///
/// # Errors
/// As [`socket`]; a folder that does not exist is an empty one.
pub fn sockets() -> io::Result<Vec<PathBuf>> {
    let folder = folder();
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(why) => return Err(at(&folder, &why)),
    };
    check_private(&folder)?;
    let mut sockets = Vec::new();
    for entry in entries {
        let path = entry.map_err(|why| at(&folder, &why))?.path();
        if path.extension().is_some_and(|extension| extension == "sock") {
            sockets.push(path);
        }
    }
    sockets.sort();
    Ok(sockets)
}

/// Letters, digits, `.`, `_` and `-`, not starting with a dot.
fn check_name(name: &str) -> io::Result<()> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.is_empty() || name.len() > LONGEST_NAME || name.starts_with('.') || !name.bytes().all(plain) {
        let rule = format!("1 to {LONGEST_NAME} letters, digits, '.', '_' or '-', not starting with '.'");
        let message = format!("'{}' is no name for a host: {rule}", name.escape_debug());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    Ok(())
}

/// Nobody else may put a socket there: whoever can is the one we would take orders from, or give orders to.
fn check_private(folder: &Path) -> io::Result<()> {
    let found = std::fs::symlink_metadata(folder).map_err(|why| at(folder, &why))?;
    let ours = found.uid() == rustix::process::geteuid().as_raw();
    if !found.is_dir() || !ours || found.mode() & 0o022 != 0 {
        let rule = "not a folder of this user that only they can write to";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("{}: {rule}", folder.display())));
    }
    Ok(())
}

fn at(path: &Path, why: &io::Error) -> io::Error {
    io::Error::new(why.kind(), format!("{}: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_hosts_cannot_leave_the_folder() {
        for good in ["data", "disk-1.img", "_"] {
            check_name(good).unwrap();
        }
        for bad in ["", ".", "..", ".hidden", "a/b", "a b", "ä", &"x".repeat(41)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_folder_that_others_can_write_to_is_not_trusted() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        check_private(folder.path()).unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o770)).unwrap();
        assert_eq!(check_private(folder.path()).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        let link = tempfile::tempdir().unwrap().keep().join("link");
        std::os::unix::fs::symlink("/", &link).unwrap();
        assert!(check_private(&link).is_err());
        std::fs::remove_dir_all(link.parent().unwrap()).unwrap();
    }
}
