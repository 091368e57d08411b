//! `[access]`: when the cell lets anybody in. It is not a safety function.

use std::path::PathBuf;

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

/// A time of the week in which access is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// The days on which it begins: bit 0 is Monday.
    pub days: u8,
    /// Minutes after midnight.
    pub from: u16,
    /// Minutes after midnight, not included; at or before `from` it is on the next day.
    pub until: u16,
}
