//! The whole status in one word.

use serde::{Deserialize, Serialize};

use super::Status;

/// The whole status in one word, for a lamp or a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Somebody can be in the cell: a tunnel is up.
    Connected,
    /// No tunnel is up, and nothing is wrong: one would be taken in.
    Ready,
    /// The cell lets nobody in.
    Closed,
    /// Something is wrong: the clock, the broker, or a tunnel that cannot reach its service.
    Trouble,
}

impl State {
    /// What `status` comes to.
    pub(super) fn of(status: &Status) -> State {
        let up = status.tunnels.iter().any(|tunnel| tunnel.up);
        let failing = status.tunnels.iter().any(|tunnel| tunnel.failures > 0);
        let deaf = status.mqtt.as_ref().is_some_and(|mqtt| !mqtt.connected);
        if !status.access.on {
            State::Closed
        } else if up {
            State::Connected
        } else if !status.clock_plausible || failing || deaf {
            State::Trouble
        } else {
            State::Ready
        }
    }
}
