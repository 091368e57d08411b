//! `[paths]`: what the agent writes.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::document::{self, Table};
use super::fault::{Faults, Misfit, quoted};
use super::file::DEFAULT_FILE;
use super::reading;
use crate::limits::{PATH_BYTES_MAX, RUNTIME_FOLDER_MAX};

/// The folder for what must not outlive a boot, unless the file names another.
pub const RUNTIME: &str = "/run/cellgate";

/// Mode of that folder, if the agent makes it: owner all, group enter and read, others nothing.
pub const RUNTIME_MODE: u32 = 0o750;

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

/// The runtime folder that `file`, or the usual file, names; the usual folder if it names none. Whatever else
/// is wrong with the file: `cellgate status` must work beside it.
pub fn runtime_folder(file: Option<&Path>) -> PathBuf {
    let path = file.unwrap_or(Path::new(DEFAULT_FILE));
    let named = reading::read_text(path).ok().and_then(|text| {
        let text = Zeroizing::new(text);
        let mut faults = Faults::none();
        let paths = document::parse(path, &text, &mut faults).table("paths", &mut faults)?;
        read(paths, &mut faults).runtime
    });
    named.unwrap_or_else(|| PathBuf::from(RUNTIME))
}

/// What `[paths]` says.
pub(super) fn read(mut table: Table<'_>, faults: &mut Faults) -> Paths {
    let mut path = |key, example: &str, most, faults: &mut Faults| {
        let (text, place) = table.text(key, example, faults)?;
        faults.keep(place, absolute(&text, example, most))
    };
    let runtime = path("runtime", RUNTIME, RUNTIME_FOLDER_MAX, faults);
    let audit = path(
        "audit",
        "/var/log/cellgate/audit.jsonl",
        PATH_BYTES_MAX,
        faults,
    );
    table.finish(faults);
    Paths { runtime, audit }
}

/// A path from the root on: a service has no folder of its own that others would be counted from.
pub(super) fn absolute(text: &str, example: &str, most: usize) -> Result<PathBuf, Misfit> {
    let misfit = |expected: String| {
        Misfit::new(
            quoted(text),
            expected,
            format!("write for example \"{example}\""),
        )
    };
    if !text.starts_with('/') || text.contains('\0') {
        return Err(misfit("an absolute path".to_owned()));
    }
    if text.len() > most {
        return Err(misfit(format!("a path of at most {most} bytes")));
    }
    Ok(PathBuf::from(text))
}
