//! What people and programs of the gateway ask for at the local socket.

use std::time::Instant;

use super::gateway::Gateway;
use crate::limits::STATUS_EVERY;

impl Gateway {
    pub(super) fn status_due(&self) -> Instant {
        super::gateway::now() + STATUS_EVERY
    }
    pub(super) fn write_status(&mut self, now: Instant) {
        let _ = now;
    }
}
