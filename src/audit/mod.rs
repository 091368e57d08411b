//! Who did what: one JSON line for each tunnel and stream that begins, moves its first byte or ends.
//!
//! Is responsible for: `audit {"time":…,"event":…}` in the log, at info, which `journalctl -g '^audit '` finds; and
//! the same JSON in a bounded file, if one is configured. No payload and no token; a hash tells tunnels apart.
//! Nothing that fails here stops the agent or makes it wait.

mod event;
mod file;
mod line;

use std::cell::RefCell;
use std::path::PathBuf;
use std::time::SystemTime;

pub use event::{Event, Way};
use file::{AuditFile, Turn};

/// Where the lines go. [`Audit::default`] is the log alone.
#[derive(Default)]
pub struct Audit {
    file: Option<RefCell<AuditFile>>,
}

impl Audit {
    /// Lines go to the log, and to the file `path` if there is one. What is wrong with the file is logged once, now
    /// or when it begins, and each line tries it again.
    pub fn open(path: Option<PathBuf>) -> Audit {
        let Some(path) = path else {
            return Audit::default();
        };
        let (file, turn) = AuditFile::open(path);
        tell(&file, turn);
        Audit {
            file: Some(RefCell::new(file)),
        }
    }

    /// Writes one line. Nothing that fails here stops the agent.
    pub fn write(&self, event: &Event<'_>) {
        let line = line::line(SystemTime::now(), event);
        log::info!("audit {line}");
        if let Some(file) = &self.file {
            let mut file = file.borrow_mut();
            let turn = file.append(&line);
            tell(&file, turn);
        }
    }
}

fn tell(file: &AuditFile, turn: Option<Turn>) {
    let path = file.path().display();
    match turn {
        None => {}
        Some(Turn::Fails(error)) => {
            log::error!("audit: {path} {error}; until then its lines are in the log alone");
        }
        Some(Turn::WorksAgain(lost)) => {
            log::warn!("audit: {path} is written again; {lost} lines are missing in it");
        }
    }
}

#[cfg(test)]
mod tests;
