//! Masking, which RFC 6455 (5.3) wants of each frame of a client: a fresh key that nobody can guess, laid over the
//! payload.

use std::io;

use ring::rand::{SecureRandom as _, SystemRandom};

/// Bytes of a key.
pub(super) const KEY: usize = 4;

/// Bytes of keys that are drawn from the kernel at once: one system call for 64 frames.
const DRAWN: usize = 64 * KEY;

/// Fresh keys.
pub(super) struct Keys {
    random: SystemRandom,
    drawn: [u8; DRAWN],
    used: usize,
}

impl Keys {
    /// None drawn yet.
    pub(super) fn new() -> Keys {
        Keys {
            random: SystemRandom::new(),
            drawn: [0; DRAWN],
            used: DRAWN,
        }
    }

    /// A key that was never used.
    ///
    /// # Errors
    /// The kernel has no random numbers.
    pub(super) fn next(&mut self) -> io::Result<[u8; KEY]> {
        if self.used >= DRAWN {
            self.random
                .fill(&mut self.drawn)
                .map_err(|_| io::Error::other("no random numbers for a mask"))?;
            self.used = 0;
        }
        let mut key = [0; KEY];
        key.copy_from_slice(&self.drawn[self.used..self.used + KEY]);
        self.used += KEY;
        Ok(key)
    }
}

/// Lays a key over bytes. Four words at a time and written out: the crate is compiled for its size, and a loop of bytes
/// would cost as much as the encryption does.
pub(super) fn lay(key: [u8; KEY], bytes: &mut [u8]) {
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let over = |word: &mut [u8; 8]| *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    let (words, tail) = bytes.as_chunks_mut();
    let (blocks, words) = words.as_chunks_mut();
    for [first, second, third, fourth] in blocks {
        over(first);
        over(second);
        over(third);
        over(fourth);
    }
    words.iter_mut().for_each(over);
    for (byte, key) in tail.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_key_lies_over_every_fourth_byte_at_any_length_and_place() {
        let key = [0x6d, 0xb6, 0xb2, 0x80];
        let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(300).collect();
        for start in 0..9 {
            for length in 0..200 {
                let plain = &bytes[start..start + length];
                let mut masked = bytes.clone();
                lay(key, &mut masked[start..start + length]);
                for (at, byte) in masked[start..start + length].iter().enumerate() {
                    assert_eq!(*byte, plain[at] ^ key[at % KEY]);
                }
                assert_eq!(masked[..start], bytes[..start]);
                assert_eq!(masked[start + length..], bytes[start + length..]);
            }
        }
    }

    #[test]
    fn no_key_comes_twice() {
        let mut keys = Keys::new();
        // Of 1,000 keys two are alike once in 8,000 runs; three such pairs are never seen.
        let drawn: HashSet<[u8; KEY]> = (0..1_000)
            .map(|_| keys.next().expect("random numbers"))
            .collect();
        assert!(drawn.len() > 997, "{} of 1000", drawn.len());
    }
}
