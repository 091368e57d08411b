//! `[watchdog]`: the hardware that resets the machine when the agent hangs.

use std::path::PathBuf;
use std::time::Duration;

use super::document::Table;
use super::duration;
use super::fault::Faults;
use super::paths::absolute;
use crate::limits::{PATH_BYTES_MAX, WATCHDOG_BOUNDS, WATCHDOG_TIMEOUT};

/// The watchdog device, for images whose init does not watch the agent itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watchdog {
    /// For example `/dev/watchdog`; none means that the agent opens none.
    pub device: Option<PathBuf>,
    /// From the last sign of life to the reset, within [`WATCHDOG_BOUNDS`]. The hardware may round it.
    pub timeout: Duration,
}

impl Default for Watchdog {
    fn default() -> Watchdog {
        Watchdog {
            device: None,
            timeout: WATCHDOG_TIMEOUT,
        }
    }
}

/// What `[watchdog]` says.
pub(super) fn read(mut table: Table<'_>, faults: &mut Faults) -> Watchdog {
    const DEVICE: &str = "/dev/watchdog";
    let device = table.text("device", DEVICE, faults);
    let device = device
        .and_then(|(text, place)| faults.keep(place, absolute(&text, DEVICE, PATH_BYTES_MAX)));
    let timeout = duration::read(&mut table, "timeout", "30s", WATCHDOG_BOUNDS, faults);
    table.finish(faults);
    Watchdog {
        device,
        timeout: timeout.unwrap_or(WATCHDOG_TIMEOUT),
    }
}
