//! Who gets a place: a fixed number of tunnels, and what happens when one more comes.
//!
//! Source of the rule: `aws.md`. A token that comes while places are taken can mean a new tunnel or, after
//! RotateTunnelAccessToken, a replacement; nothing in it tells which. So a tunnel that is connected stays, one
//! that is not gives its place, and when all are connected the token is refused.

use std::time::Instant;

use crate::ledger::tunnel::{TunnelEntry, TunnelState};

/// What a taken place is worth to the one who has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Connected, or on its first way there: it stays.
    Live,
    /// Not connected since then: it gives its place.
    Down(Instant),
    /// It was told to end and will be gone in a moment.
    Leaving,
}

impl Standing {
    /// The standing of a tunnel that nobody has told to end.
    pub(super) fn of(entry: &TunnelEntry) -> Standing {
        match entry.state() {
            TunnelState::Up => Standing::Live,
            // A token that has just come must not be pushed out by the next one of the same second.
            TunnelState::Dialling if !entry.was_up.get() && entry.failures.get() == 0 => {
                Standing::Live
            }
            TunnelState::Dialling
            | TunnelState::WaitingForClock
            | TunnelState::WaitingForAccess
            | TunnelState::WaitingToRetry
            | TunnelState::Ending => Standing::Down(entry.down_since()),
        }
    }
}

/// What happens to a token that comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ruling {
    /// A place is free.
    Free,
    /// A place will be free in a moment, and nobody waits for it yet.
    Wait,
    /// It gets the place of this tunnel, which is down.
    Replace(usize),
    /// All tunnels are connected.
    Refuse,
}

/// The ruling for one more token, with `places` in all and `waiting` tokens that have the word of one.
pub(super) fn rule(taken: &[Standing], waiting: usize, places: usize) -> Ruling {
    if taken.len() + waiting < places {
        return Ruling::Free;
    }
    let staying = taken
        .iter()
        .filter(|&&standing| standing != Standing::Leaving);
    if staying.count() + waiting < places {
        return Ruling::Wait;
    }
    let down = taken
        .iter()
        .enumerate()
        .filter_map(|(index, standing)| match standing {
            Standing::Down(since) => Some((since, index)),
            Standing::Live | Standing::Leaving => None,
        });
    match down.min() {
        Some((_, longest)) => Ruling::Replace(longest),
        None => Ruling::Refuse,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_connected_stay_and_the_one_that_is_down_longest_goes() {
        use Ruling::{Free, Refuse, Replace, Wait};
        use Standing::{Down, Leaving, Live};
        let now = Instant::now();
        let (old, new) = (Down(now), Down(now + Duration::from_secs(1)));
        for (taken, waiting, ruling) in [
            (&[][..], 0, Free),
            (&[Live, old, Leaving], 0, Free),
            (&[Live, old, Live], 1, Replace(1)),
            (&[Live, Live, Live, Live], 0, Refuse),
            (&[Live, new, old, Live], 0, Replace(2)),
            (&[old, old, new, new], 0, Replace(0)),
            (&[Leaving, Live, new, Live], 0, Wait),
            (&[Leaving, Live, new, Live], 1, Replace(2)),
            (&[Leaving, Live, Leaving, Live], 1, Wait),
            (&[Leaving, Live, Leaving, Live], 2, Refuse),
        ] {
            assert_eq!(rule(taken, waiting, 4), ruling, "{taken:?} {waiting}");
        }
        assert_eq!(rule(&[Live], 0, 1), Refuse);
        assert_eq!(rule(&[old], 0, 1), Replace(0));
    }
}
