//! What is wrong with the owner's word: where, what was got, what was expected, what to do.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::limits::{FAULTS_SHOWN, QUOTED_MAX, SERVICE_ID_MAX};

/// Where a fault stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A flag of the command line, as it is written there.
    Flag(String),
    /// A file or a folder as a whole.
    Path(PathBuf),
    /// A line of a file.
    Line {
        /// The file.
        file: PathBuf,
        /// Counted from 1.
        line: usize,
        /// In characters, counted from 1; only where the syntax is broken.
        column: Option<usize>,
        /// The key with its table, `routes.robot1.stall`, or the service ID of a mapping.
        key: Option<String>,
    },
    /// An environment variable.
    Variable(&'static str),
    /// Everything together: something that no place gave.
    Whole,
}

impl Place {
    /// The line of `file`, and what stands there.
    pub(super) fn line(file: &Path, line: usize, key: &str) -> Place {
        Place::Line {
            file: file.to_owned(),
            line,
            column: None,
            key: Some(key.to_owned()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Flag(name) => f.write_str(name),
            Place::Path(path) => write!(f, "{}", shown(path)),
            Place::Line {
                file,
                line,
                column,
                key,
            } => {
                write!(f, "{}:{line}", shown(file))?;
                if let Some(column) = column {
                    write!(f, ":{column}")?;
                }
                match key {
                    Some(key) => write!(f, ": {key}"),
                    None => Ok(()),
                }
            }
            Place::Variable(name) => f.write_str(name),
            Place::Whole => f.write_str("configuration"),
        }
    }
}

/// What is wrong with a value, before it is known where the value stood.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Misfit {
    got: String,
    expected: String,
    advice: String,
}

impl Misfit {
    pub(super) fn new(
        got: impl Into<String>,
        expected: impl Into<String>,
        advice: impl Into<String>,
    ) -> Misfit {
        Misfit {
            got: got.into(),
            expected: expected.into(),
            advice: advice.into(),
        }
    }

    /// The same, naming the file that a flag or a key led to.
    pub(super) fn about(mut self, path: &Path) -> Misfit {
        self.got = format!("{} from {}", self.got, shown(path));
        self
    }

    /// The fault, now that its place is known.
    pub(super) fn at(self, place: Place) -> Fault {
        Fault { place, what: self }
    }
}

/// One thing that is wrong with the configuration.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    place: Place,
    what: Misfit,
}

impl Fault {
    /// Where it stands.
    pub fn place(&self) -> &Place {
        &self.place
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Misfit {
            got,
            expected,
            advice,
        } = &self.what;
        write!(
            f,
            "{}: got {got}; expected {expected}; {advice}",
            self.place
        )
    }
}

/// Everything that is wrong with the configuration, never empty: flags first, then the files line by
/// line, then the environment.
///
/// Displayed it is a line that counts them and one line for each.
#[derive(Debug, Default)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Nothing wrong yet.
    pub(super) fn none() -> Faults {
        Faults::default()
    }

    /// One more.
    pub(super) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    /// The value, or one more fault at this place.
    pub(super) fn keep<T>(&mut self, place: Place, value: Result<T, Misfit>) -> Option<T> {
        match value {
            Ok(value) => Some(value),
            Err(misfit) => {
                self.add(misfit.at(place));
                None
            }
        }
    }

    /// Whether something is wrong with this place.
    pub(super) fn concern(&self, place: &Place) -> bool {
        self.0.iter().any(|fault| &fault.place == place)
    }

    /// How many things are wrong so far.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The value, if nothing is wrong; otherwise all faults in the order of their places.
    pub(super) fn or<T>(mut self, value: Option<T>) -> Result<T, Faults> {
        self.0.sort_by(|a, b| a.place.cmp(&b.place));
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            Some(_) | None => Err(self),
        }
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        let noun = if count == 1 { "fault" } else { "faults" };
        write!(f, "{count} {noun} in the configuration:")?;
        for fault in self.0.iter().take(FAULTS_SHOWN) {
            write!(f, "\n  {fault}")?;
        }
        match count.checked_sub(FAULTS_SHOWN) {
            None | Some(0) => Ok(()),
            Some(more) => write!(f, "\n  and {more} more"),
        }
    }
}

impl std::error::Error for Faults {}

/// Something that works but is not wise.
#[derive(Debug, PartialEq, Eq)]
pub struct Warning(String);

impl Warning {
    pub(super) fn new(text: impl Into<String>) -> Warning {
        Warning(text.into())
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A value in quotation marks, on one line, and not longer than a technician reads.
pub(super) fn quoted(value: &str) -> String {
    let mut chars = value.chars();
    let start: String = chars.by_ref().take(QUOTED_MAX).collect();
    let cut = if chars.next().is_some() { "…" } else { "" };
    format!("\"{}{cut}\"", start.escape_debug())
}

/// The same without the quotation marks.
pub(super) fn unquoted(value: &str) -> String {
    let quoted = quoted(value);
    let inner = quoted
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    inner.unwrap_or(&quoted).to_owned()
}

/// A key as TOML wants it written.
pub(super) fn shown_key(key: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if !key.is_empty() && key.bytes().all(plain) && key.len() <= SERVICE_ID_MAX {
        key.to_owned()
    } else {
        quoted(key)
    }
}

/// A path without what could break a line.
pub(super) fn shown(path: &Path) -> String {
    path.to_string_lossy().escape_debug().to_string()
}
