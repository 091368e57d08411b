//! The program memory: what LOAD brings and SAVE gives.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

/// Program files by name. A real controller forgets the file and keeps its programs and variables; this one keeps the
/// file too, so that SAVE of the same name gives back every byte of it.
pub(super) struct Memory {
    files: BTreeMap<String, Bytes>,
    robot_data: Bytes,
}

/// What a SAVE asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Selection {
    /// Behind the slashes, in upper case: `P`, `ROB`, …
    pub(super) qualifiers: Vec<String>,
    /// The name of the PC's file.
    pub(super) file: String,
    /// Behind the `=`: the programs that are meant. Empty: all.
    pub(super) programs: Vec<String>,
}

impl Memory {
    /// The most a controller stores, in bytes: 8 MiB, the smaller memory of an E controller [guessed].
    pub(super) const LIMIT: usize = 8 * 1024 * 1024;

    pub(super) fn new(robot_data: usize) -> Self {
        Self {
            files: BTreeMap::new(),
            robot_data: crate::program::robot_data(robot_data),
        }
    }

    /// Stores a file; one of the same name is replaced.
    pub(super) fn store(&mut self, name: &str, text: Bytes) {
        self.files.insert(key(name), text);
    }

    /// A file as it was stored.
    pub(super) fn file(&self, name: &str) -> Option<Bytes> {
        self.files.get(&key(name)).cloned()
    }

    /// The names of all programs, in the order of the files.
    pub(super) fn programs(&self) -> Vec<String> {
        self.files
            .values()
            .flat_map(|text| programs_in(text))
            .map(|(name, _)| name)
            .collect()
    }

    /// The text that a SAVE gives; the error is the name of the program that is not there.
    pub(super) fn select(&self, selection: &Selection) -> Result<Bytes, String> {
        if selection.qualifiers.iter().any(|q| q == "ROB") {
            return Ok(self.robot_data.clone());
        }
        if !selection.programs.is_empty() {
            let mut text = BytesMut::new();
            for name in &selection.programs {
                let program = self.program(name).ok_or_else(|| name.clone())?;
                text.extend_from_slice(&program);
            }
            return Ok(text.freeze());
        }
        if let Some(file) = self.file(&selection.file) {
            return Ok(file);
        }
        Ok(self.everything())
    }

    /// Forgets a file of this name and every program of this name; false if there was neither.
    pub(super) fn delete(&mut self, name: &str) -> bool {
        let mut found = self.files.remove(&key(name)).is_some();
        for text in self.files.values_mut() {
            let range = programs_in(text).find(|(program, _)| program.eq_ignore_ascii_case(name));
            if let Some((_, range)) = range {
                let mut rest = BytesMut::from(&text[..range.start]);
                rest.extend_from_slice(&text[range.end..]);
                *text = rest.freeze();
                found = true;
            }
        }
        found
    }

    /// One program from `.PROGRAM` to the end of its `.END` line.
    fn program(&self, name: &str) -> Option<Bytes> {
        self.files.values().find_map(|text| {
            let (_, range) =
                programs_in(text).find(|(program, _)| program.eq_ignore_ascii_case(name))?;
            Some(text.slice(range))
        })
    }

    /// What a SAVE without a choice gives: the robot's data, then all program files.
    fn everything(&self) -> Bytes {
        let mut all = BytesMut::from(&self.robot_data[..]);
        for text in self.files.values() {
            all.extend_from_slice(text);
        }
        all.freeze()
    }
}

/// File names do not tell capital letters apart, and `.as` is what the controller itself appends.
fn key(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    name.strip_suffix(".as").unwrap_or(&name).to_owned()
}

/// The programs of a file: their names and where they stand.
fn programs_in(text: &[u8]) -> impl Iterator<Item = (String, std::ops::Range<usize>)> {
    let mut at = 0;
    let mut open: Option<(String, usize)> = None;
    text.split_inclusive(|byte| *byte == b'\n')
        .filter_map(move |line| {
            let start = at;
            at += line.len();
            if let Some(rest) = line.strip_prefix(b".PROGRAM ") {
                let name = rest
                    .split(|byte| b"( \r\n".contains(byte))
                    .find(|word| !word.is_empty())?;
                open = Some((String::from_utf8_lossy(name).into_owned(), start));
                return None;
            }
            if line.trim_ascii_end() == b".END" {
                return open.take().map(|(name, start)| (name, start..at));
            }
            None
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &[u8] =
        b"; head\r\n.PROGRAM one()\r\n  PRINT 1\r\n.END\r\n.PROGRAM two(.a) ; x\r\n.END\r\n\
        .TRANS\r\np1 0 0 0 0 0 0\r\n.END\r\n";

    fn memory() -> Memory {
        let mut memory = Memory::new(1000);
        memory.store("cell.as", Bytes::from_static(FILE));
        memory
    }

    fn saved(memory: &Memory, file: &str, programs: &[&str]) -> Result<Bytes, String> {
        memory.select(&Selection {
            qualifiers: Vec::new(),
            file: file.into(),
            programs: programs.iter().map(|name| (*name).into()).collect(),
        })
    }

    #[test]
    fn a_file_comes_back_as_it_was() {
        assert_eq!(saved(&memory(), "CELL", &[]), Ok(Bytes::from_static(FILE)));
    }

    #[test]
    fn programs_can_be_chosen() {
        assert_eq!(memory().programs(), ["one", "two"]);
        let two = saved(&memory(), "other", &["TWO"]).expect("the program is there");
        assert_eq!(two, b".PROGRAM two(.a) ; x\r\n.END\r\n"[..]);
        assert_eq!(saved(&memory(), "other", &["three"]), Err("three".into()));
    }

    #[test]
    fn an_unknown_file_is_everything() {
        let all = saved(&memory(), "using.rcc", &[]).expect("everything");
        assert!(all.ends_with(FILE) && all.len() == FILE.len() + 1000);
    }

    #[test]
    fn a_deleted_program_is_gone_alone() {
        let mut memory = memory();
        assert!(memory.delete("one"));
        assert!(!memory.delete("one"));
        assert_eq!(memory.programs(), ["two"]);
        let left = saved(&memory, "cell", &[]).expect("the file is there");
        assert!(left.starts_with(b"; head\r\n.PROGRAM two"));
    }
}
