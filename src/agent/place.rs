//! One tunnel's place in the gateway.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::places::Standing;
use super::rejoin::Live;
use crate::config::{ClientToken, Endpoint};
use crate::ledger::tunnel::{Came, TunnelEntry};
use crate::limits::TUNNEL_LIFETIME;
use crate::protocol::message::Address;
use crate::secret::Secret;
use crate::tunnel::desk::Desk;

/// A tunnel that wants a place.
pub(super) struct Arrival {
    pub(super) access_token: Secret,
    pub(super) client_token: ClientToken,
    pub(super) endpoint: Endpoint,
    pub(super) came: Came,
    pub(super) region: Option<String>,
    /// Its age: not nothing after a restart.
    pub(super) age: Duration,
    /// Streams that its source may still believe in.
    pub(super) gone: Vec<Address>,
}

impl Arrival {
    /// What a restart needs of it while it waits for its place.
    pub(super) fn live(&self) -> Live<'_> {
        Live {
            access_token: &self.access_token,
            client_token: &self.client_token,
            endpoint: &self.endpoint,
            age: self.age,
            entry: None,
        }
    }
}

/// A place that is taken.
pub(super) struct Place {
    pub(super) entry: Rc<TunnelEntry>,
    pub(super) desk: Rc<Desk>,
    pub(super) access_token: Rc<Secret>,
    pub(super) client_token: Rc<ClientToken>,
    pub(super) endpoint: Endpoint,
    /// When its life is over.
    pub(super) until: Instant,
}

impl Place {
    /// What it is worth when another tunnel wants it.
    pub(super) fn standing(&self) -> Standing {
        if self.desk.is_stopped() {
            return Standing::Leaving;
        }
        Standing::of(&self.entry)
    }

    /// What a restart needs of it.
    pub(super) fn live(&self, now: Instant) -> Live<'_> {
        Live {
            access_token: &self.access_token,
            client_token: &self.client_token,
            endpoint: &self.endpoint,
            age: TUNNEL_LIFETIME.saturating_sub(self.until.saturating_duration_since(now)),
            entry: Some(&self.entry),
        }
    }
}
