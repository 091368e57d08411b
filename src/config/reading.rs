//! Files of the configuration, read whole and in bounds.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::document::line_of;
use super::fault::{Misfit, shown};
use crate::limits::CONFIG_FILE_MAX;

/// A whole file, if it is a regular file of at most `max` bytes.
pub(super) fn read_bounded(path: &Path, max: usize) -> Result<Vec<u8>, Misfit> {
    let unreadable = |error: std::io::Error| {
        Misfit::new(
            format!("no content ({error})"),
            "a readable file",
            "look at its path, owner and mode (`ls -l`), or name another",
        )
    };
    // Opening a FIFO waits for a writer, for ever if need be: ask first.
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(Misfit::new(
            "something else",
            "a regular file",
            format!("`ls -ld {}` shows what it is", shown(path)),
        ));
    }
    // With room for all of it: growing would leave copies behind of what may be a key.
    let room = usize::try_from(metadata.len()).unwrap_or(max).min(max);
    let mut bytes = Vec::with_capacity(room + 1);
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path)
        .and_then(|file| file.take(limit).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    if bytes.len() > max {
        return Err(Misfit::new(
            format!("more than {max} bytes"),
            format!("at most {max} bytes"),
            "this is not the file that was meant",
        ));
    }
    Ok(bytes)
}

/// The same as text.
pub(super) fn read_text(path: &Path) -> Result<String, Misfit> {
    let bytes = read_bounded(path, CONFIG_FILE_MAX)?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = line_of(error.as_bytes(), at);
        Misfit::new(
            format!("a byte in line {line} that is no UTF-8"),
            "text in UTF-8",
            "save it again as UTF-8",
        )
    })
}

/// Whether others than the owner and the group of a file may read it.
pub(super) fn is_open_to_all(path: &Path) -> bool {
    const READ_BY_OTHERS: u32 = 0o004;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.mode() & READ_BY_OTHERS != 0)
}
