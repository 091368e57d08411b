//! The connection to the broker: against one that the test writes byte by byte, a strict one, and a mosquitto.

mod brokers;
mod scripted;

use std::cell::RefCell;
use std::sync::Once;

use log::{LevelFilter, Log, Metadata, Record};

const TOKEN: &str = "AQGAAXiSentinelToken0123456789+/=";

thread_local! {
    /// The lines of this test; each runs on a thread of its own.
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

struct Captured;

impl Log for Captured {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        LINES.with_borrow_mut(|lines| lines.push(record.args().to_string()));
    }

    fn flush(&self) {}
}

/// From now on the log of this thread can be read.
fn capture() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_boxed_logger(Box::new(Captured)).expect("no other logger in the unit tests");
        log::set_max_level(LevelFilter::Debug);
    });
    LINES.take();
}

/// The lines since the last call that hold `part`. None of them may hold a token.
fn lines(part: &str) -> Vec<String> {
    let lines = LINES.take();
    for line in &lines {
        assert!(!line.contains("Sentinel"), "{line}");
    }
    lines
        .into_iter()
        .filter(|line| line.contains(part))
        .collect()
}

fn payload(token: &str) -> String {
    format!(
        r#"{{"clientAccessToken":"{token}","clientMode":"destination","region":"eu-central-1","services":["robot1"]}}"#
    )
}
