//! What people see: plain lines for a log, a little more for a terminal. 80 columns.

use std::io::{IsTerminal, Write, stderr, stdout};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Standard output. Lines from several tasks do not mix.
pub(super) struct Screen {
    /// Progress is redrawn in place.
    live: bool,
    colour: bool,
    state: Mutex<State>,
}

struct State {
    /// The progress that is on a terminal now, at the bottom.
    shown: Vec<String>,
    drawn: Option<Instant>,
}

/// A person sees no more changes a second than ten.
const REDRAW: Duration = Duration::from_millis(100);

/// The width of the smallest terminal in use.
const COLUMNS: usize = 80;
/// What stands before each line of the agent's log.
const LOG_MARGIN: &str = "  agent | ";

const BOLD: &str = "\x1b[1m";
const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const FAINT: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

impl Screen {
    /// Looks at what standard output is, and at `NO_COLOR`.
    pub(super) fn new() -> Self {
        let live = stdout().is_terminal();
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            live,
            colour: live && !no_colour,
            state: Mutex::new(State {
                shown: Vec::new(),
                drawn: None,
            }),
        }
    }

    /// Whether progress is redrawn in place; if not, the caller shows less of it.
    pub(super) fn is_live(&self) -> bool {
        self.live
    }

    /// A line that begins a part.
    pub(super) fn title(&self, text: &str) {
        self.put(&self.dyed(BOLD, text));
    }

    /// A line.
    pub(super) fn line(&self, text: &str) {
        self.put(text);
    }

    /// A line of a comparison and its verdict.
    pub(super) fn verdict(&self, text: &str, equal: bool) {
        let verdict = if equal {
            self.dyed(GREEN, "equal")
        } else {
            self.dyed(RED, "NOT EQUAL")
        };
        self.put(&format!("{text}  {verdict}"));
    }

    /// A line of the agent's log, all of it, on as many lines as it needs.
    pub(super) fn log(&self, text: &str) {
        for line in folded(text, COLUMNS - LOG_MARGIN.len()) {
            self.put(&self.dyed(FAINT, &format!("{LOG_MARGIN}{line}")));
        }
    }

    /// A line of JSON, all of it, on as many lines as it needs.
    pub(super) fn record(&self, record: &str) {
        for line in folded_behind(',', record, COLUMNS - 4) {
            self.put(&format!("  {line}"));
        }
    }

    /// The last line of a demo that failed, on standard error.
    pub(super) fn failed(&self, why: &str) {
        self.settle();
        // Nobody is left to be told if this fails.
        let _ = writeln!(stderr(), "cargo cell failed: {why}");
    }

    /// The state of the transfers. On a terminal it takes the place of the last one, at most ten times a second.
    pub(super) fn progress(&self, lines: Vec<String>) {
        let mut state = self.lock();
        if !self.live {
            for line in lines {
                write(&line);
            }
            return;
        }
        let now = Instant::now();
        if state.drawn.is_some_and(|drawn| now - drawn < REDRAW) {
            return;
        }
        state.drawn = Some(now);
        state.wipe();
        for line in &lines {
            write(line);
        }
        state.shown = lines;
    }

    /// Leaves the progress as it stands; what comes is written below it.
    pub(super) fn settle(&self) {
        let mut state = self.lock();
        state.shown.clear();
        state.drawn = None;
    }

    fn put(&self, line: &str) {
        let state = self.lock();
        state.wipe();
        write(line);
        for line in &state.shown {
            write(line);
        }
    }

    fn dyed(&self, dye: &str, text: &str) -> String {
        if self.colour {
            format!("{dye}{text}{PLAIN}")
        } else {
            text.to_owned()
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes the progress off the terminal.
    fn wipe(&self) {
        for _ in &self.shown {
            write_raw("\x1b[1A\x1b[2K");
        }
    }
}

fn write(line: &str) {
    write_raw(&format!("{line}\n"));
}

/// A reader that has gone (`cargo cell | head`) does not end the demo: it has a result to give.
fn write_raw(text: &str) {
    let _ = stdout().lock().write_all(text.as_bytes());
    let _ = stdout().lock().flush();
}

/// Folds a text between its words into lines of at most `width` characters; a longer word stands alone. What follows
/// the first line is set in by two.
fn folded(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.len() - 1;
        let line = &mut lines[last];
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(format!("  {word}"));
        }
    }
    lines
}

/// Folds a text behind a character into lines of at most `width` characters; a longer part stands alone. What follows
/// the first line is set in by two.
fn folded_behind(end: char, text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for part in text.split_inclusive(end) {
        let last = lines.len() - 1;
        if !lines[last].is_empty() && lines[last].chars().count() + part.chars().count() > width {
            lines.push(format!("  {part}"));
        } else {
            lines[last].push_str(part);
        }
    }
    lines
}

/// A number with commas between the thousands.
pub(super) fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folded_text_has_all_its_words() {
        let text = "one two  three four-and-five six";
        let lines = folded(text, 9);
        assert_eq!(lines, ["one two ", "  three", "  four-and-five", "  six"]);
        assert_eq!(folded("one", 9), ["one"]);
    }

    #[test]
    fn a_record_is_folded_and_whole() {
        let lines = folded_behind(',', r#"{"a":1,"b":22,"c":333}"#, 14);
        assert_eq!(lines, [r#"{"a":1,"b":22,"#, r#"  "c":333}"#]);
    }

    #[test]
    fn thousands_have_commas() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (102_400, "102,400"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(thousands(number), text);
        }
    }
}
