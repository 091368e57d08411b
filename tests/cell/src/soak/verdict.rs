//! What was counted, and what went wrong.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How a stream ended, when nothing was wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Everything arrived, both ways.
    Whole,
    /// A fault cut it, and what arrived is the beginning of what was sent.
    Cut,
    /// It was to be cut by one of its ends, and what arrived is the beginning of what was sent.
    Dropped,
    /// The fault was there before it had begun.
    NotOpened,
}

/// Counts of a minute or of the run.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts {
    pub(super) whole: u64,
    pub(super) cut: u64,
    pub(super) dropped: u64,
    pub(super) not_opened: u64,
    /// Programs that were loaded and saved, or either.
    pub(super) programs: u64,
    /// Bytes whose hash was compared.
    pub(super) bytes: u64,
    pub(super) faults: BTreeMap<&'static str, u64>,
}

impl Counts {
    pub(super) fn streams(&self) -> u64 {
        self.whole + self.cut + self.dropped + self.not_opened
    }

    fn add(&mut self, other: &Counts) {
        self.whole += other.whole;
        self.cut += other.cut;
        self.dropped += other.dropped;
        self.not_opened += other.not_opened;
        self.programs += other.programs;
        self.bytes += other.bytes;
        for (name, count) in &other.faults {
            *self.faults.entry(name).or_default() += count;
        }
    }
}

#[derive(Debug, Default)]
struct Inner {
    minute: Counts,
    total: Counts,
    wrong: Vec<String>,
}

/// Shared by all workers.
#[derive(Debug, Default, Clone)]
pub(super) struct Verdict(Arc<Mutex<Inner>>);

impl Verdict {
    /// Something that must not be. The run ends.
    pub(super) fn wrong(&self, what: impl Into<String>) {
        let what = what.into();
        eprintln!("WRONG: {what}");
        self.inner().wrong.push(what);
    }

    pub(super) fn is_wrong(&self) -> bool {
        !self.inner().wrong.is_empty()
    }

    pub(super) fn stream(&self, fate: Fate, bytes: u64) {
        let minute = &mut self.inner().minute;
        match fate {
            Fate::Whole => minute.whole += 1,
            Fate::Cut => minute.cut += 1,
            Fate::Dropped => minute.dropped += 1,
            Fate::NotOpened => minute.not_opened += 1,
        }
        minute.bytes += bytes;
    }

    pub(super) fn program(&self, bytes: u64) {
        let minute = &mut self.inner().minute;
        minute.programs += 1;
        minute.bytes += bytes;
    }

    pub(super) fn fault(&self, name: &'static str) {
        *self.inner().minute.faults.entry(name).or_default() += 1;
    }

    /// The counts since the last call.
    pub(super) fn take_minute(&self) -> Counts {
        let mut inner = self.inner();
        let minute = std::mem::take(&mut inner.minute);
        inner.total.add(&minute);
        minute
    }

    /// The counts of the minutes that were taken.
    pub(super) fn total(&self) -> Counts {
        self.inner().total.clone()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
