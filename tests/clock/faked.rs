//! A clock on the wall that the test sets, for the agent alone: Debian's `faketime`.
//!
//! Only CLOCK_REALTIME is faked, so that timers run as ever; and the file that says how far it is off is read at every
//! look, so that it can be set while the agent runs.

// Each test binary uses its own part of it.
#![allow(dead_code)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use cell::agent::{AgentBuilder, Folder};

/// The agent's clock.
#[derive(Debug)]
pub(crate) struct Faked {
    library: PathBuf,
    folder: Folder,
}

impl Faked {
    /// A clock that shows this time now and goes on. None where the library is missing; that is said past the capture
    /// of the test harness.
    pub(crate) fn at(rfc3339: &str, test: &str) -> Option<Faked> {
        match Faked::new() {
            Ok(faked) => {
                faked.set(rfc3339);
                Some(faked)
            }
            Err(why) => {
                let _ = writeln!(std::io::stderr(), "SKIPPED: {why}: {test}");
                None
            }
        }
    }

    /// A clock that is right. The error is why this machine cannot have one.
    pub(crate) fn new() -> Result<Faked, String> {
        let library = library().ok_or("no libfaketime here (Debian package faketime)")?;
        let folder = Folder::new("cell-clock").expect("a folder");
        let faked = Faked { library, folder };
        faked.write("+0");
        Ok(faked)
    }

    /// Sets it right.
    pub(crate) fn right(&self) {
        self.write("+0");
    }

    /// Sets the clock.
    pub(crate) fn set(&self, rfc3339: &str) {
        let wanted = humantime::parse_rfc3339(rfc3339).expect("a time");
        let now = SystemTime::now();
        // Whole seconds, and rather late than early: a test names the second from which on it is right.
        let offset = match wanted.duration_since(now) {
            Ok(ahead) => format!("+{}", ahead.as_secs() + 1),
            Err(behind) => format!("-{}", behind.duration().as_secs()),
        };
        self.write(&offset);
    }

    /// Never half written: the agent may look at any moment.
    fn write(&self, offset: &str) {
        let new = self.folder.write("new", offset).expect("a folder");
        std::fs::rename(new, self.file()).expect("a folder");
    }

    /// An agent, or a subcommand, with this clock.
    pub(crate) fn built(&self, builder: AgentBuilder) -> AgentBuilder {
        builder
            .env("LD_PRELOAD", &self.library)
            .env("FAKETIME_TIMESTAMP_FILE", self.file())
            .env("FAKETIME_NO_CACHE", "1")
            .env("DONT_FAKE_MONOTONIC", "1")
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("clock")
    }
}

/// The library for programs with threads, where Debian and its relatives have it.
fn library() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?;
    let paths = folders.filter_map(|entry| Some(entry.ok()?.path()));
    let mut paths = paths.chain([PathBuf::from("/usr/lib")]);
    paths.find_map(|path: PathBuf| {
        let library = path.join("faketime/libfaketimeMT.so.1");
        Path::is_file(&library).then_some(library)
    })
}
