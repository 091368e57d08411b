//! What a restart needs to come back: the tokens of live tunnels, and the streams that were open.
//!
//! One file below the runtime folder, which is memory and not flash, readable by the agent alone. A tunnel
//! is in it from the moment it has a place until it is over; a stop of the agent is no end of a tunnel.

use std::borrow::Cow;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use log::{error, info, warn};
use nix::fcntl::OFlag;
use nix::sys::statfs::{FsType, TMPFS_MAGIC, statfs};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::geteuid;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::config::{ClientToken, Endpoint};
use crate::ledger::tunnel::TunnelEntry;
use crate::limits::{REJOIN_FILE_MAX, SERVICES_MAX};
use crate::protocol::ids::{ServiceId, StreamId};
use crate::protocol::message::Address;
use crate::protocol::notification::Notification;
use crate::secret::Secret;

/// The other file system of memory, which nix does not name. Source: linux/magic.h.
const RAMFS: FsType = FsType(0x8584_58f6);

/// A tunnel as the file has it.
#[derive(Serialize, Deserialize)]
struct Saved<'a> {
    #[serde(borrow)]
    access_token: Cow<'a, str>,
    #[serde(borrow)]
    client_token: Cow<'a, str>,
    host: Cow<'a, str>,
    port: u16,
    /// Seconds of the boot's clock, which no change of the time of day moves.
    opened: u64,
    streams: Vec<SavedStream<'a>>,
}

#[derive(Serialize, Deserialize, PartialEq)]
struct SavedStream<'a> {
    /// Empty for a source that names none.
    service: Cow<'a, str>,
    stream: i32,
}

#[derive(Serialize, Deserialize)]
struct Record<'a> {
    /// The boot in which it was written: with another one `opened` means nothing.
    boot: Cow<'a, str>,
    #[serde(borrow)]
    tunnels: Vec<Saved<'a>>,
}

/// A tunnel that was live before the restart.
pub(super) struct Rejoined {
    pub(super) access_token: Secret,
    pub(super) client_token: ClientToken,
    pub(super) endpoint: Endpoint,
    /// Its age.
    pub(super) age: Duration,
    /// Streams that its source may still believe in.
    pub(super) gone: Vec<Address>,
}

/// A tunnel that is live now.
pub(super) struct Live<'a> {
    pub(super) access_token: &'a Secret,
    pub(super) client_token: &'a ClientToken,
    pub(super) endpoint: &'a Endpoint,
    /// Its age.
    pub(super) age: Duration,
    /// None while it waits for a place.
    pub(super) entry: Option<&'a TunnelEntry>,
}

/// The rejoin file.
pub(super) struct Rejoin {
    path: PathBuf,
    /// The hash of what was written last.
    written: Option<[u8; 32]>,
    failing: bool,
}

impl Rejoin {
    /// At this path; says so if it is not memory.
    pub(super) fn at(path: PathBuf) -> Rejoin {
        if let Some(folder) = path.parent()
            && let Ok(found) = statfs(folder)
            && !is_memory(found.filesystem_type())
        {
            warn!(
                "{}: is not on a tmpfs: the tokens of live tunnels would be written to flash; \
                 set [paths] runtime to a folder below /run",
                folder.display()
            );
        }
        Rejoin {
            path,
            written: None,
            failing: false,
        }
    }

