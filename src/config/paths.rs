//! `[paths]`: what the agent writes.

use std::path::{Path, PathBuf};

/// The folder for what must not outlive a boot, unless the file names another.
pub const RUNTIME: &str = "/run/cellgate";

/// What the agent writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paths {
    /// Socket, status file and rejoin file; none for a tunnel of the command line alone.
    pub runtime: Option<PathBuf>,
    /// The audit file.
    pub audit: Option<PathBuf>,
}

/// The local socket of the agent whose runtime folder this is.
pub fn socket(runtime: &Path) -> PathBuf {
    runtime.join("cellgate.sock")
}

/// Its status file.
pub fn status(runtime: &Path) -> PathBuf {
    runtime.join("status.json")
}

/// Its rejoin file.
pub fn rejoin(runtime: &Path) -> PathBuf {
    runtime.join("rejoin.json")
}
