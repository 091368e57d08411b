//! Somebody else in the cell: a connection to another controller, busy all the time with bytes of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cell::pattern::{Pattern, pattern, sha256};
use cell::target::Target;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// Sent at a time, bytes.
const PIECE: usize = 1_000;

/// Between two pieces.
const PAUSE: Duration = Duration::from_millis(20);

/// Sends pieces to a controller that echoes and compares what comes back, until it is told to stop or is cut off.
pub(crate) struct Neighbour {
    seed: u64,
    stop: watch::Sender<bool>,
    back: Arc<AtomicUsize>,
    task: JoinHandle<Talk>,
}

/// How it went.
struct Talk {
    sent: usize,
    cut: bool,
}

impl Neighbour {
    pub(crate) fn new(socket: TcpStream, seed: u64) -> Neighbour {
        let (stop, stopped) = watch::channel(false);
        let back = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn(talk(socket, seed, stopped, Arc::clone(&back)));
        Neighbour {
            seed,
            stop,
            back,
            task,
        }
    }

    /// Waits until more of it has come back than by now.
    pub(crate) async fn progress(&self, limit: Duration) {
        let before = self.back.load(Ordering::Relaxed);
        let more = async {
            while self.back.load(Ordering::Relaxed) <= before + PIECE {
                sleep(PAUSE).await;
            }
        };
        let more = timeout(limit, more).await;
        assert!(more.is_ok(), "the neighbour's connection stands still");
    }

    /// It was undisturbed up to now: ends it, and compares every byte.
    pub(crate) async fn went_on(self, controller: &Target, limit: Duration) {
        self.progress(limit).await;
        self.stop.send_replace(true);
        let talk = timeout(limit, self.task).await;
        let talk = talk.expect("the neighbour is answered").expect("no panic");
        assert!(!talk.cut, "the neighbour's connection was cut");
        let record = controller.wait_ended(0, limit).await.expect("it ends");
        assert!(record.ended_by_fin(), "{:?}", record.ended);
        assert_eq!(record.received, talk.sent as u64);
        assert_eq!(record.sha256, sha256(&pattern(self.seed, talk.sent)));
        assert_eq!(self.back.load(Ordering::Relaxed), talk.sent);
    }

    /// It must be cut by now; what arrived each way is the beginning of what was sent.
    pub(crate) async fn was_cut(self, controller: &Target, by_fin: bool, limit: Duration) {
        let talk = timeout(limit, self.task).await;
        let talk = talk.expect("the neighbour hears of the end");
        let talk = talk.expect("no panic");
        assert!(talk.cut, "the neighbour was told to stop");
        let record = controller.wait_ended(0, limit).await.expect("it ends");
        if by_fin {
            assert!(record.ended_by_fin(), "{:?}", record.ended);
        }
        let received = usize::try_from(record.received).expect("a size");
        assert!(received <= talk.sent, "more than was sent");
        assert_eq!(record.sha256, sha256(&pattern(self.seed, received)));
        assert!(self.back.load(Ordering::Relaxed) <= received);
    }
}

async fn talk(
    mut socket: TcpStream,
    seed: u64,
    stop: watch::Receiver<bool>,
    back: Arc<AtomicUsize>,
) -> Talk {
    let mut row = Pattern::new(seed);
    let (mut piece, mut echo) = (vec![0; PIECE], vec![0; PIECE]);
    let mut sent = 0;
    while !*stop.borrow() {
        row.fill(&mut piece);
        // Counted first: a write that fails may have sent a part.
        sent += PIECE;
        if socket.write_all(&piece).await.is_err() {
            return Talk { sent, cut: true };
        }
        let mut got = 0;
        while got < PIECE {
            match socket.read(&mut echo[got..]).await {
                Ok(0) | Err(_) => return Talk { sent, cut: true },
                Ok(length) => {
                    let right = echo[got..got + length] == piece[got..got + length];
                    assert!(right, "bytes that are not the neighbour's");
                    got += length;
                    back.fetch_add(length, Ordering::Relaxed);
                }
            }
        }
        sleep(PAUSE).await;
    }
    Talk { sent, cut: false }
}