    /// The tunnels that were live before the restart. A file that cannot be trusted is not read.
    pub(super) fn read(&self) -> Vec<Rejoined> {
        let bytes = match read_own(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => {
                warn!(
                    "{}: {error}; no tunnel is rejoined from it",
                    self.path.display()
                );
                return Vec::new();
            }
        };
        let Ok(record) = serde_json::from_slice::<Record<'_>>(&bytes) else {
            warn!(
                "{}: is not what an agent writes; no tunnel is rejoined from it",
                self.path.display()
            );
            return Vec::new();
        };
        let same_boot = record.boot == boot_id();
        record
            .tunnels
            .into_iter()
            .filter_map(|saved| saved.rejoined(same_boot))
            .collect()
    }

    /// Writes what is live now, if it is not what was written last.
    pub(super) fn write<'a>(&mut self, live: impl Iterator<Item = Live<'a>>) {
        let tunnels: Vec<Saved<'_>> = live.map(Saved::of).collect();
        let empty = tunnels.is_empty();
        let record = Record {
            boot: boot_id().into(),
            tunnels,
        };
        // Reserved, so that no half of a token stays behind in memory when it grows.
        let mut bytes = Zeroizing::new(Vec::with_capacity(REJOIN_FILE_MAX));
        if serde_json::to_writer(&mut *bytes, &record).is_err() {
            return;
        }
        let hash = hash(&bytes);
        if self.written == Some(hash) {
            return;
        }
        let written = if empty {
            remove(&self.path)
        } else {
            replace(&self.path, &bytes)
        };
        match written {
            Ok(()) => {
                if std::mem::take(&mut self.failing) {
                    info!("{}: can be written again", self.path.display());
                }
                self.written = Some(hash);
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    error!(
                        "{}: {error}: after a restart the agent will not find its tunnels again",
                        self.path.display()
                    );
                }
            }
        }
    }
}

impl<'a> Saved<'a> {
    fn of(live: Live<'a>) -> Saved<'a> {
        let mut streams: Vec<SavedStream<'a>> = Vec::new();
        let entries = live.entry.map(TunnelEntry::streams);
        for entry in entries.iter().flat_map(|entries| entries.iter()) {
            let saved = SavedStream {
                service: entry.service.clone().into(),
                stream: entry.stream,
            };
            if !entry.is_finishing() && streams.len() < SERVICES_MAX && !streams.contains(&saved) {
                streams.push(saved);
            }
        }
        Saved {
            access_token: live.access_token.expose().into(),
            client_token: live.client_token.expose().into(),
            host: live.endpoint.host.as_str().into(),
            port: live.endpoint.port,
            // Rounded last, or the second of a tunnel would be now this and now that one, and the file written anew.
            opened: since_boot().saturating_sub(live.age).as_secs(),
            streams,
        }
    }

    fn rejoined(self, same_boot: bool) -> Option<Rejoined> {
        let notification = Notification::of_token(&self.access_token).ok()?;
        let opened = if same_boot {
            self.opened
        } else {
            since_boot().as_secs()
        };
        let gone = self.streams.iter().filter_map(|saved| {
            Some(Address {
                stream: StreamId::new(saved.stream)?,
                service: ServiceId::new(&saved.service),
                connection: None,
            })
        });
        Some(Rejoined {
            access_token: notification.access_token,
            client_token: ClientToken::restore(&self.client_token)?,
            endpoint: Endpoint {
                host: self.host.into_owned(),
                port: self.port,
            },
            age: since_boot().saturating_sub(Duration::from_secs(opened)),
            gone: gone.take(SERVICES_MAX).collect(),
        })
    }
}

/// The whole file, if nobody else could have written it.
fn read_own(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(path)?;
    let about = file.metadata()?;
    if !about.is_file() || about.uid() != geteuid().as_raw() || about.mode() & 0o077 != 0 {
        return Err(io::Error::other(
            "expected a file of the agent's own user that nobody else may read (0600)",
        ));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(REJOIN_FILE_MAX + 1));
    file.take(REJOIN_FILE_MAX as u64 + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() > REJOIN_FILE_MAX {
        return Err(io::Error::other("is larger than any that an agent writes"));
    }
    Ok(bytes)
}

/// A new file in the place of the old one: a crash leaves one of both, whole.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    remove(&new)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(bytes)?;
    fs::rename(&new, path)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

fn is_memory(kind: FsType) -> bool {
    kind == TMPFS_MAGIC || kind == RAMFS
}

fn boot_id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

fn since_boot() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
}
