//! What the cell says, and why.

use std::fmt;
use std::mem::discriminant;

/// What the cell says.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Tunnels may be open; the text says what allows it.
    On(String),
    /// No tunnel may be open.
    Off(Why),
}

impl Verdict {
    /// Whether tunnels may be open.
    pub fn is_on(&self) -> bool {
        match self {
            Verdict::On(_) => true,
            Verdict::Off(_) => false,
        }
    }

    /// Whether nobody needs to be told that `self` became `other`: both are on, or off for the same reason.
    pub(super) fn is_like(&self, other: &Verdict) -> bool {
        match (self, other) {
            (Verdict::On(_), Verdict::On(_)) => true,
            (Verdict::Off(one), Verdict::Off(other)) => discriminant(one) == discriminant(other),
            (Verdict::On(_), Verdict::Off(_)) | (Verdict::Off(_), Verdict::On(_)) => false,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::On(reason) => out.write_str(reason),
            Verdict::Off(why) => why.fmt(out),
        }
    }
}

/// Why access is off.
#[derive(Clone, Debug)]
pub enum Why {
    /// The key switch is off.
    Switch {
        /// The switch as the configuration names it.
        switch: String,
    },
    /// The key switch cannot be read, and the configuration says that this is off.
    Unreadable {
        /// The switch as the configuration names it.
        switch: String,
        /// What the system says of it.
        error: String,
    },
    /// It is outside all windows.
    Windows {
        /// The windows as the configuration spells them.
        windows: String,
        /// The local time, `Sat 12:03`.
        now: String,
    },
    /// There are windows, the clock is not set, and the configuration fails closed.
    Clock {
        /// What is wrong with the clock.
        doubt: String,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Switch { switch } => write!(out, "the key switch {switch} is off"),
            Why::Unreadable { switch, error } => {
                write!(
                    out,
                    "the key switch {switch} cannot be read: {error}; fail-closed"
                )
            }
            Why::Windows { windows, now } => {
                write!(out, "outside the windows: {windows} (it is {now})")
            }
            Why::Clock { doubt } => {
                write!(
                    out,
                    "nobody knows whether it is inside the windows: {doubt}; fail-closed"
                )
            }
        }
    }
}
