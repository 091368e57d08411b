//! Which stream is which: both ends of one know its number.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::flow::Plan;

/// What stands before the bytes of a stream on its way down, so that the target knows it.
pub(super) const HEAD: usize = 12;

const MAGIC: [u8; 4] = *b"SOAK";

/// What the target has seen of a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Its connection came, with its head.
    pub(super) came: bool,
    /// All of it arrived.
    pub(super) complete: bool,
    /// The connection is over.
    pub(super) ended: bool,
    /// What arrived is no beginning of what was sent.
    pub(super) wrong: bool,
    pub(super) bytes: u64,
}

/// A stream that is under way.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) number: u64,
    pub(super) plan: Plan,
    pub(super) target: watch::Sender<Seen>,
}

/// All of them.
#[derive(Debug, Default, Clone)]
pub(super) struct Book(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    numbers: AtomicU64,
    entries: Mutex<HashMap<u64, Arc<Entry>>>,
}

impl Book {
    /// A new stream, by what `plan` makes of its number.
    pub(super) fn begin(&self, plan: impl FnOnce(u64) -> Plan) -> Arc<Entry> {
        let number = self.0.numbers.fetch_add(1, Ordering::Relaxed);
        let entry = Arc::new(Entry {
            number,
            plan: plan(number),
            target: watch::Sender::default(),
        });
        self.entries().insert(number, Arc::clone(&entry));
        entry
    }

    /// The stream with this head. Only one connection may have it.
    pub(super) fn find(&self, head: &[u8; HEAD]) -> Option<Arc<Entry>> {
        let (magic, number) = head.split_at(MAGIC.len());
        let number = u64::from_be_bytes(number.try_into().ok()?);
        let entry = self.entries().get(&number).cloned();
        entry.filter(|_| magic == MAGIC)
    }

    /// Those of so far. Their bytes can still be on their way when their engineer has left, so they stay known until
    /// nothing is under way any more.
    pub(super) fn take_all(&self) -> Vec<Arc<Entry>> {
        self.entries().drain().map(|(_, entry)| entry).collect()
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<u64, Arc<Entry>>> {
        self.0
            .entries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    pub(super) fn head(&self) -> [u8; HEAD] {
        let mut head = [0; HEAD];
        head[..MAGIC.len()].copy_from_slice(&MAGIC);
        head[MAGIC.len()..].copy_from_slice(&self.number.to_be_bytes());
        head
    }
}
