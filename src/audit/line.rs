//! One event as one line of JSON.

use std::io::{self, Write};
use std::time::SystemTime;

use serde::Serialize;
use serde_json::ser::{CharEscape, CompactFormatter, Formatter, Serializer};

use super::Event;
use crate::limits::AUDIT_TEXT_MAX;
use crate::logging::is_hostile;

/// The event as JSON without a newline: `"time"` (RFC 3339, UTC) first, then `"event"` and what belongs to it.
/// At most [`AUDIT_LINE_MAX`](crate::limits::AUDIT_LINE_MAX) bytes.
pub(super) fn line(now: SystemTime, event: &Event<'_>) -> String {
    let time = humantime::format_rfc3339_millis(now);
    let mut line = format!("{{\"time\":\"{time}\",").into_bytes();
    let head = line.len();
    let mut serializer = Serializer::with_formatter(&mut line, Bounded::default());
    // Neither numbers and strings nor a vector can fail; what is written then is still one line.
    let _ = event.serialize(&mut serializer);
    // The event's own brace: the one before the time stands for it.
    if line.get(head) == Some(&b'{') {
        line.remove(head);
    }
    String::from_utf8(line).unwrap_or_default()
}

/// Compact JSON whose strings are bounded, and in which nothing moves a terminal's cursor or turns its text
/// around: the log would escape it in its own way, and the line were no JSON any more.
#[derive(Default)]
struct Bounded {
    /// Bytes of the string so far, as written.
    taken: usize,
    /// It was too long.
    cut: bool,
}

impl Bounded {
    /// Whether `bytes` more still fit; says `…` where they do not.
    fn fits<W: ?Sized + Write>(&mut self, writer: &mut W, bytes: usize) -> io::Result<bool> {
        if !self.cut && self.taken + bytes > AUDIT_TEXT_MAX {
            self.cut = true;
            writer.write_all("…".as_bytes())?;
        }
        self.taken += bytes;
        Ok(!self.cut)
    }
}

