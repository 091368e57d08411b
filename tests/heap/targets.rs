//! Controllers that are as bad, or as quick, as a scene needs them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// Bytes read or written at once.
const PIECE: usize = 16 * 1024;

/// Bytes that the kernel takes in for one that reads nothing; it doubles it.
const SMALL: u32 = 4096;

/// A target may take this long for what a scene waits for.
const LIMIT: Duration = Duration::from_secs(60);

/// What a target does on each of its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Sends back what it receives, until the agent ends it.
    Echo,
    /// Sends back the first byte, and ends.
    Brief,
    /// Only receives.
    Sink,
    /// Sends without end, and receives nothing before it may.
    Deaf,
}

/// A target that listens until it is dropped.
pub(crate) struct Target {
    address: SocketAddr,
    may_read: watch::Sender<bool>,
    counts: Arc<Counts>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Counts {
    accepted: AtomicU64,
    ended: AtomicU64,
    received: AtomicU64,
}

impl Target {
    /// On a free port.
    pub(crate) fn start(manner: Manner) -> Target {
        Target::start_at(Ipv4Addr::LOCALHOST, manner)
    }

    /// On a free port of this address.
    pub(crate) fn start_at(address: Ipv4Addr, manner: Manner) -> Target {
        let listener = listen(address, manner).expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let (may_read, hold) = watch::channel(manner != Manner::Deaf);
        let counts = Arc::new(Counts::default());
        let counting = Arc::clone(&counts);
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                counting.accepted.fetch_add(1, Ordering::SeqCst);
                let (counts, hold) = (Arc::clone(&counting), hold.clone());
                tokio::spawn(async move {
                    // One that ends in an error is over like any other.
                    let _ = serve(manner, socket, hold, &counts).await;
                    counts.ended.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        Target {
            address,
            may_read,
            counts,
            task,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The deaf hear from now on.
    pub(crate) fn read(&self) {
        self.may_read.send_replace(true);
    }

    /// Bytes received so far, all connections together.
    pub(crate) fn received(&self) -> u64 {
        self.counts.received.load(Ordering::SeqCst)
    }

    /// Connections so far.
    pub(crate) fn accepted(&self) -> u64 {
        self.counts.accepted.load(Ordering::SeqCst)
    }

    /// Waits until so many connections have come.
    pub(crate) async fn wait_accepted(&self, count: u64) {
        self.wait("come", || self.accepted() >= count).await;
    }

    /// Waits until all connections but so many are over.
    pub(crate) async fn wait_open(&self, count: u64) {
        let ended = || self.counts.ended.load(Ordering::SeqCst) + count == self.accepted();
        self.wait("end", ended).await;
    }

    /// Waits until so many bytes were received.
    pub(crate) async fn wait_received(&self, count: u64) {
        self.wait("receive enough", || self.received() >= count)
            .await;
    }

    async fn wait(&self, what: &str, fits: impl Fn() -> bool) {
        let waited = timeout(LIMIT, async {
            while !fits() {
                sleep(Duration::from_millis(2)).await;
            }
        });
        let late = waited.await.is_err();
        assert!(!late, "the connections of a target do not {what}");
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn listen(address: Ipv4Addr, manner: Manner) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    if manner == Manner::Deaf {
        socket.set_recv_buffer_size(SMALL)?;
    }
    socket.bind((address, 0).into())?;
    socket.listen(1024)
}

async fn serve(
    manner: Manner,
    mut socket: TcpStream,
    mut may_read: watch::Receiver<bool>,
    counts: &Counts,
) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut piece = vec![0; PIECE];
    match manner {
        Manner::Echo => loop {
            let count = socket.read(&mut piece).await?;
            if count == 0 {
                return Ok(());
            }
            counts.received.fetch_add(count as u64, Ordering::SeqCst);
            socket.write_all(&piece[..count]).await?;
        },
        Manner::Brief => {
            if socket.read(&mut piece[..1]).await? == 1 {
                socket.write_all(&piece[..1]).await?;
                socket.shutdown().await?;
            }
            while socket.read(&mut piece).await? > 0 {}
            Ok(())
        }
        Manner::Sink => loop {
            let count = socket.read(&mut piece).await?;
            if count == 0 {
                return Ok(());
            }
            counts.received.fetch_add(count as u64, Ordering::SeqCst);
        },
        Manner::Deaf => {
            let (mut reader, mut writer) = socket.split();
            let talk = async {
                let endless = vec![7; PIECE];
                while writer.write_all(&endless).await.is_ok() {}
                std::future::pending::<()>().await;
            };
            let hear = async {
                // Its owner is gone: everything is over.
                let _ = may_read.wait_for(|may| *may).await;
                loop {
                    let count = reader.read(&mut piece).await?;
                    if count == 0 {
                        return Ok(());
                    }
                    counts.received.fetch_add(count as u64, Ordering::SeqCst);
                }
            };
            tokio::select! {
                () = talk => Ok(()),
                heard = hear => heard,
            }
        }
    }
}
