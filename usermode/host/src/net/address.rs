// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where the host listens. Neither protocol authenticates its clients, so the kernel must: a unix socket has
//! permissions, loopback at least keeps other machines out, and everything else is refused.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// Connections that wait in the kernel until they are accepted.
const BACKLOG: i32 = 128;

/// An address to listen on, or that is listened on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A unix socket; the file is made with mode 0600.
    Unix(PathBuf),
    /// TCP; only loopback addresses can be bound. Port 0 takes any free one.
    Tcp(SocketAddr),
}

impl FromStr for Address {
    type Err = io::Error;

    /// Accepts `unix:PATH`, an absolute PATH, `tcp:HOST:PORT` and `HOST:PORT`.
    fn from_str(text: &str) -> io::Result<Self> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self::Unix(path.into()));
        }
        if text.starts_with('/') {
            return Ok(Self::Unix(text.into()));
        }
        let host_and_port = text.strip_prefix("tcp:").unwrap_or(text);
        let mut found = host_and_port.to_socket_addrs().map_err(|why| {
            let hint = "expected unix:PATH, an absolute path, or a loopback HOST:PORT";
            io::Error::new(io::ErrorKind::InvalidInput, format!("address '{text}': {why}; {hint}"))
        })?;
        let first = found.next();
        let address = first.ok_or_else(|| io::Error::other(format!("address '{text}' resolves to nothing")))?;
        Ok(Self::Tcp(address))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp:{address}"),
        }
    }
}

/// A listening socket.
#[derive(Debug)]
pub struct Endpoint {
    address: Address,
    socket: OwnedFd,
    /// Present for a unix socket: the file, removed on drop.
    _file: Option<BoundSocket>,
}

impl Endpoint {
    /// Starts to listen.
    ///
    /// # Errors
    /// `InvalidInput` for a TCP address that is not loopback; `AddrInUse` where another process listens; what the
    /// system says otherwise. Each names the address.
    pub fn bind(address: &Address) -> io::Result<Self> {
        let bound = match address {
            Address::Unix(path) => Self::bind_unix(path),
            Address::Tcp(address) => Self::bind_tcp(*address),
        };
        bound.map_err(|why| io::Error::new(why.kind(), format!("cannot listen on {address}: {why}")))
    }

    fn bind_unix(path: &Path) -> io::Result<Self> {
        remove_stale(path)?;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        // On Linux the file takes its mode from the unbound socket; a chmod after bind would leave a gap in which
        // anybody could connect.
        rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
        rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
        let file = BoundSocket::of(path)?;
        rustix::net::listen(&socket, BACKLOG)?;
        Ok(Self { address: Address::Unix(path.into()), socket, _file: Some(file) })
    }

    fn bind_tcp(address: SocketAddr) -> io::Result<Self> {
        if !address.ip().is_loopback() {
            let why = "clients are not authenticated, so only loopback addresses (127.0.0.1, ::1) are served; \
                       use a unix socket or an ssh tunnel";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        Ok(Self { address: Address::Tcp(address), socket: listener.into(), _file: None })
    }

    /// The address in use, with the real port where 0 was asked for.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }
}

impl AsFd for Endpoint {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A socket file that goes away with its listener, unless somebody has put another file there meanwhile.
#[derive(Debug)]
pub struct BoundSocket {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl BoundSocket {
    fn of(path: &Path) -> io::Result<Self> {
        let file = std::fs::symlink_metadata(path)?;
        Ok(Self { path: path.into(), device: file.dev(), inode: file.ino() })
    }
}

impl Drop for BoundSocket {
    fn drop(&mut self) {
        let ours = std::fs::symlink_metadata(&self.path)
            .is_ok_and(|file| file.dev() == self.device && file.ino() == self.inode);
        if ours {
            // Nothing can be done about a failure, and the next start removes a stale socket.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Removes a socket that a killed process left behind. Anything that is alive, or no socket, stays.
fn remove_stale(path: &Path) -> io::Result<()> {
    let file = match std::fs::symlink_metadata(path) {
        Ok(file) => file,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(why) => return Err(why),
    };
    if !file.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file that is no socket is in the way"));
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another process serves there")),
        Err(why) if why.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        Err(why) => Err(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_local_addresses_are_bound() {
        for remote in ["0.0.0.0:0", "[::]:0", "[::ffff:127.0.0.1]:0", "192.0.2.1:10809"] {
            let why = Endpoint::bind(&remote.parse().unwrap()).unwrap_err();
            assert_eq!(why.kind(), io::ErrorKind::InvalidInput, "{remote}");
            assert!(why.to_string().contains("loopback"), "{why}");
        }
        let bound = Endpoint::bind(&"tcp:127.0.0.1:0".parse().unwrap()).unwrap();
        assert!(matches!(bound.address(), Address::Tcp(address) if address.port() != 0));
    }

    #[test]
    fn addresses_parse() {
        assert_eq!("unix:a/b".parse::<Address>().unwrap(), Address::Unix("a/b".into()));
        assert_eq!("/run/x".parse::<Address>().unwrap().to_string(), "unix:/run/x");
        assert!("nonsense".parse::<Address>().unwrap_err().to_string().contains("'nonsense'"));
    }

    #[test]
    fn unix_socket_is_private_replaces_a_dead_one_and_removes_itself() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let address = Address::Unix(path.clone());

        let first = Endpoint::bind(&address).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(Endpoint::bind(&address).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(first);
        assert!(!path.exists());

        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "std leaves the file of a dead listener behind");
        drop(Endpoint::bind(&address).unwrap());

        std::fs::write(&path, "precious").unwrap();
        assert_eq!(Endpoint::bind(&address).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    }
}
