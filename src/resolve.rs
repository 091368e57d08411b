//! Names to addresses, without blocking the loop and without one name holding up another's.
//!
//! The system's resolver blocks, for half a minute if it must, so it runs in a thread. The service and the
//! controllers have a lane each: a controller's name that hangs never keeps the agent from the service.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::limits::RESOLVE_LIMIT;

/// Whose names are resolved; one at a time in each lane, a thread for each (see `RESOLVERS` in the limits).
pub struct Lane(Semaphore);

/// The names of the service's endpoints.
pub static SERVICE: Lane = Lane(Semaphore::const_new(1));

/// The names of controllers.
pub static CONTROLLERS: Lane = Lane(Semaphore::const_new(1));

/// Why a name has no address.
#[derive(Debug)]
pub enum ResolveError {
    /// The resolver says no.
    Failed(io::Error),
    /// The resolver knows the name, and no address for it.
    Empty,
    /// The resolver did not answer within [`RESOLVE_LIMIT`].
    Timeout,
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ResolveError::Failed(error) => write!(f, "cannot be resolved ({error})"),
            ResolveError::Empty => write!(f, "has no address"),
            ResolveError::Timeout => {
                write!(f, "was not resolved within {} s", RESOLVE_LIMIT.as_secs())
            }
        }
    }
}

/// The addresses of a name, at least one.
///
/// # Errors
/// Why there is none, within [`RESOLVE_LIMIT`].
pub async fn addresses(
    lane: &'static Lane,
    name: &str,
    port: u16,
) -> Result<Vec<SocketAddr>, ResolveError> {
    let name = name.to_owned();
    let found = timeout(RESOLVE_LIMIT, async move {
        let permit = lane.0.acquire().await;
        // The permit goes with the thread: it is given back when the resolver answers, not when we lose patience.
        spawn_blocking(move || {
            let _permit = permit;
            (name.as_str(), port)
                .to_socket_addrs()
                .map(Iterator::collect)
        })
        .await
    });
    let found: Vec<SocketAddr> = match found.await {
        Err(_) => return Err(ResolveError::Timeout),
        Ok(Err(lost)) => return Err(ResolveError::Failed(io::Error::other(lost))),
        Ok(Ok(found)) => found.map_err(ResolveError::Failed)?,
    };
    if found.is_empty() {
        return Err(ResolveError::Empty);
    }
    Ok(found)
}
