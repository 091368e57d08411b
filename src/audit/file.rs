//! The file of the audit: appended to, bounded, rotated.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;

use crate::limits::AUDIT_FILE_MAX;

/// Who may read: the agent and its group, which is that of the people who keep the gateway.
const MODE: u32 = 0o640;

/// A file that lines are appended to.
///
/// # Why a write here may stand in the event loop
/// A write to a regular file ends in the page cache: it costs microseconds and waits for no disk, and without
/// fsync nobody else's disk is waited for either. The kernel makes a writer wait only when it has more unwritten
/// pages than it allows, and what is written here, a few hundred bytes for each tunnel and stream, is not what
/// fills them. A FIFO or device with no room says so instead (`O_NONBLOCK`). The price: a power cut takes the last
/// half minute of lines.
pub(super) struct AuditFile {
    path: PathBuf,
    /// Where the lines before a rotation are: `<path>.1`.
    older: PathBuf,
    open: Option<Open>,
    /// Lines lost since it fails; none while it works.
    lost: Option<u64>,
}

/// What is open, to notice when somebody else has moved or deleted it.
struct Open {
    file: File,
    device: u64,
    inode: u64,
}

impl Open {
    fn is(&self, found: &Metadata) -> bool {
        self.device == found.dev() && self.inode == found.ino()
    }
}

/// A change that somebody should be told of.
#[derive(Debug)]
pub(super) enum Turn {
    /// Lines are lost from now on.
    Fails(Error),
    /// They are written again, after this many were lost.
    WorksAgain(u64),
}

impl AuditFile {
    /// The file at `path`, opened at once so that trouble is seen at the start. A last line that a crash cut short
    /// is closed.
    pub(super) fn open(path: PathBuf) -> (AuditFile, Option<Turn>) {
        let mut older = OsString::from(&path);
        older.push(".1");
        let mut file = AuditFile {
            path,
            older: older.into(),
            open: None,
            lost: None,
        };
        let result = file.reach().map(|_| ());
        let turn = file.turn(result, 0);
        (file, turn)
    }

    /// Appends `line` and a newline, in one write.
    pub(super) fn append(&mut self, line: &str) -> Option<Turn> {
        let result = self.write(&format!("{line}\n"));
        self.turn(result, 1)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn turn(&mut self, result: Result<(), Error>, lines: u64) -> Option<Turn> {
        match result {
            Ok(()) => self.lost.take().map(Turn::WorksAgain),
            Err(error) => {
                // Opened anew the next time: what is wrong may be what is open.
                self.open = None;
                let first = self.lost.is_none();
                self.lost = Some(self.lost.unwrap_or(0).saturating_add(lines));
                first.then_some(Turn::Fails(error))
            }
        }
    }

    fn write(&mut self, line: &str) -> Result<(), Error> {
        let mut size = self.reach()?;
        let bytes = u64::try_from(line.len()).unwrap_or(u64::MAX);
        if size > 0 && size.saturating_add(bytes) > AUDIT_FILE_MAX {
            fs::rename(&self.path, &self.older).map_err(Error::Rotate)?;
            size = self.reach()?;
        }
        let Some(open) = &mut self.open else {
            return Err(Error::Open(ErrorKind::NotFound.into()));
        };
        let written = open.file.write(line.as_bytes()).map_err(Error::Write)?;
        if written < line.len() {
            // Half a line is no line. If this fails too, the next opening closes it.
            let _ = open.file.set_len(size);
            return Err(Error::Write(ErrorKind::StorageFull.into()));
        }
        Ok(())
    }

    /// Opens what is at the path, unless it is open already. Gives its size.
    fn reach(&mut self) -> Result<u64, Error> {
        if let (Some(open), Ok(found)) = (&self.open, fs::symlink_metadata(&self.path))
            && open.is(&found)
        {
            return Ok(found.len());
        }
        self.open = None;
        let mut file = OpenOptions::new()
            // To see how the last line ends.
            .read(true)
            .append(true)
            .create(true)
            .mode(MODE)
            // std adds O_CLOEXEC.
            .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits())
            .open(&self.path)
            .map_err(Error::Open)?;
        let size = close_last_line(&mut file).map_err(Error::Write)?;
        let found = file.metadata().map_err(Error::Open)?;
        if size == 0 && found.is_file() {
            // The umask may have taken the group's right to read. A file of another owner stays as it is.
            let _ = file.set_permissions(Permissions::from_mode(MODE));
        }
        self.open = Some(Open {
            file,
            device: found.dev(),
            inode: found.ino(),
        });
        Ok(size)
    }
}

/// Ends a line that a crash or a full disk cut short. Gives the size after it.
fn close_last_line(file: &mut File) -> io::Result<u64> {
    let size = file.metadata()?.len();
    let mut last = *b"\n";
    // A device or FIFO has no size.
    if size > 0 && file.read_at(&mut last, size - 1)? == 1 && last != *b"\n" {
        file.write_all(b"\n")?;
        return Ok(size + 1);
    }
    Ok(size)
}

/// Why a line is not in the file.
#[derive(Debug)]
pub(super) enum Error {
    Open(io::Error),
    Rotate(io::Error),
    Write(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, error) = match self {
            Error::Open(error) => ("cannot be opened", error),
            Error::Rotate(error) => ("is full and cannot be moved to its older name", error),
            Error::Write(error) => ("cannot be written", error),
        };
        write!(out, "{what}: {error}; {}", what_to_do(error))
    }
}

fn what_to_do(error: &io::Error) -> &'static str {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOENT | Errno::ENOTDIR) => "make its folder",
        Some(Errno::EACCES | Errno::EPERM) => "let the agent's user write it and its folder",
        Some(Errno::ELOOP) => "it must not be a symbolic link",
        Some(Errno::EISDIR) => "name a file in that folder",
        Some(Errno::EROFS) => "mount its file system writable or choose another",
        _ => "see to its disk",
    }
}
