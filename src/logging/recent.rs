//! The last warnings and errors, for the status.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use log::Level;

use crate::limits::{RECENT_MAX, RECENT_TEXT_MAX};

/// A warning or an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recent {
    /// When it came last.
    pub time: SystemTime,
    /// Warning or error.
    pub level: Level,
    /// What was said, at most [`RECENT_TEXT_MAX`] characters.
    pub text: String,
    /// How often, as long as it was among the last ones.
    pub times: u32,
}

static RECENT: Mutex<VecDeque<Recent>> = Mutex::new(VecDeque::new());

/// The last [`RECENT_MAX`] warnings and errors, the newest last.
pub fn recent() -> Vec<Recent> {
    let kept = RECENT.lock().unwrap_or_else(PoisonError::into_inner);
    kept.iter().cloned().collect()
}

pub(super) fn keep(level: Level, time: SystemTime, text: String) {
    let mut kept = RECENT.lock().unwrap_or_else(PoisonError::into_inner);
    add(&mut kept, level, time, text);
}

/// One more. What was said before only moves to the end, so that a service that is away for a day does not
/// push everything else out.
fn add(kept: &mut VecDeque<Recent>, level: Level, time: SystemTime, mut text: String) {
    if let Some((end, _)) = text.char_indices().nth(RECENT_TEXT_MAX) {
        text.truncate(end);
        text.push('…');
    }
    let before = kept.iter().position(|recent| recent.text == text);
    let times = match before.and_then(|at| kept.remove(at)) {
        Some(recent) => recent.times.saturating_add(1),
        None => 1,
    };
    if kept.len() == RECENT_MAX {
        kept.pop_front();
    }
    kept.push_back(Recent {
        time,
        level,
        text,
        times,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_kept_each_once_and_in_bounds() {
        let mut kept = VecDeque::new();
        let at = SystemTime::UNIX_EPOCH;
        for number in 0..RECENT_MAX + 3 {
            add(&mut kept, Level::Warn, at, format!("trouble {number}"));
        }
        assert_eq!(kept.len(), RECENT_MAX);
        assert_eq!(kept[0].text, "trouble 3");
        add(&mut kept, Level::Warn, at, "trouble 4".to_owned());
        assert_eq!(kept.len(), RECENT_MAX);
        assert_eq!(
            (kept[0].text.as_str(), kept[1].text.as_str()),
            ("trouble 3", "trouble 5")
        );
        let last = kept.back().expect("one");
        assert_eq!((last.text.as_str(), last.times), ("trouble 4", 2));
        add(&mut kept, Level::Error, at, "ä".repeat(10_000));
        let last = kept.back().expect("one");
        assert_eq!(last.text.chars().count(), RECENT_TEXT_MAX + 1);
    }
}
