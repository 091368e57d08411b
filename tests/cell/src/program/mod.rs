//! Gripper programs in the AS language, as an engineer would load them.
//!
//! They are made up, but in shape, line ends and character set they are what stands in a cell: CRLF lines, programs
//! from `.PROGRAM` to `.END`, poses behind `.TRANS`, and German comments with one byte a letter.

mod dice;
mod gripper;
mod station;

use bytes::Bytes;

pub use dice::Dice;

/// A program file for LOAD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The name of the file, which is that of its first program.
    pub name: String,
    /// The text in Latin-1, with CRLF line ends. It has none of the bytes 02, 05, 17 and 1A of the block framing.
    pub text: Vec<u8>,
}

impl Program {
    /// The smallest file in bytes; the main program alone needs most of it.
    pub const SMALLEST: usize = 2_000;

    /// Makes a gripper program of exactly `size` bytes; another seed gives other stations and poses.
    ///
    /// # Panics
    /// `size` is below [`Program::SMALLEST`].
    #[must_use]
    pub fn generate(seed: u64, size: usize) -> Self {
        assert!(
            size >= Self::SMALLEST,
            "a gripper program of {size} bytes was asked for; the smallest has {} bytes",
            Self::SMALLEST
        );
        let mut dice = Dice::new(seed);
        // What the change log needs at least, and the digits by which the main program grows with its stations.
        let limit = size - gripper::SMALLEST_LOG - 4;
        let mut stations = Vec::new();
        let mut length = characters(&whole(&stations));
        loop {
            let station = station::Station::new(stations.len() + 1, &mut dice);
            length += characters(&station.programs()) + characters(&station.data());
            if length > limit {
                break;
            }
            stations.push(station);
        }
        let mut text = whole(&stations);
        let left = size - characters(&text);
        text.push_str(&gripper::change_log(&mut dice, left));
        Self {
            name: "gripper_main".into(),
            text: latin1(&text),
        }
    }
}

/// The file without its change log.
fn whole(stations: &[station::Station]) -> String {
    let mut text = gripper::main_program(stations.len());
    text.push_str(&gripper::subprograms());
    for station in stations {
        text.push_str(&station.programs());
    }
    text.push_str(&station::data(stations));
    text
}

/// A character is a byte in Latin-1.
fn characters(text: &str) -> usize {
    text.chars().count()
}

/// What `SAVE/ROB` gives: the data of the robot itself, of exactly `size` bytes. It is the same for every robot.
#[must_use]
pub fn robot_data(size: usize) -> Bytes {
    let mut dice = Dice::new(0x0B07);
    let mut text = String::from(".ROBOTDATA1\r\nZROBOT.TYPE   53   3   1   6   1  RS007N-A001\r\n");
    let mut line = 0;
    while text.len() < size {
        line += 1;
        let [a, b, c] = [(); 3].map(|()| dice.measure(-180, 180));
        text.push_str(&format!(
            "ZSERVO.PARA[{line}] {a:>11.3} {b:>11.3} {c:>11.3}\r\n"
        ));
    }
    let end = ".END\r\n";
    text.truncate(size.saturating_sub(end.len()));
    text.push_str(end);
    text.truncate(size);
    text.into_bytes().into()
}

/// The characters of Latin-1 are the first 256 of Unicode.
fn latin1(text: &str) -> Vec<u8> {
    text.chars()
        .map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_has_the_size_that_was_asked_for() {
        for size in [Program::SMALLEST, 2_048, 5_001, 30_000, 100_000, 300_000] {
            let program = Program::generate(7, size);
            assert_eq!(program.text.len(), size);
            assert!(program.text.ends_with(b".END\r\n"), "{size}");
        }
    }

    #[test]
    fn a_program_is_as_text() {
        let text = Program::generate(1, 100_000).text;
        assert!(text.starts_with(b".PROGRAM gripper_main()"));
        assert!(text.iter().any(|byte| *byte >= 0xA0), "8-bit letters");
        assert!(!text.contains(&b'?'), "a character that is not in Latin-1");
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            assert!(line.ends_with(b"\r\n"), "{}", line.escape_ascii());
            let content = &line[..line.len() - 2];
            assert!(
                content
                    .iter()
                    .all(|b| *b >= 0x20 && *b != 0x7F && *b != 0xFF),
                "{}",
                line.escape_ascii()
            );
        }
        let count = |word: &[u8]| text.windows(word.len()).filter(|at| *at == word).count();
        let sections = count(b".PROGRAM ") + count(b".TRANS\r\n") + count(b".REALS\r\n");
        assert_eq!(sections, count(b"\r\n.END\r\n"));
    }

    #[test]
    fn the_seed_decides() {
        assert_eq!(Program::generate(3, 9_000), Program::generate(3, 9_000));
        assert_ne!(
            Program::generate(3, 9_000).text,
            Program::generate(4, 9_000).text
        );
    }

    #[test]
    fn robot_data_has_its_size() {
        for size in [0, 3, 100, 70_000] {
            assert_eq!(robot_data(size).len(), size);
        }
    }
}
