//! The status file, for a panel or an LED script.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use log::{info, warn};
use nix::libc::O_NOFOLLOW;

use super::Status;
use crate::config::paths;

/// Everybody may read it; there is no secret in it.
const MODE: u32 = 0o644;

/// `status.json` in the runtime folder; whoever reads it sees a whole status, the last one or the one before.
/// Dropped, it is removed: a lamp must not show what an agent that is gone once said.
pub struct StatusFile {
    path: PathBuf,
    temporary: PathBuf,
    failing: bool,
}

impl StatusFile {
    /// In this runtime folder, which is there.
    pub fn new(runtime: &Path) -> StatusFile {
        StatusFile {
            path: paths::status(runtime),
            temporary: runtime.join(".status.json.new"),
            failing: false,
        }
    }

    /// Replaces the file. A failure is logged when it begins, and its end.
    pub fn write(&mut self, status: &Status) {
        match (self.replace(status), self.failing) {
            (Ok(()), false) | (Err(_), true) => {}
            (Ok(()), true) => {
                self.failing = false;
                info!("{}: written again", self.path.display());
            }
            (Err(error), false) => {
                self.failing = true;
                warn!(
                    "{}: cannot be written ({error}), so panels show an old status; check the folder's owner and \
                     its free space",
                    self.path.display()
                );
            }
        }
    }

    fn replace(&self, status: &Status) -> io::Result<()> {
        let mut json = serde_json::to_vec(status)?;
        json.push(b'\n');
        // Nobody else writes here: the folder is held by this agent. What is there is of a killed one.
        let _ = fs::remove_file(&self.temporary);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(MODE)
            .custom_flags(O_NOFOLLOW)
            .open(&self.temporary)?;
        // The umask may have taken the others' right to read.
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(MODE))?;
        file.write_all(&json)?;
        // No sync: the folder is in memory, and no status outlives a boot.
        fs::rename(&self.temporary, &self.path)
    }
}

impl Drop for StatusFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
