//! What went one way over a connection.

use std::fmt;

use sha2::{Digest, Sha256};

/// A record of bytes in one direction: the first of them as they were, and a digest and a count of all.
///
/// Two tapes are equal if as many bytes with the same SHA-256 went over them.
#[derive(Clone, Default)]
pub struct Tape {
    head: Vec<u8>,
    total: u64,
    digest: Sha256,
}

impl Tape {
    /// How many bytes are kept as they were: 64 KiB, enough for a whole login and any short session.
    pub const HEAD: usize = 64 * 1024;

    /// Adds what was sent or received.
    pub fn record(&mut self, bytes: &[u8]) {
        let room = Self::HEAD - self.head.len();
        self.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.total += bytes.len() as u64;
        self.digest.update(bytes);
    }

    /// The first [`Tape::HEAD`] bytes, or fewer if there were not so many.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// The count of all bytes.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The SHA-256 of all bytes.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        self.digest.clone().finalize().into()
    }
}

impl PartialEq for Tape {
    fn eq(&self, other: &Self) -> bool {
        self.total == other.total && self.sha256() == other.sha256()
    }
}

impl Eq for Tape {}

impl fmt::Debug for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.head[..self.head.len().min(200)];
        write!(f, "{} bytes: {}", self.total, shown.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_do_not_matter_but_bytes_do() {
        let mut whole = Tape::default();
        whole.record(&[7; Tape::HEAD + 10]);
        let mut pieces = Tape::default();
        pieces.record(&[7; Tape::HEAD]);
        pieces.record(&[7; 10]);
        assert_eq!(whole, pieces);
        assert_eq!(whole.head().len(), Tape::HEAD);
        assert_eq!(whole.total(), Tape::HEAD as u64 + 10);

        pieces.record(&[8]);
        whole.record(&[9]);
        assert_ne!(whole, pieces);
    }
}
