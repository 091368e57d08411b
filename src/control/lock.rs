//! The folder of the runtime files: one agent has it, and its socket comes into being with the right mode.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::libc::O_NOFOLLOW;
use nix::unistd::getegid;

use crate::config::paths;

/// Owner and group.
const SOCKET_MODE: u32 = 0o660;

/// Only the owner: in here the socket is born.
const NURSERY_MODE: u32 = 0o700;

/// Bytes of a lock file that are looked at; a process ID has no more than ten digits.
const PID_MAX: u64 = 16;

/// Bytes of a socket's path. Source: `sun_path` of unix(7), with its NUL.
const SOCKET_PATH_MAX: usize = 107;

/// Why an agent cannot serve the socket of its runtime folder.
#[derive(Debug)]
pub enum BindError {
    /// Another agent has it; its process ID, if its lock file says.
    InUse(PathBuf, Option<u32>),
    /// Everybody may write in the folder, so that what is in it could be anybody's.
    Open(PathBuf),
    /// The path of the socket is longer than the kernel takes.
    Long(PathBuf),
    /// The system says no, to what.
    System(&'static str, PathBuf, io::Error),
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BindError::InUse(folder, pid) => {
                write!(f, "{}: another agent has this folder", folder.display())?;
                if let Some(pid) = pid {
                    write!(f, " (process {pid})")?;
                }
                f.write_str("; stop it, or give this one another `runtime` in [paths]")
            }
            BindError::Open(folder) => write!(
                f,
                "{0}: every user may write in this folder, so nothing in it can be believed; \
                 `chmod o-w {0}`",
                folder.display()
            ),
            BindError::Long(socket) => write!(
                f,
                "{}: a path longer than the {SOCKET_PATH_MAX} bytes that a socket may have; \
                 give a shorter `runtime` in [paths]",
                socket.display()
            ),
            BindError::System(what, path, error) => write!(
                f,
                "{}: cannot {what} ({error}); check the folder's owner and mode, or `runtime` in [paths]",
                path.display()
            ),
        }
    }
}

impl std::error::Error for BindError {}

/// The runtime folder, held by this process; the kernel frees it when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Held {
    folder: PathBuf,
    _lock: File,
}

impl Held {
    /// Makes the folder if it is not there, and takes it.
    pub(super) fn take(folder: &Path) -> Result<Held, BindError> {
        let failed = |what| move |error| BindError::System(what, folder.to_owned(), error);
        DirBuilder::new()
            .recursive(true)
            .mode(paths::RUNTIME_MODE)
            .create(folder)
            .map_err(failed("make the folder"))?;
        let mode = fs::metadata(folder)
            .map_err(failed("read the folder"))?
            .mode();
        // Where the sticky bit is set, as in /tmp, others cannot touch what is ours.
        if mode & 0o002 != 0 && mode & 0o1000 == 0 {
            return Err(BindError::Open(folder.to_owned()));
        }
        let path = folder.join("lock");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o640)
            .custom_flags(O_NOFOLLOW)
            .open(&path)
            .map_err(|error| BindError::System("open the lock", path.clone(), error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(BindError::InUse(folder.to_owned(), pid_in(&lock)));
            }
            Err(TryLockError::Error(error)) => {
                return Err(BindError::System("take the lock", path, error));
            }
        }
        // Only a hint for the next one: the lock is what counts.
        let _ = lock
            .set_len(0)
            .and_then(|()| writeln!(lock, "{}", std::process::id()));
        Ok(Held {
            folder: folder.to_owned(),
            _lock: lock,
        })
    }

    /// A listener at the folder's socket; one that a dead agent left is replaced.
    ///
    /// It is bound in a folder that only its owner can enter, gets its group and mode there and is then moved:
    /// at no moment can anybody else connect, whatever the umask is.
    pub(super) fn listen(&self) -> Result<UnixListener, BindError> {
        let path = paths::socket(&self.folder);
        if path.as_os_str().len() > SOCKET_PATH_MAX {
            return Err(BindError::Long(path));
        }
        let nursery = self.folder.join(".new");
        let born = nursery.join("s");
        let failed = |what| {
            let path = path.clone();
            move |error| BindError::System(what, path, error)
        };
        // What a killed predecessor left; the lock says that it is nobody's.
        let _ = fs::remove_file(&born);
        let _ = fs::remove_dir(&nursery);
        DirBuilder::new()
            .mode(NURSERY_MODE)
            .create(&nursery)
            .map_err(failed("make a folder for the socket"))?;
        let listener = UnixListener::bind(&born).map_err(failed("bind the socket"))?;
        // It has the agent's group already, but for a folder that gives its own. Asked first, since the unit's
        // filter of system calls has no chown.
        let group = getegid().as_raw();
        let born_with = fs::symlink_metadata(&born).map_err(failed("read the socket"))?;
        if born_with.gid() != group {
            chown(&born, None, Some(group)).map_err(failed("give the socket its group"))?;
        }
        fs::set_permissions(&born, Permissions::from_mode(SOCKET_MODE))
            .map_err(failed("give the socket its mode"))?;
        fs::rename(&born, &path).map_err(failed("put the socket in its place"))?;
        let _ = fs::remove_dir(&nursery);
        listener
            .set_nonblocking(true)
            .map_err(failed("set the socket up"))?;
        Ok(listener)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // The lock file stays: removing it would let two agents lock two files of one name.
        let _ = fs::remove_file(paths::socket(&self.folder));
    }
}

fn pid_in(lock: &File) -> Option<u32> {
    let mut text = String::new();
    lock.take(PID_MAX).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
