//! `[places]`: how much at once.

use super::document::Table;
use super::fault::Faults;
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

/// What `[places]` says.
pub(super) fn read(mut table: Table<'_>, faults: &mut Faults) -> Places {
    let mut number = |key, most: usize| {
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        let number = table.number(key, 1..=most, most, faults);
        number.and_then(|number| usize::try_from(number).ok())
    };
    let tunnels = number("tunnels", limits::TUNNELS_MAX);
    let connections = number("connections", limits::CONNECTIONS_MAX);
    table.finish(faults);
    let all = Places::default();
    Places {
        tunnels: tunnels.unwrap_or(all.tunnels),
        connections: connections.unwrap_or(all.connections),
    }
}
