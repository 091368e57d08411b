//! Where mosquitto is on this machine.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// A folder into which Debian's packages were unpacked; `tests/run` sets it where it could not install them.
const UNPACKED: &str = "CELL_MOSQUITTO";

/// The programs of mosquitto, and where they find their libraries.
#[derive(Debug, Clone)]
pub(super) struct Tools {
    pub(super) broker: PathBuf,
    pub(super) publisher: PathBuf,
    /// `LD_LIBRARY_PATH`, where they were unpacked and not installed.
    pub(super) libraries: Option<OsString>,
}

/// This machine has no mosquitto. A test that needs it says so, and is skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoMosquitto(String);

impl fmt::Display for NoMosquitto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "there is no {} on this machine; install Debian's packages mosquitto and mosquitto-clients, or name the \
             folder they were unpacked into in {UNPACKED}",
            self.0
        )
    }
}

impl std::error::Error for NoMosquitto {}

impl Tools {
    /// Looks where the packages were unpacked, then in `PATH` and where Debian installs.
    pub(super) fn find() -> Result<Self, NoMosquitto> {
        let unpacked = std::env::var_os(UNPACKED).filter(|root| !root.is_empty());
        let root = unpacked.as_ref().map(Path::new);
        Ok(Self {
            broker: program("mosquitto", root)?,
            publisher: program("mosquitto_pub", root)?,
            libraries: root.map(libraries),
        })
    }
}

fn program(name: &str, root: Option<&Path>) -> Result<PathBuf, NoMosquitto> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = match root {
        Some(root) => vec![root.join("usr/sbin"), root.join("usr/bin")],
        None => std::env::split_paths(&path)
            .chain(["/usr/sbin", "/usr/local/sbin", "/usr/bin"].map(PathBuf::from))
            .collect(),
    };
    let found = folders.into_iter().map(|folder| folder.join(name));
    found
        .into_iter()
        .find(|path| path.is_file())
        .ok_or_else(|| NoMosquitto(name.to_owned()))
}

/// The folders of the libraries: `lib` and each `lib/ARCH-linux-gnu`.
fn libraries(root: &Path) -> OsString {
    let mut folders = Vec::new();
    for base in [root.join("usr/lib"), root.join("lib")] {
        let below = std::fs::read_dir(&base).into_iter().flatten().flatten();
        folders.extend(below.map(|entry| entry.path()).filter(|path| path.is_dir()));
        folders.push(base);
    }
    // A folder whose name holds a colon is none of Debian's.
    std::env::join_paths(folders).unwrap_or_default()
}
