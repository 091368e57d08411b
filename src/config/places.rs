//! `[places]`: how much at once.

use crate::limits;

/// How much the gateway carries at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// Tunnels, 1 to [`TUNNELS_MAX`](limits::TUNNELS_MAX).
    pub tunnels: usize,
    /// Connections of each tunnel, 1 to [`CONNECTIONS_MAX`](limits::CONNECTIONS_MAX).
    pub connections: usize,
}

impl Default for Places {
    fn default() -> Places {
        Places {
            tunnels: limits::TUNNELS_MAX,
            connections: limits::CONNECTIONS_MAX,
        }
    }
}
