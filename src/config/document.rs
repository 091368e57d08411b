//! The text of `cellgate.toml` as a tree of keys that know their lines.
//!
//! Walked by hand and not by serde, which stops at the first fault.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{Fault, Faults, Misfit, Place, quoted, shown_key, unquoted};
use crate::limits::SYNTAX_ERRORS_MAX;

/// The line that holds the byte at `offset`, counted from 1.
pub(super) fn line_of(text: &[u8], offset: usize) -> usize {
    let before = text.get(..offset).unwrap_or(text);
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

/// Parses the text. Every broken line becomes a fault; what stands on the other lines is returned.
pub(super) fn parse<'t>(path: &'t Path, text: &'t str, faults: &mut Faults) -> Table<'t> {
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut reported = Vec::new();
    let mut broken = Vec::new();
    for error in errors.iter().take(SYNTAX_ERRORS_MAX) {
        let offset = error.span().map_or(text.len(), |span| span.start);
        let line = line_of(text.as_bytes(), offset);
        // One slip often gives several errors; the first says it best.
        if reported.contains(&line) {
            continue;
        }
        reported.push(line);
        // A key that stands twice is there with its first value, and hides nothing.
        if error.message() == DUPLICATE {
            faults.add(duplicate(path, text, offset, line));
        } else {
            broken.push(line);
            faults.add(syntax_fault(path, text, offset, line, error.message()));
        }
    }
    let certain = !broken.iter().any(|line| may_hide(line_at(text, *line)));
    let source = Source {
        path,
        text,
        broken,
        certain,
    };
    Table {
        source,
        name: String::new(),
        line: 1,
        entries: root.into_inner(),
        known: Vec::new(),
    }
}

/// Whether the parser may have lost more than this broken line: a header, or what an open bracket
/// or text took with it. A key with a wrong value on one line is just that.
fn may_hide(line: &str) -> bool {
    match line.split_once('=') {
        Some((key, value)) => {
            let opens = ["\"\"\"", "'''", "[", "{"];
            key.contains('[') || opens.iter().any(|mark| value.contains(mark))
        }
        None => true,
    }
}

/// What the parser says of a key that stands twice.
const DUPLICATE: &str = "duplicate key";

fn duplicate(path: &Path, text: &str, offset: usize, line: usize) -> Fault {
    let content = line_at(text, line);
    let key = match content.split_once('=') {
        // The parser does not say in which table: the last header above does.
        Some((key, _)) => format!("{}{}", header_above(text, line), key.trim()),
        None => content.trim_matches(['[', ']']).to_owned(),
    };
    let place = Place::Line {
        file: path.to_owned(),
        line,
        column: Some(column_of(text, offset)),
        key: Some(unquoted(&key)),
    };
    Misfit::new(
        "this a second time",
        "each key and each table once",
        "keep what is right and delete the other",
    )
    .at(place)
}

fn syntax_fault(path: &Path, text: &str, offset: usize, line: usize, message: &str) -> Fault {
    let place = Place::Line {
        file: path.to_owned(),
        line,
        column: Some(column_of(text, offset)),
        key: None,
    };
    let shown = match may_be_secret(text, line) {
        true => "a line (not shown)".to_owned(),
        false => quoted(line_at(text, line)),
    };
    Misfit::new(
        format!("{shown} ({message})"),
        "TOML: key = \"text\", key = number, or [table]",
        "texts, targets and durations stand in quotation marks",
    )
    .at(place)
}

/// Whether a broken line may hold the password of a proxy.
fn may_be_secret(text: &str, line: usize) -> bool {
    let content = line_at(text, line);
    let above = text.lines().take(line - 1).map(str::trim);
    let headers = above.filter(|line| line.starts_with('['));
    let header = headers.last().unwrap_or("");
    let marks = ["@", "proxy", "url"];
    header.contains("proxy") || marks.iter().any(|mark| content.contains(mark))
}

/// The table that a line stands in, with a dot at the end.
fn header_above(text: &str, line: usize) -> String {
    let above = text.lines().take(line - 1);
    let headers = above.filter_map(|line| line.trim().strip_prefix('['));
    let last = headers.last().and_then(|header| header.split_once(']'));
    last.map(|(name, _)| format!("{}.", name.trim()))
        .unwrap_or_default()
}

/// The content of a line, without the blanks around it.
fn line_at(text: &str, line: usize) -> &str {
    text.lines().nth(line - 1).unwrap_or("").trim()
}

/// The column of the byte at `offset`, in characters and counted from 1.
fn column_of(text: &str, offset: usize) -> usize {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    1 + before[line_start..].chars().count()
}

/// The file that tables come from.
#[derive(Clone)]
struct Source<'t> {
    path: &'t Path,
    text: &'t str,
    /// Lines with broken syntax.
    broken: Vec<usize>,
    /// None of them can hide a table or other lines.
    certain: bool,
}

