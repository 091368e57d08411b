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
use std::rc::Rc;

use log::{error, warn};
use tokio::task::LocalSet;

use self::gateway::Gateway;
use crate::config::Config;
use crate::secret::Secret;
use crate::supervise::heartbeat::{Heartbeat, Round};
use crate::supervise::watchdog::Watchdog;

/// How the agent ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Stopped in order.
    Stopped,
    /// The service refused the one token that it was for.
    Refused,
    /// One of its loops hangs. The watchdogs are not fed any more.
    Hung,
}

/// Lives until the system ends it, or, if it is for the tunnel of `access_token` alone, until that is over.
///
/// # Errors
/// The system lacks what the agent cannot do without.
pub async fn run(config: Config, access_token: Option<Secret>) -> io::Result<Outcome> {
    let watchdog = Rc::new(Watchdog::open(config.watchdog.clone()));
    let heartbeat = Heartbeat::new();
    let gateway = Gateway::new(config, Rc::clone(&watchdog), Rc::clone(&heartbeat));
    let feeder = Rc::clone(&watchdog);
    let found = move |round: &Round| match round {
        Round::Alive => feeder.feed(),
        Round::Doubtful(which) => warn!("{which} turns without end; the watchdog is not fed"),
        Round::Hung(_) => {}
    };
    let every = watchdog.every();
    // Every tunnel is a task of its own, and so is what stands here: what wakes one does not look at the others.
    let tunnels = LocalSet::new();
    let life = tunnels.spawn_local(async move {
        tokio::select! {
            over = async { gateway?.live(access_token).await } => Ok(over),
            hung = heartbeat.run(every, found) => Err(hung),
        }
    });
    let living = Box::pin(tunnels.run_until(life));
    match living.await.map_err(io::Error::other)? {
        Ok(over) => {
            // An end with a reason is no hang; whoever starts the agent decides what comes of it.
            watchdog.release();
            over
        }
        Err(hung) => {
            error!(
                "{hung}; this is an error in cellgate. The agent ends, to be started again; its tunnels then rejoin"
            );
            Ok(Outcome::Hung)
        }
    }
}
