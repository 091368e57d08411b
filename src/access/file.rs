//! A key switch that is a file: on while it exists.

use std::ffi::OsString;
use std::fs;
use std::future::pending;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use tokio::io::unix::AsyncFd;

use super::switch::{Position, notices};

/// What happens in the switch's folder that can turn it, and what happens to the folder itself.
const NOTICED: AddWatchFlags = AddWatchFlags::IN_CREATE
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_MOVED_FROM)
    .union(AddWatchFlags::IN_MOVED_TO)
    .union(AddWatchFlags::IN_ATTRIB)
    .union(AddWatchFlags::IN_DELETE_SELF)
    .union(AddWatchFlags::IN_MOVE_SELF)
    .union(AddWatchFlags::IN_ONLYDIR);

/// A file, and the watch on its folder.
///
/// The kernel tells what happens in the folder at once. It does not tell when a folder further up is moved, when
/// the file is a link and its target goes, or on a network file system: so who holds this also looks now and then.
pub(super) struct FileSwitch {
    path: PathBuf,
    name: Option<OsString>,
    /// None where the kernel has no inotify or no more of it.
    notices: Option<AsyncFd<Notices>>,
    watch: Option<WatchDescriptor>,
}

impl FileSwitch {
    /// Inside a runtime.
    pub(super) fn new(path: &Path) -> FileSwitch {
        let told = Notices::new().inspect_err(|error| {
            log::debug!(
                "access: {} is looked at, not watched: {error}",
                path.display()
            );
        });
        FileSwitch {
            path: path.to_owned(),
            name: path.file_name().map(OsString::from),
            notices: told.ok(),
            watch: None,
        }
    }

    /// Looks, after it has made sure that what happens from now on is told.
    pub(super) fn read(&mut self) -> Position {
        self.rewatch();
        match fs::metadata(&self.path) {
            Ok(_) => Position::On,
            Err(error) if error.kind() == ErrorKind::NotFound => Position::Off,
            Err(error) => Position::Unreadable(error.to_string()),
        }
    }

    /// Something happened that may concern the file. Safe to drop.
    pub(super) async fn moved(&mut self) {
        loop {
            let Some(notices) = &self.notices else {
                return pending().await;
            };
            // An error: the runtime is going down.
            let Ok(mut ready) = notices.readable().await else {
                return pending().await;
            };
            match notices.get_ref().0.read_events() {
                Ok(events) => {
                    if events.iter().any(|event| self.concerns(event)) {
                        return;
                    }
                }
                Err(Errno::EAGAIN) => ready.clear_ready(),
                Err(Errno::EINTR) => {}
                Err(_) => {
                    self.notices = None;
                    return;
                }
            }
        }
    }

    /// An event without a name is about the folder, or says that others were lost.
    fn concerns(&self, event: &InotifyEvent) -> bool {
        event.name.is_none() || event.name == self.name
    }

    /// Watches the folder that has the name now; it may be another than before. The same one again costs one system
    /// call and changes nothing.
    fn rewatch(&mut self) {
        let Some(notices) = &self.notices else {
            return;
        };
        let folder = match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            Some(_) | None => Path::new("."),
        };
        let inotify = &notices.get_ref().0;
        let watch = inotify.add_watch(folder, NOTICED).ok();
        if let Some(old) = self.watch
            && watch != Some(old)
        {
            // The kernel has dropped it already if its folder is gone.
            let _ = inotify.rm_watch(old);
        }
        self.watch = watch;
    }
}

struct Notices(Inotify);

impl Notices {
    fn new() -> io::Result<AsyncFd<Notices>> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        notices(Notices(inotify))
    }
}

impl AsRawFd for Notices {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}
