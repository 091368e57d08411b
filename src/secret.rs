//! A text that must not be seen: an access token, a client token.

use std::fmt;

use zeroize::Zeroizing;

/// A text that no log, no error and no debug output shows; its memory is overwritten on drop.
///
/// It is not `Clone`: one place owns it, and [`expose`](Secret::expose) is easy to search for.
#[derive(PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over; no copy is made. Its owner has checked its length.
    pub fn new(text: String) -> Secret {
        Secret(Zeroizing::new(text))
    }

    /// The text itself, for the one request that has to carry it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_display_nor_debug_shows_it() {
        let secret = Secret::new("AQGAAXhtoken".into());
        assert_eq!(
            format!("{secret} {secret:?} {:#?}", Some(&secret)),
            "<secret> <secret> Some(\n    <secret>,\n)"
        );
        assert_eq!(secret.expose(), "AQGAAXhtoken");
    }
}
