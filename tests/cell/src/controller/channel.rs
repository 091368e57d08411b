//! The terminal channels: how many people may be logged in at once.

use std::sync::Arc;

use super::state::Shared;

/// A taken terminal channel; it is free again when this is dropped.
pub(super) struct Channel {
    shared: Arc<Shared>,
    place: usize,
}

impl Channel {
    /// Takes the lowest free channel, as the controller does; none if all are taken.
    pub(super) fn take(shared: &Arc<Shared>) -> Option<Self> {
        let mut state = shared.lock();
        let place = state.channels.iter().position(|taken| !taken)?;
        state.channels[place] = true;
        Some(Self {
            shared: Arc::clone(shared),
            place,
        })
    }

    /// The name the controller gives it: `AUX1`, `AUX2`, …
    pub(super) fn name(&self) -> String {
        format!("AUX{}", self.place + 1)
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.shared.lock().channels[self.place] = false;
    }
}
