//! What the kernel counts of a process.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// A process to be looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Process {
    pid: u32,
}

impl Process {
    pub(super) fn new(pid: u32) -> Process {
        Process { pid }
    }

    /// Time on a processor so far, all threads, to the nanosecond.
    pub(super) fn cpu(self) -> io::Result<Duration> {
        let mut sum = 0;
        for task in fs::read_dir(self.file("task"))? {
            let text = fs::read_to_string(task?.path().join("schedstat"))?;
            let first = text.split_whitespace().next();
            sum += first
                .and_then(|field| field.parse::<u64>().ok())
                .unwrap_or(0);
        }
        Ok(Duration::from_nanos(sum))
    }

    /// Times that a thread of it was put on a processor: its wake-ups, if it waits much and works little.
    pub(super) fn switches(self) -> io::Result<u64> {
        let mut sum = 0;
        for task in fs::read_dir(self.file("task"))? {
            let text = fs::read_to_string(task?.path().join("status"))?;
            sum += number(&text, "voluntary_ctxt_switches").unwrap_or(0);
        }
        Ok(sum)
    }

    /// Resident memory, KiB.
    pub(super) fn resident(self) -> io::Result<u64> {
        self.status("VmRSS")
    }

    /// The most that it had, KiB.
    pub(super) fn peak(self) -> io::Result<u64> {
        self.status("VmHWM")
    }

    /// The part of it that no file backs, KiB.
    pub(super) fn anonymous(self) -> io::Result<u64> {
        self.status("RssAnon")
    }

    fn status(self, name: &str) -> io::Result<u64> {
        let text = fs::read_to_string(self.file("status"))?;
        number(&text, name).ok_or_else(|| io::Error::other(format!("no {name}: it has ended")))
    }

    fn file(self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.pid))
    }
}

fn number(text: &str, name: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .and_then(|value| value.split_whitespace().next()?.parse().ok())
}
