//! The listening sockets and the connections they took.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::{Bind, Hub, ServiceOptions, handshake};
use crate::held::{HeldPort, bound, close};

const BACKLOG: u32 = 128;

/// Between two tries to accept after one failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Whether to listen, and where to say that it is done.
pub(super) struct Wish {
    pub(super) wanted: bool,
    pub(super) answer: oneshot::Sender<io::Result<()>>,
}

/// One or two sockets on the same port.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    v4: Option<TcpListener>,
    v6: Option<TcpListener>,
}

impl Sockets {
    pub(super) fn port(&self) -> io::Result<u16> {
        let socket = self.v4.as_ref().or(self.v6.as_ref());
        let socket = socket.ok_or_else(|| io::Error::other("the service has no socket"))?;
        Ok(socket.local_addr()?.port())
    }

    /// Keeps the port from others while nobody listens.
    fn hold(&self) -> io::Result<Vec<HeldPort>> {
        let sockets = self.v4.iter().chain(&self.v6);
        sockets
            .map(|socket| HeldPort::new(socket.local_addr()?))
            .collect()
    }

    async fn accept(&self) -> io::Result<TcpStream> {
        let (accepted, _) = match (&self.v4, &self.v6) {
            (Some(v4), Some(v6)) => tokio::select! {
                accepted = v4.accept() => accepted?,
                accepted = v6.accept() => accepted?,
            },
            (Some(one), None) | (None, Some(one)) => one.accept().await?,
            (None, None) => std::future::pending().await,
        };
        Ok(accepted)
    }
}

/// Binds what the options ask for.
pub(super) fn bind(options: &ServiceOptions, port: u16) -> io::Result<Sockets> {
    let v4 = match options.bind {
        Bind::V4 | Bind::Both => Some(bind_one((Ipv4Addr::LOCALHOST, port).into(), options)?),
        Bind::V6 => None,
    };
    let port = match &v4 {
        Some(socket) => socket.local_addr()?.port(),
        None => port,
    };
    let v6 = match options.bind {
        Bind::V6 | Bind::Both => Some(bind_one((Ipv6Addr::LOCALHOST, port).into(), options)?),
        Bind::V4 => None,
    };
    Ok(Sockets { v4, v6 })
}

fn bind_one(address: SocketAddr, options: &ServiceOptions) -> io::Result<TcpListener> {
    let socket = bound(address)?;
    if let Some(bytes) = options.receive_buffer {
        // Set before listen: accepted sockets inherit it, and the window is agreed on in the first packets.
        socket.set_recv_buffer_size(bytes)?;
    }
    socket.listen(BACKLOG)
}

/// Accepts until it is dropped, and with it every connection.
pub(super) async fn run(
    hub: Arc<Hub>,
    sockets: Sockets,
    port: u16,
    mut wishes: mpsc::UnboundedReceiver<Wish>,
) {
    let mut connections = JoinSet::new();
    // Where it fails the port may be lost when the service listens again, which says so.
    let _held = sockets.hold();
    let mut sockets = sockets;
    loop {
        tokio::select! {
            accepted = sockets.accept() => {
                match accepted {
                    Ok(tcp) => {
                        connections.spawn(handshake::serve(Arc::clone(&hub), tcp));
                    }
                    // Out of file descriptors, most likely: trying at once would only burn the processor.
                    Err(_) => sleep(ACCEPT_PAUSE).await,
                }
            }
            Some(_) = connections.join_next() => {}
            wish = wishes.recv() => {
                let Some(Wish { wanted, answer }) = wish else { return };
                let listens = sockets.port().is_ok();
                let outcome = if wanted && !listens {
                    bind(&hub.options, port).map(|bound| sockets = bound)
                } else {
                    if !wanted {
                        let Sockets { v4, v6 } = std::mem::take(&mut sockets);
                        v4.into_iter().chain(v6).for_each(close);
                    }
                    Ok(())
                };
                // Whoever asked may have given up.
                let _ = answer.send(outcome);
            }
        }
    }
}
