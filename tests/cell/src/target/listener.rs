//! A target that listens.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::TcpMaxSeg;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::behaviour::{Behaviour, Connection, Then};
use super::record::{Record, Records};

/// The receive buffer of a target that reads slowly or not at all, bytes. The system doubles it. Small, so that its
/// slowness is felt after kilobytes and not after megabytes.
const SLOW_RECEIVE_BUFFER: u32 = 8_192;

/// The send buffer of such a target, bytes, so that one that sends without end is not taken megabytes by its own system.
const SLOW_SEND_BUFFER: u32 = 65_536;

/// The segments that such a target is sent, bytes: those of Ethernet. With the loopback's of 64 KiB the kernel of whoever
/// sends keeps megabytes for it.
const SLOW_SEGMENT: u32 = 1_460;

/// A listening target. Dropping it ends its connections.
#[derive(Debug)]
pub struct Target {
    address: SocketAddr,
    records: Records,
    paused: watch::Sender<bool>,
    orders: watch::Sender<Then>,
    task: JoinHandle<()>,
}

impl Target {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When no port is free.
    pub fn start(behaviour: Behaviour) -> io::Result<Self> {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into(), behaviour)
    }

    /// Listens on a free port of 127.0.0.1, and reads nothing before it is resumed.
    ///
    /// # Errors
    /// When no port is free.
    pub fn start_paused(behaviour: Behaviour) -> io::Result<Self> {
        Self::listen((Ipv4Addr::LOCALHOST, 0).into(), behaviour, true)
    }

    /// Listens on an address.
    ///
    /// # Errors
    /// When somebody else has it.
    pub fn start_at(address: SocketAddr, behaviour: Behaviour) -> io::Result<Self> {
        Self::listen(address, behaviour, behaviour == Behaviour::Silent)
    }

    fn listen(address: SocketAddr, behaviour: Behaviour, paused: bool) -> io::Result<Self> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.set_reuseaddr(true)?;
        if paused || matches!(behaviour, Behaviour::Slow { .. }) {
            socket.set_recv_buffer_size(SLOW_RECEIVE_BUFFER)?;
            socket.set_send_buffer_size(SLOW_SEND_BUFFER)?;
            setsockopt(&socket, TcpMaxSeg, &SLOW_SEGMENT)?;
        }
        socket.bind(address)?;
        let listener = socket.listen(128)?;
        let address = listener.local_addr()?;
        let records = Records::default();
        let (paused, hold) = watch::channel(paused);
        let (orders, incoming) = watch::channel(Then::Stay);
        let task = tokio::spawn(accept(listener, behaviour, records.clone(), hold, incoming));
        Ok(Self {
            address,
            records,
            paused,
            orders,
            task,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops reading, on every connection.
    pub fn pause(&self) {
        self.paused.send_replace(true);
    }

    /// Reads again.
    pub fn resume(&self) {
        self.paused.send_replace(false);
    }

    /// Ends its connections, and those that come yet. One that closes goes on reading, until the agent has closed too.
    pub fn end(&self, how: Then) {
        self.orders.send_replace(how);
    }

    /// Its connections so far, in the order in which they were accepted.
    pub fn connections(&self) -> Vec<Record> {
        self.records.all()
    }

    /// Waits until its connections fit, and gives them.
    ///
    /// # Errors
    /// When they do not within `limit`; names them as they are.
    pub async fn wait(
        &self,
        fits: impl Fn(&[Record]) -> bool,
        limit: Duration,
    ) -> Result<Vec<Record>, String> {
        self.records.wait(fits, limit).await
    }

    /// Waits until connection `place`, from 0, was accepted.
    ///
    /// # Errors
    /// When it was not within `limit`.
    pub async fn wait_open(&self, place: usize, limit: Duration) -> Result<Record, String> {
        let all = self.wait(|all| all.len() > place, limit).await?;
        Ok(all[place].clone())
    }

    /// Waits until connection `place`, from 0, has received at least so many bytes.
    ///
    /// # Errors
    /// When it has not within `limit`.
    pub async fn wait_received(
        &self,
        place: usize,
        bytes: u64,
        limit: Duration,
    ) -> Result<Record, String> {
        let enough = |all: &[Record]| {
            all.get(place)
                .is_some_and(|record| record.received >= bytes)
        };
        Ok(self.wait(enough, limit).await?[place].clone())
    }

    /// Waits until connection `place`, from 0, has ended.
    ///
    /// # Errors
    /// When it has not within `limit`.
    pub async fn wait_ended(&self, place: usize, limit: Duration) -> Result<Record, String> {
        let ended = |all: &[Record]| all.get(place).is_some_and(|record| record.ended.is_some());
        Ok(self.wait(ended, limit).await?[place].clone())
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(
    listener: TcpListener,
    behaviour: Behaviour,
    records: Records,
    paused: watch::Receiver<bool>,
    orders: watch::Receiver<Then>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((socket, peer)) = accepted else { continue };
                // A target is quick; what is measured is the agent.
                let _ = socket.set_nodelay(true);
                let connection = Connection {
                    behaviour,
                    place: records.open(peer),
                    records: records.clone(),
                    paused: paused.clone(),
                    orders: orders.clone(),
                };
                connections.spawn(connection.run(socket));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}