/// One table. Its keys are taken out one by one; what is left in the end is unknown.
pub(super) struct Table<'t> {
    source: Source<'t>,
    /// With a dot at the end; empty for the root.
    name: String,
    line: usize,
    entries: DeTable<'t>,
    known: Vec<&'static str>,
}

impl<'t> Table<'t> {
    /// A text, and its place.
    pub(super) fn text(
        &mut self,
        key: &'static str,
        example: &str,
        faults: &mut Faults,
    ) -> Option<(String, Place)> {
        let (place, value) = self.take(key)?;
        let got = described(&value);
        if let DeValue::String(text) = value {
            return Some((text.into_owned(), place));
        }
        let advice = format!("write {key} = \"{example}\"");
        faults.add(Misfit::new(got, "text in quotation marks", advice).at(place));
        None
    }

    /// A list of at most `most` texts, each with its place; a wrong item is a fault of its own.
    pub(super) fn texts(
        &mut self,
        key: &'static str,
        example: &str,
        most: usize,
        faults: &mut Faults,
    ) -> Vec<(String, Place)> {
        let Some((place, value)) = self.take(key) else {
            return Vec::new();
        };
        let got = described(&value);
        let DeValue::Array(items) = value else {
            let advice = format!("write {key} = [\"{example}\"]");
            faults.add(Misfit::new(got, "a list of texts", advice).at(place));
            return Vec::new();
        };
        if items.len() > most {
            let got = format!("a list of {}", items.len());
            let expected = format!("at most {most}");
            faults.add(Misfit::new(got, expected, "keep those that are needed").at(place));
            return Vec::new();
        }
        let mut texts = Vec::new();
        for item in items {
            let line = line_of(self.source.text.as_bytes(), item.span().start);
            let place = self.place_at(key, line);
            let got = described(item.get_ref());
            if let DeValue::String(text) = item.into_inner() {
                texts.push((text.into_owned(), place));
            } else {
                let advice = format!("write for example \"{example}\"");
                faults.add(Misfit::new(got, "text in quotation marks", advice).at(place));
            }
        }
        texts
    }

    /// True or false.
    pub(super) fn boolean(&mut self, key: &'static str, faults: &mut Faults) -> Option<bool> {
        let (place, value) = self.take(key)?;
        if let DeValue::Boolean(truth) = value {
            return Some(truth);
        }
        let advice = format!("write {key} = true or {key} = false, without quotation marks");
        faults.add(Misfit::new(described(&value), "true or false", advice).at(place));
        None
    }

    /// A whole number within `bounds`.
    pub(super) fn number(
        &mut self,
        key: &'static str,
        bounds: std::ops::RangeInclusive<u32>,
        example: u32,
        faults: &mut Faults,
    ) -> Option<u32> {
        let (place, value) = self.take(key)?;
        if let DeValue::Integer(integer) = &value {
            let number = u32::from_str_radix(integer.as_str(), integer.radix()).ok();
            if let Some(number) = number.filter(|number| bounds.contains(number)) {
                return Some(number);
            }
        }
        let (least, most) = bounds.into_inner();
        let expected = format!("a whole number from {least} to {most}");
        let advice = format!("write for example {key} = {example}");
        faults.add(Misfit::new(described(&value), expected, advice).at(place));
        None
    }

