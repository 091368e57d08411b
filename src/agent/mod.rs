//! The gateway: a fixed number of places for tunnels, and who gets one.
//!
//! Is responsible for: taking tunnels from the command line, from MQTT notifications, from other programs of the
//! gateway and from before a restart; giving each a place (`places.rs`) and an end (its lifetime, `cellgate
//! close`, the service's word, the end of the agent); passing on what the system and the cell want.

mod arrivals;
mod gateway;
mod place;
mod places;
mod rejoin;
mod requests;
mod seen;
mod wishes;

use std::io;

use tokio::task::LocalSet;

use self::gateway::Gateway;
use crate::config::Config;
use crate::secret::Secret;

/// How the agent ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Stopped in order.
    Stopped,
    /// The service refused the one token that it was for.
    Refused,
}

/// Lives until the system ends it, or, if it is for the tunnel of `access_token` alone, until that is over.
///
/// # Errors
/// The system lacks what the agent cannot do without.
pub async fn run(config: Config, access_token: Option<Secret>) -> io::Result<Outcome> {
    // Every tunnel is a task of its own: what wakes one does not look at the others.
    LocalSet::new()
        .run_until(async { Gateway::new(config)?.live(access_token).await })
        .await
}
