//! The watchdog device of the kernel: hardware that resets the machine when nobody writes to it for its timeout.
//!
//! Source: Documentation/watchdog/watchdog-api.rst of the kernel. A byte feeds it; the byte `V` before it is closed
//! disarms it ("magic close"), unless the kernel was told `nowayout`; every other end, a crash too, leaves it armed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use log::{info, warn};

use super::ioctl;

/// What disarms it.
const MAGIC: &[u8] = b"V";

/// Any byte but [`MAGIC`] feeds it.
const FOOD: &[u8] = b"\0";

/// It can be disarmed. Source: `WDIOF_MAGICCLOSE` of linux/watchdog.h.
const MAGIC_CLOSE: u32 = 0x0100;

/// What the hardware says of the last reset. Source: the same, `WDIOF_*`.
const CAUSES: [(u32, &str); 7] = [
    (0x01, "the processor was too hot"),
    (0x02, "a fan had failed"),
    (0x04, "external relay 1"),
    (0x08, "external relay 2"),
    (0x10, "the supply voltage was too low"),
    (0x20, "the watchdog: nobody had fed it in time"),
    (0x40, "the supply voltage was too high"),
];

/// An armed watchdog. Dropped without [`disarm`](Device::disarm) it resets the machine.
pub(super) struct Device {
    path: PathBuf,
    file: File,
    /// The one that the hardware took.
    pub(super) timeout: Duration,
}

impl Device {
    /// Opens it, which arms it; says what it is, and what the last reset was.
    ///
    /// # Errors
    /// A sentence for the log.
    pub(super) fn arm(path: &Path, wanted: Duration) -> Result<Device, String> {
        let file = OpenOptions::new().write(true).open(path).map_err(|error| {
            let advice = match error.raw_os_error() {
                Some(nix::libc::EBUSY) => {
                    "another program has it; is systemd's RuntimeWatchdogSec set, or does a \
                     watchdog daemon run?"
                }
                Some(nix::libc::EACCES | nix::libc::EPERM) => {
                    "give the agent's group the device, by the udev rule"
                }
                _ => "does the kernel have the driver, and is its module loaded?",
            };
            format!("cannot be opened ({error}); {advice}")
        })?;
        let mut device = Device {
            path: path.to_owned(),
            file,
            timeout: wanted,
        };
        device.set_up(wanted);
        Ok(device)
    }

    fn set_up(&mut self, wanted: Duration) {
        let path = self.path.display();
        let seconds = i32::try_from(wanted.as_secs()).unwrap_or(i32::MAX);
        if let Err(error) = ioctl::set_timeout(&self.file, seconds) {
            warn!("watchdog: {path}: its timeout cannot be set ({error})");
        }
        match ioctl::timeout(&self.file) {
            Ok(seconds) => {
                let seconds = u64::try_from(seconds).unwrap_or(0).max(1);
                self.timeout = Duration::from_secs(seconds);
                if self.timeout != wanted {
                    warn!(
                        "watchdog: {path}: took a timeout of {seconds} s instead of the {} s of [watchdog]",
                        wanted.as_secs()
                    );
                }
            }
            Err(error) => warn!("watchdog: {path}: its timeout cannot be read ({error})"),
        }
        let (identity, options) = match ioctl::support(&self.file) {
            Ok(support) => (support.identity(), support.options),
            Err(error) => (format!("does not say what it is, {error}"), 0),
        };
        let stop = match (is_without_way_out(&self.path), options & MAGIC_CLOSE != 0) {
            (false, true) => "an orderly stop disarms it",
            (true, _) => {
                "nowayout is set: after an orderly stop it resets the machine too, unless the agent is started again \
                 in time"
            }
            (false, false) => {
                "it does not know the magic close: what a stop does is up to its driver"
            }
        };
        info!(
            "watchdog: {path} ({identity}) is armed: it resets this machine after {} s without a heartbeat; {stop}",
            self.timeout.as_secs()
        );
        match ioctl::boot_status(&self.file) {
            Ok(status) => say_last_reset(status),
            Err(error) => info!("watchdog: {path} does not say what the last reset was ({error})"),
        }
    }

    /// It is quiet for another timeout.
    pub(super) fn feed(&self) -> io::Result<()> {
        (&self.file).write_all(FOOD)
    }

    /// The end, in order.
    pub(super) fn disarm(self) {
        match (&self.file).write_all(MAGIC) {
            Ok(()) => info!("watchdog: {} is closed in order", self.path.display()),
            Err(error) => warn!(
                "watchdog: {} cannot be disarmed ({error}): it resets this machine in {} s unless it is fed",
                self.path.display(),
                self.timeout.as_secs()
            ),
        }
    }
}

fn say_last_reset(status: i32) {
    match causes(status.cast_unsigned()) {
        None => info!("watchdog: the last start of this machine was no reset of the watchdog's"),
        Some(causes) => {
            warn!("watchdog: the last reset of this machine: {causes} (boot status {status:#x})");
        }
    }
}

fn causes(status: u32) -> Option<String> {
    let known = CAUSES.iter().filter(|(bit, _)| status & bit != 0);
    let known: Vec<&str> = known.map(|(_, cause)| *cause).collect();
    match (status, known.is_empty()) {
        (0, _) => None,
        (_, true) => Some("a cause that this agent does not know".to_owned()),
        (_, false) => Some(known.join(", ")),
    }
}

/// Whether the kernel was told never to let go of it again.
fn is_without_way_out(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // The old name of the first one.
    let name = if name == "watchdog" {
        "watchdog0"
    } else {
        &*name
    };
    let nowayout = fs::read_to_string(format!("/sys/class/watchdog/{name}/nowayout"));
    nowayout.is_ok_and(|text| text.trim() == "1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_reset_is_a_sentence() {
        assert_eq!(causes(0), None);
        let fed = "the watchdog: nobody had fed it in time";
        assert_eq!(causes(0x20).as_deref(), Some(fed));
        let two = format!("the supply voltage was too low, {fed}");
        assert_eq!(causes(0x30), Some(two));
        assert_eq!(
            causes(0x8000).as_deref(),
            Some("a cause that this agent does not know")
        );
    }

    #[test]
    fn what_is_no_watchdog_is_said_and_does_no_harm() {
        let missing = Device::arm(Path::new("/dev/no-such-watchdog"), Duration::from_secs(30));
        let why = missing.err().expect("there is none");
        assert!(why.contains("does the kernel have the driver"), "{why}");
        // It takes bytes, but it is none: every question to it fails.
        let null = Device::arm(Path::new("/dev/null"), Duration::from_secs(30)).expect("opens");
        assert_eq!(null.timeout, Duration::from_secs(30));
        null.feed().expect("fed");
        null.disarm();
    }
}
