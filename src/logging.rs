//! The log: one line a record, on standard error, for a person or for systemd's journal.
//!
//! A line cannot be broken or made endless by what a service or a controller sends, and a standard
//! error that is gone never stops the agent.

pub mod flood;
mod recent;

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::time::SystemTime;

use log::{Level, LevelFilter, Log, Metadata, Record};
use nix::sys::stat::fstat;

use crate::limits::LOG_MESSAGE_MAX;

pub use recent::{Recent, recent};

/// The crate whose records are of the wanted level.
const OURS: &str = env!("CARGO_CRATE_NAME");

/// Starts the log. A second call changes nothing.
///
/// Records of other crates pass only from warning up, whatever `level` says: the WebSocket crate
/// writes whole requests with their tokens at trace level.
pub fn start(level: LevelFilter) {
    let style = Style::of_stderr();
    let others = level.min(LevelFilter::Warn);
    let written = env_logger::Builder::new()
        .filter_level(others)
        .filter_module(OURS, level)
        .format(move |out, record| out.write_all(line(style, SystemTime::now(), record).as_bytes()))
        // A failed write is dropped by env_logger: there is nobody to tell.
        .target(env_logger::Target::Stderr)
        .build();
    let filter = written.filter().max(LevelFilter::Warn);
    // A logger that is there already, in a test, stays.
    if log::set_boxed_logger(Box::new(Kept(written))).is_ok() {
        log::set_max_level(filter);
    }
}

/// Writes the log, and keeps warnings and errors for the status, whatever `-v` says.
struct Kept(env_logger::Logger);

impl Log for Kept {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Warn || self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if record.level() <= Level::Warn {
            recent::keep(record.level(), SystemTime::now(), text(record));
        }
        self.0.log(record);
    }

    fn flush(&self) {
        self.0.flush();
    }
}

/// How lines begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// Time in UTC, level, message.
    Terminal,
    /// The priority of syslog, message; the journal has its own clock. Source: sd-daemon(3).
    Journal,
}

impl Style {
    fn of_stderr() -> Style {
        match std::env::var("JOURNAL_STREAM") {
            Ok(stream) if is_stderr(&stream) => Style::Journal,
            Ok(_) | Err(_) => Style::Terminal,
        }
    }
}

/// Whether `JOURNAL_STREAM`, which is `device:inode`, means our standard error. A program started
/// from the service's shell inherits the variable, not the stream. Source: systemd.exec(5).
fn is_stderr(stream: &str) -> bool {
    let Some((device, inode)) = stream.split_once(':') else {
        return false;
    };
    let Ok(stat) = fstat(io::stderr().as_fd()) else {
        return false;
    };
    device.parse() == Ok(stat.st_dev) && inode.parse() == Ok(stat.st_ino)
}

/// One record, with its newline.
fn line(style: Style, now: SystemTime, record: &Record<'_>) -> String {
    let message = text(record);
    match style {
        Style::Terminal => {
            let time = humantime::format_rfc3339_millis(now);
            format!("{time} {:<5} {message}\n", record.level())
        }
        Style::Journal => format!("<{}>{message}\n", priority(record.level())),
    }
}

/// What a record says, in bounds and on one line.
fn text(record: &Record<'_>) -> String {
    let mut message = Message::default();
    // It fails only to say that it is full.
    let _ = message.write_fmt(*record.args());
    message.text
}

/// The priority of syslog. Source: syslog(3).
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

/// A message on one line: what could move the cursor, forge a second line or turn text around is
/// escaped, and past [`LOG_MESSAGE_MAX`] nothing is taken.
#[derive(Default)]
struct Message {
    text: String,
    taken: usize,
}

impl fmt::Write for Message {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        for character in part.chars() {
            self.taken += character.len_utf8();
            if self.taken > LOG_MESSAGE_MAX {
                self.text.push('…');
                return Err(fmt::Error);
            }
            if is_hostile(character) {
                write!(self.text, "{}", character.escape_default())?;
            } else {
                self.text.push(character);
            }
        }
        Ok(())
    }
}

