//! Access tokens: how they look and how often they work.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use sha2::{Digest as _, Sha256};

/// Whether a token may be used, for one side of one tunnel.
///
/// A token works once, unless every later try brings the client token of the first.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) enum Use {
    /// Never used.
    #[default]
    Fresh,
    /// Used without a client token: worth nothing any more.
    Spent,
    /// Used with this client token, and good for whoever brings it again.
    Bound(String),
}

impl Use {
    /// Whether a handshake with this client token is let in.
    pub(super) fn allows(&self, client_token: Option<&str>) -> bool {
        match self {
            Self::Fresh => true,
            Self::Spent => false,
            Self::Bound(first) => client_token == Some(first),
        }
    }

    /// Notes a handshake that was let in.
    pub(super) fn note(&mut self, client_token: Option<&str>) {
        if *self == Self::Fresh {
            *self = client_token.map_or(Self::Spent, |token| Self::Bound(token.to_owned()));
        }
    }
}

/// A new access token. As long as real ones are (about 500 characters), for the limit of a request to mean something.
pub(super) fn access_token() -> String {
    let mut token = String::from("AQGAAX");
    while token.len() < 500 {
        token.push_str(&random_hex());
    }
    token.push('=');
    token
}

/// 64 random hex digits. Not for secrets of the real world.
pub(crate) fn random_hex() -> String {
    let mut hash = Sha256::new();
    for _ in 0..4 {
        // Each RandomState has a key of its own.
        hash.update(RandomState::new().build_hasher().finish().to_ne_bytes());
    }
    hash.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A client token like the agent's own: a UUID of version 4.
pub fn client_token() -> String {
    let hex = random_hex();
    format!(
        "{}-{}-4{}-8{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[13..16],
        &hex[17..20],
        &hex[20..32]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_without_a_client_token_works_once() {
        let mut used = Use::Fresh;
        assert!(used.allows(None));
        used.note(None);
        assert!(!used.allows(None));
        assert!(!used.allows(Some("first")));
    }

    #[test]
    fn a_token_with_a_client_token_works_for_that_one_only() {
        let mut used = Use::Fresh;
        used.note(Some("first"));
        assert!(used.allows(Some("first")));
        assert!(!used.allows(Some("second")));
        assert!(!used.allows(None));
        used.note(Some("first"));
        assert_eq!(used, Use::Bound("first".to_owned()));
    }

    #[test]
    fn tokens_differ_and_a_client_token_is_a_uuid() {
        assert_ne!(access_token(), access_token());
        let token = client_token();
        assert_eq!(token.len(), 36);
        assert_eq!(token.as_bytes()[14], b'4');
    }
}
