//! `[access]`: when the cell lets anybody in. It is not a safety function.

use std::path::PathBuf;
use std::time::Duration;

use super::document::Table;
use super::duration;
use super::fault::{Faults, Misfit, quoted};
use super::paths::absolute;
use super::window::Window;
use crate::limits::{PATH_BYTES_MAX, SESSION_BOUNDS, WINDOWS_MAX};

/// What must be so for a tunnel to be open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// What must be on.
    pub key_switch: Option<KeySwitch>,
    /// A switch that cannot be read counts as off; otherwise as on.
    pub fail_closed: bool,
    /// When it may be open, in local time; none is always.
    pub windows: Vec<Window>,
}

impl Default for Access {
    /// Always open; a switch that cannot be read is off.
    fn default() -> Access {
        Access {
            key_switch: None,
            fail_closed: true,
            windows: Vec::new(),
        }
    }
}

/// A switch in the cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySwitch {
    /// On while this file exists.
    File(PathBuf),
    /// On while this line of a GPIO chip is active.
    Gpio {
        /// The chip's name below `/dev`.
        chip: String,
        /// The line's offset on the chip.
        line: u32,
    },
}

impl KeySwitch {
    /// A file, or a line of a GPIO chip.
    pub(super) fn parse(text: &str) -> Result<KeySwitch, Misfit> {
        const FILE: &str = "/run/cell/remote-enabled";
        if let Some(rest) = text.strip_prefix("gpiochip") {
            return gpio(rest).ok_or_else(|| {
                Misfit::new(
                    quoted(text),
                    "a GPIO chip and the number of its line",
                    "write for example \"gpiochip0:17\"; `gpioinfo` lists them",
                )
            });
        }
        // A file of this name is never there, and the switch would be off for ever.
        if text.starts_with("/dev/gpiochip") {
            return Err(Misfit::new(
                quoted(text),
                "a GPIO line without its folder, or another file",
                "write for example \"gpiochip0:17\"",
            ));
        }
        absolute(text, FILE, PATH_BYTES_MAX).map(KeySwitch::File)
    }
}

/// What stands behind `gpiochip`.
fn gpio(rest: &str) -> Option<KeySwitch> {
    // The kernel counts lines in 16 bits (`ngpio`).
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u16>().ok()).flatten()
    };
    let (chip, line) = rest.split_once(':')?;
    Some(KeySwitch::Gpio {
        chip: format!("gpiochip{}", number(chip)?),
        line: number(line)?.into(),
    })
}

/// What `[access]` says: the rule, and the session of routes without one of their own.
pub(super) fn read(mut table: Table<'_>, faults: &mut Faults) -> (Access, Option<Duration>) {
    let key_switch = table
        .text("key-switch", "/run/cell/remote-enabled", faults)
        .and_then(|(text, place)| faults.keep(place, KeySwitch::parse(&text)));
    let fail_closed = table.boolean("fail-closed", faults);
    let mut windows = Vec::new();
    for (text, place) in table.texts("windows", "mon-fri 07:00-19:00", WINDOWS_MAX, faults) {
        windows.extend(faults.keep(place, Window::parse(&text)));
    }
    let session = duration::read(&mut table, "session", "4h", SESSION_BOUNDS, faults);
    table.finish(faults);
    let access = Access {
        key_switch,
        fail_closed: fail_closed.unwrap_or(true),
        windows,
    };
    (access, session)
}