/// Control characters, line separators, and the marks that reorder text on a terminal. All are below U+10000.
pub(crate) fn is_hostile(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use super::*;

    fn shown(style: Style, level: Level, message: &str) -> String {
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_000_000_007);
        let mut record = Record::builder();
        record.level(level).target("cellgate::tunnel");
        line(style, now, &record.args(format_args!("{message}")).build())
    }

    #[test]
    fn lines_begin_as_their_reader_expects() {
        for (level, terminal, journal) in [
            (Level::Error, "ERROR", "<3>"),
            (Level::Warn, "WARN ", "<4>"),
            (Level::Info, "INFO ", "<6>"),
            (Level::Debug, "DEBUG", "<7>"),
            (Level::Trace, "TRACE", "<7>"),
        ] {
            assert_eq!(
                shown(Style::Terminal, level, "up"),
                format!("2026-11-18T11:06:40.007Z {terminal} up\n")
            );
            assert_eq!(shown(Style::Journal, level, "up"), format!("{journal}up\n"));
        }
    }

    #[test]
    fn hostile_text_stays_on_its_line() {
        for (text, escaped) in [
            ("a\nb", "a\\nb"),
            ("a\r<3>b", "a\\r<3>b"),
            ("\u{1b}[2J", "\\u{1b}[2J"),
            ("nul\0", "nul\\u{0}"),
            ("\u{85}\u{2028}", "\\u{85}\\u{2028}"),
            ("\u{202e}gnp", "\\u{202e}gnp"),
            ("Röbot → \"1\" \\", "Röbot → \"1\" \\"),
        ] {
            assert_eq!(
                shown(Style::Journal, Level::Info, text),
                format!("<6>{escaped}\n")
            );
        }
    }

    #[test]
    fn messages_are_bounded() {
        let fits = "é".repeat(LOG_MESSAGE_MAX / 2);
        assert_eq!(
            shown(Style::Journal, Level::Info, &fits),
            format!("<6>{fits}\n")
        );
        let long = shown(Style::Journal, Level::Info, &format!("{fits}x{fits}"));
        assert_eq!(long, format!("<6>{fits}…\n"));
        let escaped = shown(Style::Journal, Level::Info, &"\0".repeat(10_000_000));
        assert!(escaped.len() < 6 * LOG_MESSAGE_MAX, "{}", escaped.len());
    }

    #[test]
    fn only_the_stream_of_stderr_is_the_journal() {
        let stat = fstat(io::stderr().as_fd()).expect("standard error is open in a test");
        let own = format!("{}:{}", stat.st_dev, stat.st_ino);
        assert!(is_stderr(&own));
        for other in ["", ":", "1", "1:", "8:x", &format!("{own}0")] {
            assert!(!is_stderr(other), "{other}");
        }
    }

    const MARKER: &str = "CELLGATE_TEST_LOGS";

    /// The child of the tests below: it is this test binary, run again.
    #[test]
    fn child_logs() {
        if std::env::var_os(MARKER).is_none() {
            return;
        }
        start(LevelFilter::Trace);
        log::trace!("ours at trace");
        log::debug!(target: "tungstenite::handshake", "access-token: AQGAAX");
        log::warn!(target: "tungstenite", "theirs at warning");
        println!("still here");
    }

    fn child(stderr: impl Into<Stdio>, journal: &str) -> std::process::Output {
        Command::new(std::env::current_exe().expect("the test binary"))
            .args(["logging::tests::child_logs", "--exact", "--nocapture"])
            .env(MARKER, "1")
            .env("JOURNAL_STREAM", journal)
            .stdin(Stdio::null())
            .stderr(stderr)
            .output()
            .expect("the test binary runs")
    }

    #[test]
    fn other_crates_pass_from_warning_up() {
        let output = child(Stdio::piped(), "");
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(log.contains(" TRACE ours at trace\n"), "{log}");
        assert!(log.contains(" WARN  theirs at warning\n"), "{log}");
        assert!(!log.contains("AQGAAX"), "{log}");
    }

    #[test]
    fn under_systemd_lines_have_priorities() {
        // A socket in life; for fstat a pipe is as good.
        let (mut reader, writer) = io::pipe().expect("a pipe");
        let stat = fstat(writer.as_fd()).expect("an open pipe");
        child(writer, &format!("{}:{}", stat.st_dev, stat.st_ino));
        let mut log = String::new();
        io::Read::read_to_string(&mut reader, &mut log).expect("the child has ended");
        assert!(log.contains("<7>ours at trace\n"), "{log}");
        assert!(log.contains("<4>theirs at warning\n"), "{log}");
    }

    #[test]
    fn a_lost_stderr_stops_nothing() {
        // Nobody reads the other end: each write fails with EPIPE.
        let (reader, writer) = io::pipe().expect("a pipe");
        drop(reader);
        let output = child(writer, "");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("still here"), "{said}");
        assert!(output.status.success());
    }
}
