//! Addresses where nobody answers.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

/// A SYN on loopback is answered within this, or not at all until it is sent again.
const UNANSWERED: Duration = Duration::from_millis(200);

/// Connections tried until the queue must be full. It takes two or three.
const MOST_FILLERS: usize = 64;

/// A port that refuses every connection, and that nobody else can take meanwhile.
#[derive(Debug)]
pub struct RefusingPort {
    address: SocketAddr,
    /// Bound, not listening.
    _socket: TcpSocket,
}

impl RefusingPort {
    /// Takes a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When no port is free.
    pub fn new() -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        Ok(Self {
            address: socket.local_addr()?,
            _socket: socket,
        })
    }

    /// Where it refuses.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A port that does not answer: its queue is full, so that the system drops every SYN.
#[derive(Debug)]
pub struct BlackHole {
    address: SocketAddr,
    listener: TcpListener,
    fillers: Vec<TcpStream>,
}

impl BlackHole {
    /// Takes a free port of 127.0.0.1 and fills its queue.
    ///
    /// # Errors
    /// When no port is free, or the queue does not fill.
    pub async fn new() -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let listener = socket.listen(0)?;
        let address = listener.local_addr()?;
        let mut fillers = Vec::new();
        while fillers.len() < MOST_FILLERS {
            match timeout(UNANSWERED, TcpStream::connect(address)).await {
                Ok(filler) => fillers.push(filler?),
                Err(_) => {
                    return Ok(Self {
                        address,
                        listener,
                        fillers,
                    });
                }
            }
        }
        Err(io::Error::other(
            "the queue of the black hole does not fill",
        ))
    }

    /// Where nobody answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers from now on: gives a listener whose first connections are those that filled the queue.
    pub fn open(self) -> TcpListener {
        drop(self.fillers);
        self.listener
    }
}
