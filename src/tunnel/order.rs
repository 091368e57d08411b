//! What the agent tells a tunnel while it runs.

use crate::config::Routes;

/// An order to a tunnel.
pub enum Order {
    /// Stop in order: resets to the source, FIN to the controllers, WebSocket close.
    Stop,
    /// The owner changed the routes. Live connections to a route that stays are kept.
    Routes(Routes),
}
