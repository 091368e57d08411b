//! What was compared, and whether it is equal.

use sha2::{Digest, Sha256};

use super::failure::Failure;
use super::screen::{Screen, thousands};
use crate::controller::Tape;

/// Something that must equal something else.
pub(super) struct Comparison {
    /// Such as `robot1`.
    robot: String,
    /// Such as "SAVE through the tunnel".
    what: String,
    bytes: usize,
    sha256: [u8; 32],
    difference: Option<String>,
}

impl Comparison {
    /// Compares two texts byte for byte.
    pub(super) fn of_bytes(robot: &str, what: &str, expected: &[u8], got: &[u8]) -> Self {
        let place = expected.iter().zip(got).position(|(a, b)| a != b);
        let difference = match place {
            Some(place) => Some(format!(
                "first difference at byte {place}: expected {:02X}, got {:02X}",
                expected[place], got[place]
            )),
            None if expected.len() != got.len() => {
                Some(format!("expected {} bytes", thousands(expected.len())))
            }
            None => None,
        };
        Self {
            robot: robot.into(),
            what: what.into(),
            bytes: got.len(),
            sha256: Sha256::digest(got).into(),
            difference,
        }
    }

    /// Compares what one end sent with what the other received, by count and digest.
    pub(super) fn of_tapes(robot: &str, what: &str, sent: &Tape, received: &Tape) -> Self {
        let difference = (sent != received).then(|| {
            format!(
                "sent {} bytes with SHA-256 {}",
                sent.total(),
                hex(&sent.sha256())
            )
        });
        Self {
            robot: robot.into(),
            what: what.into(),
            bytes: usize::try_from(received.total()).unwrap_or(usize::MAX),
            sha256: received.sha256(),
            difference,
        }
    }

    fn equal(&self) -> bool {
        self.difference.is_none()
    }
}

/// Prints all comparisons.
///
/// # Errors
/// How many are not equal.
pub(super) fn show(comparisons: &[Comparison], screen: &Screen) -> Result<(), Failure> {
    screen.title("compared with what was sent, byte for byte and by SHA-256");
    for comparison in comparisons {
        let Comparison {
            robot,
            what,
            bytes,
            sha256,
            difference,
        } = comparison;
        let digest = &hex(sha256)[..16];
        let bytes = thousands(*bytes);
        screen.verdict(
            &format!("  {robot}  {what:<23} {bytes:>9} bytes  {digest}…"),
            comparison.equal(),
        );
        if let Some(difference) = difference {
            screen.line(&format!("          {difference}"));
        }
    }
    judged(comparisons)
}

fn judged(comparisons: &[Comparison]) -> Result<(), Failure> {
    match comparisons.iter().filter(|each| !each.equal()).count() {
        0 => Ok(()),
        count => Err(Failure::Unequal(count)),
    }
}

/// A digest as `sha256sum` writes it.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tape(bytes: &[u8]) -> Tape {
        let mut tape = Tape::default();
        tape.record(bytes);
        tape
    }

    #[test]
    fn every_difference_is_found() {
        let compare = |a: &[u8], b: &[u8]| Comparison::of_bytes("robot1", "x", a, b).difference;
        assert_eq!(compare(b"abc", b"abc"), None);
        assert_eq!(
            compare(b"abc", b"aXc").expect("a difference"),
            "first difference at byte 1: expected 62, got 58"
        );
        assert!(compare(b"abc", b"ab").is_some());
        assert!(compare(b"ab", b"abc").is_some());

        let tapes =
            |a: &[u8], b: &[u8]| Comparison::of_tapes("robot1", "x", &tape(a), &tape(b)).equal();
        assert!(tapes(b"abc", b"abc"));
        assert!(!tapes(b"abc", b"acb"));
    }

    #[test]
    fn one_difference_is_a_failure() {
        let good = || Comparison::of_bytes("robot1", "good", b"a", b"a");
        let bad = Comparison::of_bytes("robot1", "bad", b"a", b"b");
        assert!(judged(&[good(), good()]).is_ok());
        let failure = judged(&[good(), bad]).expect_err("one is not equal");
        assert!(matches!(failure, Failure::Unequal(1)));
    }
}
