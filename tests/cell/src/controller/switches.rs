//! The misbehaviour a gateway meets in the field, each as a switch. All off is a good controller.

use std::time::Duration;

/// How connections misbehave. The default is a controller that works.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// What it says before the login.
    pub negotiation: Negotiation,
    /// Writes go out in random pieces of 1 to this many bytes.
    pub fragments: Option<usize>,
    /// Characters that come too fast are dropped.
    pub drop_beyond: Option<DropBeyond>,
    /// Once in a connection, it stops reading for a while.
    pub stall: Option<Stall>,
    /// It reads at most so many bytes a second: slow, but nothing is lost.
    pub read_rate: Option<u32>,
    /// After so many sent bytes it says nothing any more, but goes on reading. 0: not even the opening.
    pub mute_after: Option<u64>,
    /// LOAD fails at this chunk, counted from 1, with `(1 errors)`; the program is not stored.
    pub load_error_at: Option<u32>,
}

/// The telnet opening.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Negotiation {
    /// That of an E controller, as recorded.
    #[default]
    Normal,
    /// None at all: text from the first byte.
    None,
    /// Legal, but unlike any controller: unknown options, an empty and a long subnegotiation with a doubled FF in it,
    /// a go-ahead in the middle of the text.
    Odd,
}

/// Characters beyond this rate are lost, as in an input buffer that nobody empties in time.
#[derive(Clone, Copy, Debug)]
pub struct DropBeyond {
    /// What the controller keeps up with.
    pub bytes_per_second: u32,
    /// The size of its input buffer in bytes: what may come at once.
    pub burst: u32,
}

/// A pause in reading.
#[derive(Clone, Copy, Debug)]
pub struct Stall {
    /// It begins when so many bytes were received.
    pub after: u64,
    /// It lasts so long.
    pub lasts: Duration,
}

/// What ends "SAVE/LOAD in progress" (P2076) after a connection was lost in the middle of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jam {
    /// Only [`reboot`](super::Controller::reboot), as in the field.
    UntilReboot,
    /// The controller finds out by itself after this time.
    For(Duration),
}
