//! An append-only record of what happened, that a test can wait on.
//!
//! Responsible for: keeping the newest entries in order, and waking whoever waits for one that fits.
//! A wait looks at what has already happened first, so that a test cannot miss an event by asking late.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// Entries kept; older ones are forgotten. A bulk transfer of 1 GB in payloads of 16 KiB makes 65,536.
const KEPT: usize = 131_072;

/// Entries named in the error of a wait that ended without success.
const SHOWN: usize = 25;

/// One entry: what happened and when.
#[derive(Debug, Clone)]
pub struct Entry<T> {
    /// When it was recorded.
    pub at: Instant,
    /// What happened.
    pub what: T,
}

/// A place in a journal: entries recorded later lie behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(usize);

impl Mark {
    /// The place before the first entry.
    pub const START: Self = Self(0);
}

/// No entry fitted in time. Says what was recorded instead.
pub struct WaitTimeout(String);

impl fmt::Display for WaitTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// `expect` prints Debug, and a failed test is read by people.
impl fmt::Debug for WaitTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WaitTimeout {}

/// The record. A clone is a second handle to the same record.
#[derive(Debug)]
pub struct Journal<T> {
    inner: Arc<Inner<T>>,
}

#[derive(Debug)]
struct Inner<T> {
    kept: Mutex<Kept<T>>,
    grown: Notify,
}

#[derive(Debug)]
struct Kept<T> {
    forgotten: usize,
    entries: VecDeque<Entry<T>>,
}

impl<T> Clone for Journal<T> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<T> Default for Journal<T> {
    fn default() -> Self {
        Self {
            inner: Arc::new(Inner {
                kept: Mutex::new(Kept {
                    forgotten: 0,
                    entries: VecDeque::new(),
                }),
                grown: Notify::new(),
            }),
        }
    }
}

impl<T: Clone + fmt::Debug> Journal<T> {
    /// Adds an entry and wakes every waiter.
    pub fn record(&self, what: T) {
        let at = Instant::now();
        {
            let mut kept = self.kept();
            if kept.entries.len() == KEPT {
                kept.entries.pop_front();
                kept.forgotten += 1;
            }
            kept.entries.push_back(Entry { at, what });
        }
        self.inner.grown.notify_waiters();
    }

    /// The place behind the newest entry.
    pub fn mark(&self) -> Mark {
        let kept = self.kept();
        Mark(kept.forgotten + kept.entries.len())
    }

    /// Every entry kept, oldest first.
    pub fn entries(&self) -> Vec<Entry<T>> {
        self.kept().entries.iter().cloned().collect()
    }

    /// What was recorded behind `mark`, oldest first.
    pub fn entries_after(&self, mark: Mark) -> Vec<T> {
        let kept = self.kept();
        let skip = mark.0.saturating_sub(kept.forgotten);
        let behind = kept.entries.iter().skip(skip);
        behind.map(|entry| entry.what.clone()).collect()
    }

    /// How many entries behind `mark` fit.
    pub fn count(&self, mark: Mark, fits: impl Fn(&T) -> bool) -> usize {
        let kept = self.kept();
        let skip = mark.0.saturating_sub(kept.forgotten);
        kept.entries
            .iter()
            .skip(skip)
            .filter(|entry| fits(&entry.what))
            .count()
    }

    /// Waits for an entry behind `mark` that fits, and gives it with the place right behind it.
    ///
    /// # Errors
    /// [`WaitTimeout`] with the newest entries when none fitted within `limit`.
    pub async fn wait(
        &self,
        mark: Mark,
        fits: impl Fn(&T) -> bool,
        limit: Duration,
    ) -> Result<(Entry<T>, Mark), WaitTimeout> {
        let deadline = Instant::now() + limit;
        let mut next = mark.0;
        loop {
            let grown = self.inner.grown.notified();
            tokio::pin!(grown);
            // Listen before looking, or an entry between the two would be missed.
            grown.as_mut().enable();
            if let Some(found) = self.search(&mut next, &fits) {
                return Ok(found);
            }
            if timeout_at(deadline, grown).await.is_err() {
                // The last entry may have come with the deadline.
                return self
                    .search(&mut next, &fits)
                    .ok_or_else(|| self.nothing_fitted(mark, limit));
            }
        }
    }

    fn search(&self, next: &mut usize, fits: impl Fn(&T) -> bool) -> Option<(Entry<T>, Mark)> {
        let kept = self.kept();
        let skip = next.saturating_sub(kept.forgotten);
        for (index, entry) in kept.entries.iter().enumerate().skip(skip) {
            if fits(&entry.what) {
                return Some((entry.clone(), Mark(kept.forgotten + index + 1)));
            }
        }
        *next = kept.forgotten + kept.entries.len();
        None
    }

    fn nothing_fitted(&self, mark: Mark, limit: Duration) -> WaitTimeout {
        use fmt::Write as _;

        let kept = self.kept();
        let skip = mark.0.saturating_sub(kept.forgotten);
        let behind = kept.entries.len().saturating_sub(skip);
        let mut text = format!(
            "nothing that fits within {limit:?}; {behind} entries since the mark, the newest:"
        );
        for entry in kept
            .entries
            .iter()
            .skip(skip.max(kept.entries.len().saturating_sub(SHOWN)))
        {
            let _ = write!(text, "\n  {:?}", entry.what);
        }
        WaitTimeout(text)
    }

    fn kept(&self) -> MutexGuard<'_, Kept<T>> {
        self.inner
            .kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal<String> {
    /// Prints the last `most` lines if the test panics: what a program wrote is what its failure is read from.
    pub(crate) fn show_if_panicking(&self, title: &str, most: usize) {
        if !std::thread::panicking() {
            return;
        }
        eprintln!("--- {title}, at most {most} lines ---");
        let entries = self.entries();
        for entry in entries.iter().skip(entries.len().saturating_sub(most)) {
            eprintln!("{}", entry.what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_wait_sees_what_came_before_it() {
        let journal = Journal::default();
        journal.record(1);
        journal.record(2);
        let (entry, mark) = journal
            .wait(Mark::START, |n| *n == 1, Duration::ZERO)
            .await
            .expect("1 was recorded");
        assert_eq!(entry.what, 1);
        assert_eq!(journal.count(mark, |_| true), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_is_woken_by_a_later_entry() {
        let journal = Journal::default();
        let recorder = journal.clone();
        let mark = journal.mark();
        tokio::spawn(async move { recorder.record("late") });
        journal
            .wait(mark, |text| *text == "late", Duration::from_secs(1))
            .await
            .expect("the entry comes");
    }

    #[tokio::test(start_paused = true)]
    async fn a_mark_hides_what_lies_before_it() {
        let journal = Journal::default();
        journal.record("early");
        let failed = journal
            .wait(
                journal.mark(),
                |text| *text == "early",
                Duration::from_secs(1),
            )
            .await
            .expect_err("it lies before the mark");
        assert!(failed.to_string().contains("0 entries"), "{failed}");
    }
}