    /// A table within this one.
    pub(super) fn table(&mut self, key: &'static str, faults: &mut Faults) -> Option<Table<'t>> {
        let line = self.line_of_key(key);
        let (place, value) = self.take(key)?;
        self.descend(key, line.unwrap_or(self.line), place, value, faults)
    }

    /// All tables within this one, by name. Entries that are no tables are faults.
    pub(super) fn tables(mut self, faults: &mut Faults) -> Vec<(String, Place, Table<'t>)> {
        let mut tables = Vec::new();
        let entries = std::mem::take(&mut self.entries);
        for (key, value) in entries {
            let line = self.line_of_entry(&key, &value);
            if self.source.broken.contains(&line) {
                continue;
            }
            let name = key.into_inner().into_owned();
            let place = self.place_at(&name, line);
            let inner = self.descend(&name, line, place.clone(), value.into_inner(), faults);
            if let Some(table) = inner {
                tables.push((name, place, table));
            }
        }
        tables
    }

    /// Whether the key is there and not yet taken.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// Where the table stands.
    pub(super) fn place(&self) -> Place {
        Place::line(self.source.path, self.line, self.name.trim_end_matches('.'))
    }

    /// The place of a key that is there and not yet taken.
    pub(super) fn place_of_key(&self, key: &str) -> Option<Place> {
        Some(self.place_at(key, self.line_of_key(key)?))
    }

    /// The place of a key that the table lacks.
    pub(super) fn place_of(&self, key: &str) -> Place {
        self.place_at(key, self.line)
    }

    /// Whether a broken line may hold what seems to be missing.
    pub(super) fn is_certain(&self) -> bool {
        self.source.certain
    }

    /// Every key that nobody took is a fault.
    pub(super) fn finish(self, faults: &mut Faults) {
        for (key, value) in &self.entries {
            let line = self.line_of_entry(key, value);
            if self.source.broken.contains(&line) {
                continue;
            }
            let kind = if value.get_ref().is_table() {
                "an unknown table"
            } else {
                "an unknown key"
            };
            let expected = format!("one of: {}", self.known.join(", "));
            let advice = "correct the spelling, or delete it";
            let place = self.place_at(key.get_ref(), line);
            faults.add(Misfit::new(kind, expected, advice).at(place));
        }
    }

    fn take(&mut self, key: &'static str) -> Option<(Place, DeValue<'t>)> {
        self.known.push(key);
        let line = self.line_of_key(key)?;
        let value = self.entries.remove(key)?;
        // The parser makes up a value where it found none.
        if self.source.broken.contains(&line) {
            return None;
        }
        Some((self.place_at(key, line), value.into_inner()))
    }

    fn descend(
        &self,
        key: &str,
        line: usize,
        place: Place,
        value: DeValue<'t>,
        faults: &mut Faults,
    ) -> Option<Table<'t>> {
        let name = format!("{}{}", self.name, shown_key(key));
        let got = described(&value);
        if let DeValue::Table(entries) = value {
            return Some(Table {
                source: self.source.clone(),
                name: format!("{name}."),
                line,
                entries,
                known: Vec::new(),
            });
        }
        let advice = format!("write [{name}] on a line of its own, and its keys below");
        faults.add(Misfit::new(got, "a table", advice).at(place));
        None
    }

    fn line_of_key(&self, key: &str) -> Option<usize> {
        let (key, value) = self.entries.get_key_value(key)?;
        Some(self.line_of_entry(key, value))
    }

    /// The line of a key; of a table its header, not the first mention in a header above.
    fn line_of_entry(
        &self,
        key: &Spanned<toml::de::DeString<'t>>,
        value: &Spanned<DeValue<'t>>,
    ) -> usize {
        let start = if value.get_ref().is_table() {
            value.span().start
        } else {
            key.span().start
        };
        line_of(self.source.text.as_bytes(), start)
    }

    fn place_at(&self, key: &str, line: usize) -> Place {
        let key = format!("{}{}", self.name, shown_key(key));
        Place::line(self.source.path, line, &key)
    }
}

/// A value of the wrong type, with its content where it is short.
fn described(value: &DeValue<'_>) -> String {
    match value {
        // It may be the URL of a proxy, with its password.
        DeValue::String(text) if text.contains('@') => "a text (not shown) with \"@\"".to_owned(),
        DeValue::String(text) => format!("the text {}", quoted(text)),
        // The parser lets odd characters pass in a number.
        DeValue::Integer(number) => format!("the number {}", unquoted(&number.to_string())),
        DeValue::Float(number) => format!("the number {}", unquoted(number.as_str())),
        DeValue::Boolean(truth) => format!("{truth}"),
        DeValue::Datetime(_) => "a date or a time".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}
