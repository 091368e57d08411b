//! What became of a connection, and why.

use std::fmt;
use std::io;
use std::time::Duration;

use super::connect::ConnectError;

/// What became of a connection.
#[derive(Debug)]
pub enum Event {
    /// The target is connected.
    Connected,
    /// The target cannot be reached.
    ConnectFailed(ConnectError),
    /// The connection must end now; nothing more will be read.
    Over(Over),
}

/// Why a connection ends on the side of the controller.
#[derive(Debug)]
pub enum Over {
    /// The controller closed it.
    Closed,
    /// The connection broke.
    Broken(io::Error),
    /// The controller took no byte for this long, while some waited.
    Stalled(Duration),
    /// No byte went either way for the route's idle time.
    Idle(Duration),
    /// It is as old as the route lets a connection become.
    TooOld(Duration),
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Over::Closed => write!(f, "the controller closed the connection"),
            Over::Broken(error) => write!(f, "the connection to the controller broke: {error}"),
            Over::Stalled(time) => write!(
                f,
                "the controller took no byte for {:.0} s while some waited; is it busy, held, or in an error?",
                time.as_secs_f64()
            ),
            Over::TooOld(time) => write!(
                f,
                "it lasted {}, the longest session that the configuration allows",
                humantime::format_duration(*time)
            ),
            Over::Idle(time) => write!(
                f,
                "no byte either way for {}, the route's idle time",
                humantime::format_duration(*time)
            ),
        }
    }
}
