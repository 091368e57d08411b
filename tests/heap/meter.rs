//! What the heap of the agent's process holds, told from within it, and asked from without.

use std::ffi::OsStr;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::time::{sleep, timeout};

use crate::counting::{Heap, forget_peak, heap};

/// Names the socket at which the far end of the meter waits. A program of this test that finds it is the agent.
pub(crate) const VARIABLE: &str = "CELLGATE_HEAP_METER";

/// An answer takes microseconds.
const LIMIT: Duration = Duration::from_secs(10);

/// Bytes of an answer: three numbers.
const ANSWER: usize = 24;

/// What is asked: the count, or the same and then a new peak.
const COUNT: u8 = b'?';
const FORGET: u8 = b'0';

/// In the agent's process: answers at this socket for as long as the process lives, from a thread of its own that takes
/// nothing from the heap while it does.
pub(crate) fn answer(path: &OsStr) -> io::Result<()> {
    let mut stream = UnixStream::connect(Path::new(path))?;
    std::thread::Builder::new().spawn(move || {
        let mut question = [0];
        while stream.read_exact(&mut question).is_ok() {
            let count = heap();
            if question[0] == FORGET {
                forget_peak();
            }
            let mut told = [0; ANSWER];
            let numbers = [count.live as u64, count.peak as u64, count.asked];
            for (place, number) in told.chunks_exact_mut(8).zip(numbers) {
                place.copy_from_slice(&number.to_ne_bytes());
            }
            if stream.write_all(&told).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}

/// The far end, before the agent has come to it.
pub(crate) struct Waiting {
    listener: UnixListener,
    path: PathBuf,
}

impl Waiting {
    /// Waits at a socket in this folder.
    pub(crate) fn at(folder: &Path) -> io::Result<Waiting> {
        let path = folder.join("meter.sock");
        Ok(Waiting {
            listener: UnixListener::bind(&path)?,
            path,
        })
    }

    /// For [`VARIABLE`].
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The agent has come.
    pub(crate) async fn met(self) -> io::Result<Meter> {
        let (stream, _) = timeout(LIMIT, self.listener.accept()).await??;
        let stream = stream.into_std()?;
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(LIMIT))?;
        Ok(Meter(stream))
    }
}

/// The far end.
pub(crate) struct Meter(UnixStream);

impl Meter {
    /// What the agent's heap holds.
    pub(crate) fn count(&self) -> Heap {
        self.ask(COUNT)
    }

    /// The peak begins anew; what there was so far.
    pub(crate) fn forget(&self) -> Heap {
        self.ask(FORGET)
    }

    /// What it holds when nothing comes or goes any more: the least that was seen in half a second.
    pub(crate) async fn settled(&self) -> usize {
        let mut least = self.count().live;
        for _ in 0..50 {
            sleep(Duration::from_millis(10)).await;
            least = least.min(self.count().live);
        }
        least
    }

    fn ask(&self, question: u8) -> Heap {
        let mut stream = &self.0;
        let mut told = [0; ANSWER];
        stream.write_all(&[question]).expect("the agent lives");
        stream.read_exact(&mut told).expect("the agent lives");
        let number = |place: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&told[8 * place..8 * (place + 1)]);
            u64::from_ne_bytes(bytes)
        };
        let bytes = |place| usize::try_from(number(place)).expect("an address has 64 bits here");
        Heap {
            live: bytes(0),
            peak: bytes(1),
            asked: number(2),
        }
    }
}
