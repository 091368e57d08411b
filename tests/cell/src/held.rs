//! Ports that stay ours while nobody listens on them.
//!
//! A listener that goes away for a moment gives its port back to the system, which may give it to an outgoing connection
//! of anybody. So a second socket holds the port and never listens: whoever connects meanwhile is refused.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;

use tokio::net::{TcpListener, TcpSocket};

/// A port that is held until this is dropped.
#[derive(Debug)]
pub struct HeldPort {
    address: SocketAddr,
    _socket: TcpSocket,
}

impl HeldPort {
    /// Holds the port of a listener that was [`bound`] here; port 0 takes a free one.
    ///
    /// # Errors
    /// When somebody else has it.
    pub fn new(address: SocketAddr) -> io::Result<Self> {
        let socket = bound(address)?;
        Ok(Self {
            address: socket.local_addr()?,
            _socket: socket,
        })
    }

    /// Which it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Ends a listener at once, for everybody. To drop it is not enough: a program that is just being started has a copy of
/// each descriptor until it becomes itself, and the kernel would go on accepting.
pub fn close(listener: TcpListener) {
    // A socket that cannot be shut down is closed as ever.
    if let Ok(listener) = listener.into_std() {
        let _ = TcpStream::from(OwnedFd::from(listener)).shutdown(Shutdown::Both);
    }
}

/// A socket with this address that does not listen yet; others of this test may have the same.
///
/// # Errors
/// When somebody else has it.
pub fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    Ok(socket)
}
