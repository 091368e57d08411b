//! The port of the controller: accepting, and refusing without giving the port away.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::state::Shared;
use super::terminal;

/// To refuse connections or to accept them again.
pub(super) struct Order {
    pub(super) refuse: bool,
    pub(super) done: oneshot::Sender<io::Result<()>>,
}

/// The listening port.
pub(super) struct Listener {
    address: SocketAddr,
    receive_buffer: Option<u32>,
    port: Port,
}

enum Port {
    Accepting(TcpListener),
    /// Bound and not listening: the system refuses connections, and nobody else can get the port.
    Refusing(TcpSocket),
    /// The system did not give the port back; connections are refused.
    Lost,
}

/// How many connections may wait for their acceptance.
const BACKLOG: u32 = 64;

impl Listener {
    pub(super) fn bind(receive_buffer: Option<u32>) -> io::Result<Self> {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = bound(any, receive_buffer)?.listen(BACKLOG)?;
        Ok(Self {
            address: listener.local_addr()?,
            receive_buffer,
            port: Port::Accepting(listener),
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts until the controller is dropped; its terminals end with it.
    pub(super) async fn run(mut self, shared: Arc<Shared>, mut orders: mpsc::Receiver<Order>) {
        let mut terminals = JoinSet::new();
        loop {
            tokio::select! {
                order = orders.recv() => {
                    let Some(Order { refuse, done }) = order else { return };
                    let switched = if refuse { self.refuse() } else { self.accept_again() };
                    // Whoever asked may have stopped waiting; the order holds all the same.
                    let _ = done.send(switched);
                }
                accepted = self.port.accept() => {
                    // A failed accept is the peer's fault or a lack of descriptors; the next may do.
                    let Ok((stream, peer)) = accepted else { continue };
                    let number = shared.open_record(peer);
                    terminals.spawn(terminal::serve(stream, Arc::clone(&shared), number));
                }
                Some(_) = terminals.join_next() => {}
            }
        }
    }

    fn refuse(&mut self) -> io::Result<()> {
        if let Port::Refusing(_) = self.port {
            return Ok(());
        }
        // The listening socket has to go first: two cannot have one address.
        self.port = Port::Lost;
        self.port = Port::Refusing(bound(self.address, self.receive_buffer)?);
        Ok(())
    }

    fn accept_again(&mut self) -> io::Result<()> {
        let socket = match std::mem::replace(&mut self.port, Port::Lost) {
            Port::Refusing(socket) => socket,
            Port::Lost => bound(self.address, self.receive_buffer)?,
            accepting @ Port::Accepting(_) => {
                self.port = accepting;
                return Ok(());
            }
        };
        self.port = Port::Accepting(socket.listen(BACKLOG)?);
        Ok(())
    }
}

impl Port {
    /// The next connection; never, while it refuses.
    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        match self {
            Self::Accepting(listener) => listener.accept().await,
            Self::Refusing(_) | Self::Lost => std::future::pending().await,
        }
    }
}

fn bound(address: SocketAddr, receive_buffer: Option<u32>) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    if let Some(bytes) = receive_buffer {
        // Accepted sockets inherit it.
        socket.set_recv_buffer_size(bytes)?;
    }
    socket.bind(address)?;
    Ok(socket)
}
