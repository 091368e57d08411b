//! Which streams a fault may have cut.
//!
//! A fault opens a window on what it touches: one tunnel, one target, the whole gateway. A stream that overlaps a window of
//! its own may end early; every other one must arrive whole.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a fault touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Scope {
    /// Everything that goes through the agent.
    Gateway,
    /// A place of the scene's tunnels.
    Tunnel(usize),
    /// What stands behind a service.
    Target(&'static str),
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct State {
    /// Windows so far.
    count: u64,
    /// Windows that are open.
    open: u32,
}

/// All windows.
#[derive(Debug, Default, Clone)]
pub(super) struct Cuts(Arc<Mutex<HashMap<Scope, State>>>);

/// An open window; it closes when this is dropped.
#[derive(Debug)]
pub(super) struct Window {
    cuts: Cuts,
    scope: Scope,
}

/// What the windows were when a stream began.
#[derive(Debug)]
pub(super) struct Stamp {
    cuts: Cuts,
    seen: Vec<(Scope, State)>,
}

impl Cuts {
    /// A fault begins.
    pub(super) fn open(&self, scope: Scope) -> Window {
        let mut states = self.states();
        let state = states.entry(scope).or_default();
        state.count += 1;
        state.open += 1;
        drop(states);
        Window {
            cuts: self.clone(),
            scope,
        }
    }

    /// A stream through these begins.
    pub(super) fn stamp(&self, scopes: &[Scope]) -> Stamp {
        let states = self.states();
        let seen = scopes.iter().map(|scope| {
            let state = states.get(scope).copied().unwrap_or_default();
            (*scope, state)
        });
        Stamp {
            seen: seen.collect(),
            cuts: self.clone(),
        }
    }

    fn states(&self) -> MutexGuard<'_, HashMap<Scope, State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stamp {
    /// Whether a fault may have cut the stream.
    pub(super) fn is_touched(&self) -> bool {
        let states = self.cuts.states();
        self.seen.iter().any(|(scope, seen)| {
            let now = states.get(scope).copied().unwrap_or_default();
            seen.open > 0 || now.count != seen.count
        })
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        if let Some(state) = self.cuts.states().get_mut(&self.scope) {
            state.open -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_touches_what_overlaps_it_and_nothing_else() {
        let cuts = Cuts::default();
        let ours = [Scope::Gateway, Scope::Tunnel(1)];
        let before = cuts.stamp(&ours);
        let beside = cuts.stamp(&[Scope::Gateway, Scope::Tunnel(2)]);
        let window = cuts.open(Scope::Tunnel(1));
        let within = cuts.stamp(&ours);
        drop(window);
        let behind = cuts.stamp(&ours);
        assert!(before.is_touched() && within.is_touched());
        assert!(!beside.is_touched() && !behind.is_touched());
        let _all = cuts.open(Scope::Gateway);
        assert!(beside.is_touched() && behind.is_touched());
    }
}
