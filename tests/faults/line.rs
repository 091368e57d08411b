//! The way from the gateway to a host: a relay on this machine that stands still or is cut.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use cell::held::{HeldPort, bound, close};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// What the way does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// It carries every byte.
    Open,
    /// Bytes wait where they are, and an end too, also on new connections. None is lost: TCP would send it again.
    Still,
    /// Connections end by an RST on both sides, and new ones are refused.
    Cut,
}

/// A relay to one address. Dropping it ends its connections.
#[derive(Debug)]
pub(crate) struct Line {
    held: HeldPort,
    way: watch::Sender<Way>,
    task: JoinHandle<()>,
}

impl Line {
    pub(crate) fn new(host: SocketAddr) -> Line {
        let held = HeldPort::new((Ipv4Addr::LOCALHOST, 0).into());
        let held = held.expect("a free port");
        let address = held.address();
        let listener = listen(address).expect("it is held");
        let (way, watched) = watch::channel(Way::Open);
        let task = tokio::spawn(accept(listener, address, host, watched));
        Line { held, way, task }
    }

    /// Where the agent finds the host.
    pub(crate) fn port(&self) -> u16 {
        self.held.address().port()
    }

    pub(crate) fn turn(&self, way: Way) {
        self.way.send_replace(way);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    bound(address)?.listen(64)
}

/// Accepts while the way is not cut.
async fn accept(
    listener: TcpListener,
    address: SocketAddr,
    host: SocketAddr,
    mut way: watch::Receiver<Way>,
) {
    let mut connections = JoinSet::new();
    let mut listener = Some(listener);
    loop {
        let cut = *way.borrow_and_update() == Way::Cut;
        if cut {
            if let Some(listener) = listener.take() {
                close(listener);
            }
        } else if listener.is_none() {
            listener = listen(address).ok();
        }
        let accepted = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Ok((near, _)) = accepted => { connections.spawn(carry(near, host, way.clone())); }
            Some(_) = connections.join_next() => {}
            changed = way.changed() => if changed.is_err() { return },
        }
    }
}

/// Carries one connection to its end.
async fn carry(mut near: TcpStream, host: SocketAddr, mut way: watch::Receiver<Way>) {
    let _ = near.set_nodelay(true);
    let moves = way.wait_for(|way| *way != Way::Still).await.map(|way| *way);
    let far = match moves {
        Ok(Way::Open | Way::Still) => TcpStream::connect(host).await,
        Ok(Way::Cut) | Err(_) => Err(io::ErrorKind::ConnectionReset.into()),
    };
    let Ok(mut far) = far else {
        let _ = near.set_zero_linger();
        return;
    };
    let _ = far.set_nodelay(true);
    let cut = {
        let (near_reads, near_writes) = near.split();
        let (far_reads, far_writes) = far.split();
        let up = pass(near_reads, far_writes, way.clone());
        let down = pass(far_reads, near_writes, way.clone());
        let both = async { tokio::join!(up, down) };
        tokio::select! {
            _ = both => false,
            cut = way.wait_for(|way| *way == Way::Cut) => cut.is_ok(),
        }
    };
    if cut {
        let _ = near.set_zero_linger();
        let _ = far.set_zero_linger();
    }
}

/// Passes bytes and their end on in one direction, while the way is open.
async fn pass(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, mut way: watch::Receiver<Way>) {
    let mut piece = vec![0; 16_384];
    loop {
        let read = from.read(&mut piece).await;
        let open = way.wait_for(|way| *way == Way::Open).await.is_ok();
        match read {
            Ok(length) if open && length > 0 => {
                if to.write_all(&piece[..length]).await.is_err() {
                    return;
                }
            }
            Ok(_) | Err(_) => {
                let _ = to.shutdown().await;
                return;
            }
        }
    }
}
