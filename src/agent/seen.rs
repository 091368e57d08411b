//! The tokens that came already: QoS 1 may bring a notification twice.

use std::collections::VecDeque;

use ring::digest::{SHA256, digest};

use crate::limits::SEEN_MAX;
use crate::secret::Secret;

/// Hashes of the last [`SEEN_MAX`] tokens.
#[derive(Default)]
pub(super) struct Seen(VecDeque<[u8; 16]>);

impl Seen {
    /// Remembers a token; tells whether it was new.
    pub(super) fn is_new(&mut self, access_token: &Secret) -> bool {
        let hash = hash(access_token);
        if self.0.contains(&hash) {
            return false;
        }
        if self.0.len() == SEEN_MAX {
            self.0.pop_front();
        }
        self.0.push_back(hash);
        true
    }
}

fn hash(access_token: &Secret) -> [u8; 16] {
    let whole = digest(&SHA256, access_token.expose().as_bytes());
    let mut first = [0; 16];
    first.copy_from_slice(&whole.as_ref()[..16]);
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_new_once_and_old_ones_are_forgotten_last() {
        let token = |number: usize| Secret::new(format!("AQGA-{number}"));
        let mut seen = Seen::default();
        assert!(seen.is_new(&token(0)));
        assert!(!seen.is_new(&token(0)));
        for number in 1..=SEEN_MAX {
            assert!(seen.is_new(&token(number)));
        }
        assert!(!seen.is_new(&token(1)), "still known");
        assert!(seen.is_new(&token(0)), "pushed out by the newest");
    }
}
