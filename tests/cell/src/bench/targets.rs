//! The controllers of a measurement: plain threads, so that they cost little and wait for nothing of ours.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use tokio::sync::Notify;

/// Bytes read or written at once.
const PIECE: usize = 64 * 1024;

/// What a target does on each of its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Sends back what it receives.
    Echo,
    /// Only receives.
    Sink,
    /// Sends as many bytes as the eight that it receives say, again and again.
    Flood,
    /// Reads nothing before it is told to.
    Silent,
}

impl Kind {
    /// All of them.
    pub(super) const ALL: [Kind; 4] = [Kind::Echo, Kind::Sink, Kind::Flood, Kind::Silent];

    /// The service that leads to it.
    pub(super) fn service(self) -> &'static str {
        match self {
            Kind::Echo => "echo",
            Kind::Sink => "sink",
            Kind::Flood => "flood",
            Kind::Silent => "silent",
        }
    }
}

/// One target of each kind.
pub(super) struct Targets {
    addresses: [SocketAddr; 4],
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Bytes that sinks have taken.
    taken: AtomicU64,
    /// How many of them somebody waits for.
    goal: AtomicU64,
    reached: Notify,
    /// Whether the silent ones read.
    reads: Mutex<bool>,
    changed: Condvar,
}

impl Targets {
    /// Starts them; they end with the process.
    pub(super) fn start() -> io::Result<Targets> {
        let shared = Arc::new(Shared::default());
        let mut addresses = Vec::new();
        for kind in Kind::ALL {
            let listener = TcpListener::bind(("127.0.0.1", 0))?;
            addresses.push(listener.local_addr()?);
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || {
                for socket in listener.incoming().flatten() {
                    let shared = Arc::clone(&shared);
                    // A connection that ends in an error is over like any other.
                    std::thread::spawn(move || serve(kind, socket, &shared));
                }
            });
        }
        let addresses = addresses
            .try_into()
            .map_err(|_| io::Error::other("one address for each kind"))?;
        Ok(Targets { addresses, shared })
    }

    /// Where the target of this kind listens.
    pub(super) fn address(&self, kind: Kind) -> SocketAddr {
        match kind {
            Kind::Echo => self.addresses[0],
            Kind::Sink => self.addresses[1],
            Kind::Flood => self.addresses[2],
            Kind::Silent => self.addresses[3],
        }
    }

    /// From now on `count` bytes are waited for.
    pub(super) fn expect(&self, count: u64) {
        let taken = self.shared.taken.load(Ordering::SeqCst);
        self.shared.goal.store(taken + count, Ordering::SeqCst);
    }

    /// Waits until the sinks have taken what is expected.
    pub(super) async fn taken(&self) {
        loop {
            let reached = self.shared.reached.notified();
            if self.shared.is_reached() {
                return;
            }
            reached.await;
        }
    }

    /// The silent ones read from now on, or do not.
    pub(super) fn let_silent_read(&self, reads: bool) {
        *lock(&self.shared.reads) = reads;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn is_reached(&self) -> bool {
        self.taken.load(Ordering::SeqCst) >= self.goal.load(Ordering::SeqCst)
    }
}

fn serve(kind: Kind, mut socket: TcpStream, shared: &Shared) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut piece = vec![0; PIECE];
    match kind {
        Kind::Echo => loop {
            let count = socket.read(&mut piece)?;
            if count == 0 {
                return Ok(());
            }
            socket.write_all(&piece[..count])?;
        },
        Kind::Sink => loop {
            let count = socket.read(&mut piece)?;
            if count == 0 {
                return Ok(());
            }
            shared.taken.fetch_add(count as u64, Ordering::SeqCst);
            if shared.is_reached() {
                shared.reached.notify_one();
            }
        },
        Kind::Flood => loop {
            let mut wanted = [0; 8];
            socket.read_exact(&mut wanted)?;
            let mut left = usize::try_from(u64::from_be_bytes(wanted)).unwrap_or(usize::MAX);
            while left > 0 {
                let count = left.min(PIECE);
                socket.write_all(&piece[..count])?;
                left -= count;
            }
        },
        Kind::Silent => {
            let mut reads = lock(&shared.reads);
            while !*reads {
                let waited = shared.changed.wait(reads);
                reads = waited.unwrap_or_else(PoisonError::into_inner);
            }
            drop(reads);
            while socket.read(&mut piece)? > 0 {}
            Ok(())
        }
    }
}

fn lock(mutex: &Mutex<bool>) -> std::sync::MutexGuard<'_, bool> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
