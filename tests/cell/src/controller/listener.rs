//! The port of the controller: accepting, and refusing without giving the port away.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::state::Shared;
use super::terminal;
use crate::held::{HeldPort, bound, close};

/// To refuse connections or to accept them again.
pub(super) struct Order {
    pub(super) refuse: bool,
    pub(super) done: oneshot::Sender<io::Result<()>>,
}

/// The listening port.
pub(super) struct Listener {
    held: HeldPort,
    receive_buffer: Option<u32>,
    /// None while it refuses.
    listening: Option<TcpListener>,
}

/// How many connections may wait for their acceptance.
const BACKLOG: u32 = 64;

impl Listener {
    pub(super) fn bind(receive_buffer: Option<u32>) -> io::Result<Self> {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut listener = Self {
            held: HeldPort::new(any)?,
            receive_buffer,
            listening: None,
        };
        listener.accept_again()?;
        Ok(listener)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.held.address()
    }

    /// Accepts until the controller is dropped; its terminals end with it.
    pub(super) async fn run(mut self, shared: Arc<Shared>, mut orders: mpsc::Receiver<Order>) {
        let mut terminals = JoinSet::new();
        loop {
            tokio::select! {
                order = orders.recv() => {
                    let Some(Order { refuse, done }) = order else { return };
                    let switched = if refuse {
                        if let Some(listener) = self.listening.take() {
                            close(listener);
                        }
                        Ok(())
                    } else {
                        self.accept_again()
                    };
                    // Whoever asked may have stopped waiting; the order holds all the same.
                    let _ = done.send(switched);
                }
                accepted = self.accept() => {
                    // A failed accept is the peer's fault or a lack of descriptors; the next may do.
                    let Ok((stream, peer)) = accepted else { continue };
                    let number = shared.open_record(peer);
                    terminals.spawn(terminal::serve(stream, Arc::clone(&shared), number));
                }
                Some(_) = terminals.join_next() => {}
            }
        }
    }

    fn accept_again(&mut self) -> io::Result<()> {
        if self.listening.is_none() {
            let socket = bound(self.held.address())?;
            if let Some(bytes) = self.receive_buffer {
                // Accepted sockets inherit it.
                socket.set_recv_buffer_size(bytes)?;
            }
            self.listening = Some(socket.listen(BACKLOG)?);
        }
        Ok(())
    }

    /// The next connection; never, while it refuses.
    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        match &self.listening {
            Some(listener) => listener.accept().await,
            None => std::future::pending().await,
        }
    }
}
