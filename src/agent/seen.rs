//! The tokens that came already: QoS 1 may bring a notification twice.

use std::collections::VecDeque;

use ring::digest::{SHA256, digest};

use crate::limits::SEEN_MAX;
use crate::secret::Secret;

/// Hashes of the last [`SEEN_MAX`] tokens.
#[derive(Default)]
pub(super) struct Seen(VecDeque<[u8; 16]>);

impl Seen {
    /// Whether a token came already.
    pub(super) fn knows(&self, access_token: &Secret) -> bool {
        self.0.contains(&hash(access_token))
    }

    /// Remembers a token that got a place. One that was refused may come again.
    pub(super) fn remember(&mut self, access_token: &Secret) {
        if self.knows(access_token) {
            return;
        }
        if self.0.len() == SEEN_MAX {
            self.0.pop_front();
        }
        self.0.push_back(hash(access_token));
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
    fn tokens_are_known_until_newer_ones_push_them_out() {
        let token = |number: usize| Secret::new(format!("AQGA-{number}"));
        let mut seen = Seen::default();
        assert!(!seen.knows(&token(0)));
        seen.remember(&token(0));
        assert!(seen.knows(&token(0)));
        for number in 1..SEEN_MAX {
            seen.remember(&token(number));
            // Again and again takes no room.
            seen.remember(&token(number));
        }
        assert!(seen.knows(&token(0)), "there is room for all of them");
        seen.remember(&token(SEEN_MAX));
        assert!(!seen.knows(&token(0)), "pushed out by the newest");
        assert!(seen.knows(&token(1)));
    }
}
