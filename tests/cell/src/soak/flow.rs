//! What a stream carries, and whether that is what arrived.

use std::io;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;
use tokio::net::tcp::WriteHalf;
use tokio::time::sleep;

use super::dice::Dice;
use crate::pattern::Pattern;

/// Bytes that are read or written at once.
pub(super) const PIECE: usize = 16 << 10;

/// How fast one end reads or writes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Bytes at once.
    pub(super) piece: usize,
    /// Between two of them.
    pub(super) every: Duration,
}

impl Pace {
    /// As fast as it goes.
    const FULL: Pace = Pace {
        piece: PIECE,
        every: Duration::ZERO,
    };

    /// A controller, or a program of an engineer, that takes its time: 160 KB/s.
    const SLOW: Pace = Pace {
        piece: 8 << 10,
        every: Duration::from_millis(50),
    };

    /// A person who types.
    const TYPED: Pace = Pace {
        piece: 1,
        every: Duration::from_millis(700),
    };

    pub(super) async fn rest(self) {
        if !self.every.is_zero() {
            sleep(self.every).await;
        }
    }
}

/// The bytes of one direction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flow {
    pub(super) bytes: u64,
    pub(super) seed: u64,
    pub(super) written: Pace,
    pub(super) read: Pace,
}

/// Who ends a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The engineer, when all has arrived.
    Source,
    /// The controller, when all has arrived.
    Target,
    /// The engineer resets his connection when he has sent half.
    SourceDrops,
    /// The controller resets its connection when half has come.
    TargetDrops,
}

/// One stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// To the controller.
    pub(super) down: Flow,
    /// To the engineer.
    pub(super) up: Flow,
    pub(super) ending: Ending,
}

impl Plan {
    /// A stream of a kind that the dice choose, with the bytes of this number.
    pub(super) fn thrown(number: u64, dice: &mut Dice) -> Plan {
        let kind = dice.between(0, 99);
        let small = |dice: &mut Dice| dice.between(1, 600);
        let medium = |dice: &mut Dice| dice.between(100_000, 600_000);
        let bulk = |dice: &mut Dice| dice.between(1 << 20, 6 << 20);
        let (down, up) = match kind {
            0..40 => (small(dice), small(dice)),
            40..52 => (bulk(dice), small(dice)),
            52..64 => (small(dice), bulk(dice)),
            64..72 => (medium(dice), medium(dice)),
            72..82 => (medium(dice), small(dice)),
            82..92 => (small(dice), medium(dice)),
            _ => (dice.between(5, 20), dice.between(5, 20)),
        };
        let flow = |bytes, seed| Flow {
            bytes,
            seed,
            written: Pace::FULL,
            read: Pace::FULL,
        };
        // Rows of their own, so that a byte of another stream, or of the other direction, is found out.
        let (mut down, mut up) = (flow(down, 2 * number), flow(up, 2 * number + 1));
        match kind {
            72..82 => down.read = Pace::SLOW,
            82..92 => up.read = Pace::SLOW,
            92.. => (down.written, up.written) = (Pace::TYPED, Pace::TYPED),
            _ => {}
        }
        let ending = match dice.between(0, 19) {
            0 => Ending::SourceDrops,
            1 => Ending::TargetDrops,
            2..11 => Ending::Source,
            _ => Ending::Target,
        };
        Plan { down, up, ending }
    }
}

/// Writes the first `most` bytes of a direction, at its pace.
pub(super) async fn write(writer: &mut WriteHalf<'_>, flow: &Flow, most: u64) -> io::Result<()> {
    let mut row = Pattern::new(flow.seed);
    let mut piece = vec![0; flow.written.piece];
    let mut left = flow.bytes.min(most);
    while left > 0 {
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
        row.fill(&mut piece[..length]);
        writer.write_all(&piece[..length]).await?;
        left -= length as u64;
        flow.written.rest().await;
    }
    Ok(())
}

/// Compares what arrives with what was sent: by SHA-256 of all that came, and of as many bytes of the row.
pub(super) struct Checker {
    row: Pattern,
    sent: Sha256,
    came: Sha256,
    pub(super) bytes: u64,
    expected: u64,
}

impl Checker {
    pub(super) fn new(flow: &Flow) -> Checker {
        Checker {
            row: Pattern::new(flow.seed),
            sent: Sha256::new(),
            came: Sha256::new(),
            bytes: 0,
            expected: flow.bytes,
        }
    }

    pub(super) fn take(&mut self, bytes: &[u8]) {
        let mut row = [0; 1024];
        for piece in bytes.chunks(row.len()) {
            self.row.fill(&mut row[..piece.len()]);
            self.sent.update(&row[..piece.len()]);
        }
        self.came.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    pub(super) fn is_complete(&self) -> bool {
        self.bytes >= self.expected
    }

    /// Whether it is the beginning of what was sent, and not more than that.
    pub(super) fn is_right(&self) -> bool {
        let hash = |hash: &Sha256| hash.clone().finalize();
        self.bytes <= self.expected && hash(&self.sent) == hash(&self.came)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::pattern;

    #[test]
    fn a_wrong_byte_a_missing_one_and_one_too_many_are_found() {
        let mut dice = Dice::new(1, 1);
        let flow = Flow {
            bytes: 5000,
            ..Plan::thrown(9, &mut dice).down
        };
        let right = pattern(flow.seed, 5000);
        let check = |bytes: &[u8]| {
            let mut checker = Checker::new(&flow);
            bytes.chunks(700).for_each(|piece| checker.take(piece));
            (checker.is_right(), checker.is_complete())
        };
        assert_eq!(check(&right), (true, true));
        assert_eq!(check(&right[..4999]), (true, false));
        let mut wrong = right.clone();
        wrong[2500] ^= 1;
        assert!(!check(&wrong).0);
        assert!(!check(&right[1..]).0);
        assert!(!check(&pattern(flow.seed, 5001)).0);
        assert!(!check(&pattern(flow.seed + 1, 100)).0, "another direction");
    }
}
