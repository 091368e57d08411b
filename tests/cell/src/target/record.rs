//! What happened on one connection of a target.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::pattern::hex;

/// How a connection ended, seen from the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The agent sent FIN, behind everything counted.
    Fin,
    /// The agent sent RST, or the connection failed in another way; the system's words.
    Reset(String),
    /// The target reset it, as it was told to.
    ByTarget,
}

/// One connection.
#[derive(Debug, Clone)]
pub struct Record {
    /// Where it came from.
    pub peer: SocketAddr,
    /// When it was accepted.
    pub opened: Instant,
    /// Bytes received.
    pub received: u64,
    /// SHA-256 of the bytes received, in hex.
    pub sha256: String,
    /// Bytes written.
    pub sent: u64,
    /// When the first byte came.
    pub first_byte: Option<Instant>,
    /// When the newest byte came.
    pub last_byte: Option<Instant>,
    /// How and when it ended; `None` while it is open.
    pub ended: Option<(End, Instant)>,
}

impl Record {
    /// Whether it ended by FIN.
    pub fn ended_by_fin(&self) -> bool {
        matches!(self.ended, Some((End::Fin, _)))
    }
}

/// The record of one connection while it is written.
#[derive(Debug)]
struct Open {
    record: Record,
    hash: Sha256,
}

/// The records of a target.
#[derive(Debug, Clone, Default)]
pub(super) struct Records {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    connections: Mutex<Vec<Open>>,
    changed: Notify,
}

impl Records {
    /// Notes a new connection and gives its place.
    pub(super) fn open(&self, peer: SocketAddr) -> usize {
        let mut connections = self.connections();
        connections.push(Open {
            record: Record {
                peer,
                opened: Instant::now(),
                received: 0,
                sha256: String::new(),
                sent: 0,
                first_byte: None,
                last_byte: None,
                ended: None,
            },
            hash: Sha256::new(),
        });
        let place = connections.len() - 1;
        drop(connections);
        self.inner.changed.notify_waiters();
        place
    }

    pub(super) fn received(&self, place: usize, bytes: &[u8]) {
        self.change(place, |open| {
            let now = Instant::now();
            open.record.received += bytes.len() as u64;
            open.record.first_byte.get_or_insert(now);
            open.record.last_byte = Some(now);
            open.hash.update(bytes);
        });
    }

    pub(super) fn sent(&self, place: usize, bytes: usize) {
        self.change(place, |open| open.record.sent += bytes as u64);
    }

    /// Notes the end; only the first one counts.
    pub(super) fn ended(&self, place: usize, how: End) {
        self.change(place, |open| {
            open.record.ended.get_or_insert((how, Instant::now()));
        });
    }

    pub(super) fn all(&self) -> Vec<Record> {
        self.connections()
            .iter()
            .map(|open| Record {
                sha256: hex(open.hash.clone().finalize().as_ref()),
                ..open.record.clone()
            })
            .collect()
    }

    /// Waits until the records fit.
    pub(super) async fn wait(
        &self,
        fits: impl Fn(&[Record]) -> bool,
        limit: Duration,
    ) -> Result<Vec<Record>, String> {
        let deadline = Instant::now() + limit;
        loop {
            let changed = self.inner.changed.notified();
            tokio::pin!(changed);
            // Listen before looking, or a change between the two would be missed.
            changed.as_mut().enable();
            let all = self.all();
            if fits(&all) {
                return Ok(all);
            }
            if timeout_at(deadline, changed).await.is_err() {
                return Err(format!(
                    "the target's connections do not fit within {limit:?}: {all:#?}"
                ));
            }
        }
    }

    fn change(&self, place: usize, change: impl FnOnce(&mut Open)) {
        if let Some(open) = self.connections().get_mut(place) {
            change(open);
        }
        self.inner.changed.notify_waiters();
    }

    fn connections(&self) -> MutexGuard<'_, Vec<Open>> {
        self.inner
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
