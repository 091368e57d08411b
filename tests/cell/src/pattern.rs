//! Bytes that can be made again from a number, for transfers that are compared at the other end.

use sha2::{Digest as _, Sha256};

/// An endless row of bytes that look random. The same seed gives the same row.
#[derive(Debug, Clone)]
pub struct Pattern {
    state: u64,
    /// What is left of the last 8 bytes drawn.
    rest: [u8; 8],
    used: usize,
}

impl Pattern {
    /// The row of a seed.
    pub fn new(seed: u64) -> Self {
        Self {
            // Neighbouring seeds must differ from the first byte on, and the state must not be 0.
            state: seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            rest: [0; 8],
            used: 8,
        }
    }

    /// Writes the next bytes of the row.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            if self.used == self.rest.len() {
                // xorshift64*
                self.state ^= self.state >> 12;
                self.state ^= self.state << 25;
                self.state ^= self.state >> 27;
                self.rest = self.state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_be_bytes();
                self.used = 0;
            }
            *byte = self.rest[self.used];
            self.used += 1;
        }
    }
}

/// The first `length` bytes of the row of a seed.
pub fn pattern(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    Pattern::new(seed).fill(&mut bytes);
    bytes
}

/// The SHA-256 of bytes, in hex.
pub fn sha256(bytes: &[u8]) -> String {
    hex(Sha256::digest(bytes).as_ref())
}

/// Bytes in hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_does_not_depend_on_how_it_is_drawn() {
        let whole = pattern(7, 1_000);
        let mut row = Pattern::new(7);
        let mut pieces = vec![0; 1_000];
        for piece in pieces.chunks_mut(3) {
            row.fill(piece);
        }
        assert_eq!(pieces, whole);
        assert_ne!(pattern(8, 16), whole[..16]);
    }

    #[test]
    fn the_hash_is_the_known_one() {
        // FIPS 180-2, appendix B.1.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(b"abc"), abc);
    }
}