impl Formatter for Bounded {
    fn begin_string<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        *self = Bounded::default();
        CompactFormatter.begin_string(writer)
    }

    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        for character in fragment.chars() {
            if is_hostile(character) {
                // All of them are below U+10000: one unit of UTF-16 says them.
                let escape = format!("\\u{:04x}", u32::from(character));
                if self.fits(writer, escape.len())? {
                    writer.write_all(escape.as_bytes())?;
                }
            } else if self.fits(writer, character.len_utf8())? {
                writer.write_all(character.encode_utf8(&mut [0; 4]).as_bytes())?;
            }
        }
        Ok(())
    }

    fn write_char_escape<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        let bytes = match escape {
            CharEscape::AsciiControl(_) => 6,
            CharEscape::Quote
            | CharEscape::ReverseSolidus
            | CharEscape::Solidus
            | CharEscape::Backspace
            | CharEscape::FormFeed
            | CharEscape::LineFeed
            | CharEscape::CarriageReturn
            | CharEscape::Tab => 2,
        };
        if self.fits(writer, bytes)? {
            CompactFormatter.write_char_escape(writer, escape)?;
        }
        Ok(())
    }

    /// Milliseconds are as fine as anybody reads.
    fn write_f64<W: ?Sized + Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        write!(writer, "{value:.3}")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use serde_json::Value;

    use super::super::Way;
    use super::*;
    use crate::limits::{AUDIT_LINE_MAX, LOG_MESSAGE_MAX};

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_000_000_007)
    }

    /// One of each, all with the same text.
    fn each(text: &str) -> Vec<Event<'_>> {
        vec![
            Event::TunnelOpened {
                tunnel: text,
                by: text,
                region: Some(text),
            },
            Event::TunnelRefused {
                tunnel: text,
                by: text,
                reason: text,
            },
            Event::TunnelUp {
                tunnel: text,
                service: text,
            },
            Event::TunnelDown {
                tunnel: text,
                reason: text,
            },
            Event::TunnelEnded {
                tunnel: text,
                seconds: u64::MAX,
                streams: u64::MAX,
                down: u64::MAX,
                up: u64::MAX,
                reason: text,
            },
            Event::StreamOpened {
                tunnel: text,
                service: text,
                stream: i32::MIN,
                connection: u32::MAX,
                target: text,
            },
            Event::StreamRefused {
                tunnel: text,
                service: text,
                stream: i32::MIN,
                connection: u32::MAX,
                reason: text,
            },
            Event::FirstByte {
                tunnel: text,
                service: text,
                stream: i32::MIN,
                connection: u32::MAX,
                way: Way::Down,
                milliseconds: u128::from(u64::MAX),
            },
            Event::StreamEnded {
                tunnel: text,
                service: text,
                stream: i32::MIN,
                connection: u32::MAX,
                target: text,
                seconds: 1e15,
                down: u64::MAX,
                up: u64::MAX,
                reason: text,
            },
            Event::AccessOn { reason: text },
            Event::AccessOff { reason: text },
        ]
    }

    #[test]
    fn a_line_reads_as_documented() {
        let ended = Event::StreamEnded {
            tunnel: "1a2b3c4d",
            service: "robot1",
            stream: 7,
            connection: 1,
            target: "192.168.0.2:23",
            seconds: 12.000_499,
            down: 270_336,
            up: 41,
            reason: "the source closed it",
        };
        assert_eq!(
            line(now(), &ended),
            "{\"time\":\"2026-11-18T11:06:40.007Z\",\"event\":\"stream-ended\",\"tunnel\":\"1a2b3c4d\",\
             \"service\":\"robot1\",\"stream\":7,\"connection\":1,\"target\":\"192.168.0.2:23\",\
             \"seconds\":12.000,\"down\":270336,\"up\":41,\"reason\":\"the source closed it\"}"
        );
    }

    #[test]
    fn time_and_event_come_first() {
        for event in each("x") {
            let line = line(now(), &event);
            let rest = line.strip_prefix("{\"time\":\"2026-11-18T11:06:40.007Z\",\"event\":\"");
            assert!(rest.is_some_and(|rest| rest.ends_with('}')), "{line}");
            let value: Value = serde_json::from_str(&line).expect("JSON");
            assert!(value["event"].is_string() && value.as_object().is_some_and(|it| it.len() > 2));
        }
    }

    #[test]
    fn hostile_text_stays_text() {
        for (text, written) in [
            ("\"},{\"", "\\\"},{\\\""),
            ("a\nb\r\t\0\u{1b}", "a\\nb\\r\\t\\u0000\\u001b"),
            ("\u{7f}\u{85}\u{9b}", "\\u007f\\u0085\\u009b"),
            ("\u{202e}gnp\u{2028}\u{feff}", "\\u202egnp\\u2028\\ufeff"),
            ("Röbot → \\", "Röbot → \\\\"),
        ] {
            let line = line(now(), &Event::AccessOn { reason: text });
            assert!(
                line.ends_with(&format!("\"reason\":\"{written}\"}}")),
                "{line}"
            );
            let value: Value = serde_json::from_str(&line).expect("JSON");
            assert_eq!(value["reason"], text);
        }
    }

    #[test]
    fn long_text_is_cut_where_it_says_so() {
        let fits = "é".repeat(AUDIT_TEXT_MAX / 2);
        for (text, kept) in [
            (fits.clone(), fits.clone()),
            (format!("{fits}x"), format!("{fits}…")),
            (format!("{fits}\n{fits}x"), format!("{fits}…")),
            ("\0".repeat(10_000), "\0".repeat(AUDIT_TEXT_MAX / 6) + "…"),
            (
                "\u{202e}".repeat(10_000),
                "\u{202e}".repeat(AUDIT_TEXT_MAX / 6) + "…",
            ),
            ("\"".repeat(10_000), "\"".repeat(AUDIT_TEXT_MAX / 2) + "…"),
        ] {
            let line = line(now(), &Event::AccessOn { reason: &text });
            let value: Value = serde_json::from_str(&line).expect("JSON");
            assert_eq!(value["reason"], kept);
        }
    }

    proptest! {
        #[test]
        fn any_text_makes_one_bounded_line_that_the_log_leaves_alone(text in any::<String>(), times in 1_usize..300) {
            let text = text.repeat(times);
            for event in each(&text) {
                let line = line(now(), &event);
                prop_assert!(line.len() <= AUDIT_LINE_MAX, "{}: {line}", line.len());
                prop_assert!("audit ".len() + line.len() <= LOG_MESSAGE_MAX);
                prop_assert!(!line.chars().any(is_hostile), "{line}");
                prop_assert!(serde_json::from_str::<Value>(&line).is_ok(), "{line}");
            }
        }
    }
}
