//! The two tokens of a tunnel: the access token of AWS and the client token of the agent.

use std::fmt;

use rustls::crypto::{GetRandomFailed, ring};

use super::fault::Misfit;
use crate::limits::{ACCESS_TOKEN_MAX, CLIENT_TOKEN_BYTES};
use crate::secret::Secret;

/// The token that makes an access token last for every reconnection: the service takes an access
/// token again only from the one that brought this with it the first time.
#[derive(Debug, PartialEq, Eq)]
pub struct ClientToken(Secret);

impl ClientToken {
    /// A new one: a UUID of version 4 (RFC 9562, 5.4).
    ///
    /// # Errors
    /// If the system's random source fails.
    pub fn random() -> Result<ClientToken, GetRandomFailed> {
        let mut bytes = [0; 16];
        // The source that TLS uses anyway.
        ring::default_provider().secure_random.fill(&mut bytes)?;
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let mut text = String::with_capacity(36);
        for (index, byte) in bytes.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            for nibble in [byte >> 4, byte & 0x0f] {
                text.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
            }
        }
        zeroize::Zeroize::zeroize(&mut bytes);
        Ok(ClientToken(Secret::new(text)))
    }

    /// One that the owner gave.
    pub(super) fn parse(text: Secret) -> Result<ClientToken, Misfit> {
        let token = text.expose();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if CLIENT_TOKEN_BYTES.contains(&token.len()) && token.bytes().all(plain) {
            return Ok(ClientToken(text));
        }
        Err(Misfit::new(
            described(token, plain),
            "32 to 128 letters, digits and hyphens",
            "give a UUID, or leave it out: cellgate makes one",
        ))
    }

    /// One that this agent made before a restart; nothing if it is none.
    pub fn restore(text: &str) -> Option<ClientToken> {
        ClientToken::parse(Secret::new(text.to_owned())).ok()
    }

    /// The token itself, for the `client-token` header.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl fmt::Display for ClientToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether a text can be an access token: printable ASCII, so that it is one header of an HTTP request and no
/// more, and at most [`ACCESS_TOKEN_MAX`] bytes.
pub fn is_access_token(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic();
    (1..=ACCESS_TOKEN_MAX).contains(&text.len()) && text.bytes().all(plain)
}

/// An access token that the owner gave.
pub(super) fn parse_access_token(text: Secret) -> Result<Secret, Misfit> {
    if is_access_token(text.expose()) {
        return Ok(text);
    }
    Err(Misfit::new(
        described(text.expose(), |byte| byte.is_ascii_graphic()),
        format!("1 to {ACCESS_TOKEN_MAX} printable ASCII characters without spaces"),
        "give the destination access token of OpenTunnel or RotateTunnelAccessToken, on one line",
    ))
}

/// A wrong token in words, since the token itself must not be shown.
fn described(token: &str, plain: impl Fn(u8) -> bool) -> String {
    match token.bytes().position(|byte| !plain(byte)) {
        Some(at) => format!(
            "{} bytes (not shown), of which byte {} is not allowed",
            token.len(),
            at + 1
        ),
        None => format!("{} bytes (not shown)", token.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_tokens_are_uuids_and_differ() {
        let token = ClientToken::random().expect("a random source");
        let text = token.expose();
        let shape: String = text
            .chars()
            .map(|c| if c.is_ascii_hexdigit() { 'x' } else { c })
            .collect();
        assert_eq!(shape, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx");
        assert_eq!(text.as_bytes()[14], b'4', "the version");
        assert!(b"89ab".contains(&text.as_bytes()[19]), "the variant");
        assert!(text.bytes().all(|byte| !byte.is_ascii_uppercase()));
        let other = ClientToken::random().expect("a random source");
        assert_ne!(text, other.expose());
        assert!(ClientToken::parse(Secret::new(text.into())).is_ok());
    }

    #[test]
    fn client_tokens_have_their_length_and_alphabet() {
        for (text, good) in [
            ("a".repeat(31), false),
            ("a".repeat(32), true),
            ("Z9-".repeat(42), true),
            ("a".repeat(128), true),
            ("a".repeat(129), false),
            (format!("{}_", "a".repeat(40)), false),
            (format!("{}\n", "a".repeat(40)), false),
            (String::new(), false),
        ] {
            let parsed = ClientToken::parse(Secret::new(text.clone()));
            assert_eq!(parsed.is_ok(), good, "{text:?}");
        }
    }

    #[test]
    fn access_tokens_are_one_header_and_are_never_shown() {
        for (text, good) in [
            ("AQGAAXh-_=+/.token".to_owned(), true),
            ("a".repeat(ACCESS_TOKEN_MAX), true),
            ("a".repeat(ACCESS_TOKEN_MAX + 1), false),
            (String::new(), false),
            ("to ken".to_owned(), false),
            ("token\r\nclient-token: x".to_owned(), false),
            ("tökén".to_owned(), false),
        ] {
            let shown = text.clone();
            match parse_access_token(Secret::new(text)) {
                Ok(token) => assert!(good && token.expose() == shown),
                Err(misfit) => {
                    let said = format!("{misfit:?}");
                    assert!(!good && (shown.is_empty() || !said.contains(&shown)));
                }
            }
        }
    }
}
