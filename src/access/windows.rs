//! The windows of the week, in local time. Pure: numbers in, a word out.
//!
//! What counts is what the clock on the wall shows. Where it jumps over an hour in spring, a window within that hour
//! does not come; where it shows an hour twice in autumn, a window within it comes twice.

use std::fmt;

use crate::config::Window;

const MINUTE: i64 = 60;
const DAY: i64 = 24 * 60 * MINUTE;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// A time of the week on the wall: to the minute, since windows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WallTime {
    /// 0 is Monday.
    day: usize,
    /// Minutes after midnight.
    minute: u16,
}

impl WallTime {
    /// From seconds since the beginning of 1970 on the same wall.
    pub(super) fn new(seconds: i64) -> WallTime {
        // It was a Thursday.
        let day = (seconds.div_euclid(DAY) + 3).rem_euclid(7);
        let minute = seconds.rem_euclid(DAY) / MINUTE;
        WallTime {
            day: usize::try_from(day).unwrap_or_default(),
            minute: u16::try_from(minute).unwrap_or_default(),
        }
    }

    fn is_in(self, window: &Window) -> bool {
        let begins = |day: usize| window.days & (1 << day) != 0;
        let (from, until) = (window.from, window.until);
        if from < until {
            return begins(self.day) && (from..until).contains(&self.minute);
        }
        // Past midnight: the evening of a day of the window, or the morning after one.
        (begins(self.day) && self.minute >= from)
            || (begins((self.day + 6) % 7) && self.minute < until)
    }
}

/// `Sat 12:03`.
impl fmt::Display for WallTime {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let day = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"][self.day % 7];
        write!(out, "{day} {}", Clock(self.minute))
    }
}

/// Whether it is in one of them.
pub(super) fn open(windows: &[Window], time: WallTime) -> bool {
    windows.iter().any(|window| time.is_in(window))
}

/// `mon-fri 07:00-19:00, sat 08:00-12:00`.
pub(super) fn spelled(windows: &[Window]) -> String {
    let each: Vec<_> = windows.iter().map(window).collect();
    each.join(", ")
}

fn window(window: &Window) -> String {
    let (from, until) = (Clock(window.from), Clock(window.until));
    format!("{} {from}-{until}", days(window.days))
}

/// Days in a row as `mon-fri`, the others with commas between.
fn days(bits: u8) -> String {
    let mut text = String::new();
    let mut day = 0;
    while day < DAYS.len() {
        let run = (day..DAYS.len())
            .take_while(|day| bits & (1 << day) != 0)
            .count();
        if run > 0 {
            if !text.is_empty() {
                text.push(',');
            }
            text.push_str(DAYS[day]);
        }
        if run > 1 {
            text.push('-');
            text.push_str(DAYS[day + run - 1]);
        }
        day += run.max(1);
    }
    text
}

/// Minutes after midnight as `07:00`.
struct Clock(u16);

impl fmt::Display for Clock {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WEEKDAYS: u8 = 0b1_1111;
    const WEEK: u16 = 7 * 24 * 60;

    fn of(days: u8, from: u16, until: u16) -> Window {
        Window { days, from, until }
    }

    /// Monday 00:00 is 0.
    fn at(minute_of_week: u16) -> WallTime {
        WallTime {
            day: usize::from(minute_of_week / 1440),
            minute: minute_of_week % 1440,
        }
    }

    #[test]
    fn the_day_of_the_week_is_right() {
        for (time, shown) in [
            ("1970-01-01T00:00:00Z", "Thu 00:00"),
            ("2000-02-29T23:59:59Z", "Tue 23:59"),
            ("2026-11-23T07:00:00Z", "Mon 07:00"),
            ("2026-11-28T12:03:59Z", "Sat 12:03"),
            ("2026-11-30T00:00:00Z", "Mon 00:00"),
        ] {
            let time = humantime::parse_rfc3339(time).expect("a time");
            let since = time
                .duration_since(std::time::UNIX_EPOCH)
                .expect("a time after 1970");
            let seconds = i64::try_from(since.as_secs()).expect("a time");
            assert_eq!(WallTime::new(seconds).to_string(), shown);
        }
        assert_eq!(WallTime::new(-1).to_string(), "Wed 23:59");
    }

    #[test]
    fn the_edges_of_windows_are_where_they_are_written() {
        let day = of(WEEKDAYS, 7 * 60, 19 * 60);
        let night = of(1 << 6, 22 * 60, 6 * 60);
        let saturday = of(1 << 5, 0, 1440);
        let round = of(1 << 2, 600, 600);
        for (window, time, inside) in [
            (&day, "mon 06:59", false),
            (&day, "mon 07:00", true),
            (&day, "fri 18:59", true),
            (&day, "fri 19:00", false),
            (&day, "sat 12:00", false),
            (&night, "sun 21:59", false),
            (&night, "sun 22:00", true),
            (&night, "mon 05:59", true),
            (&night, "mon 06:00", false),
            (&night, "sun 05:59", false),
            (&saturday, "fri 23:59", false),
            (&saturday, "sat 00:00", true),
            (&saturday, "sat 23:59", true),
            (&saturday, "sun 00:00", false),
            (&round, "wed 09:59", false),
            (&round, "wed 10:00", true),
            (&round, "thu 09:59", true),
            (&round, "thu 10:00", false),
        ] {
            let (name, clock) = time.split_once(' ').expect("a day and a time");
            let (hour, minute) = clock.split_once(':').expect("a time");
            let time = WallTime {
                day: DAYS.iter().position(|day| *day == name).expect("a day"),
                minute: hour.parse::<u16>().expect("an hour") * 60
                    + minute.parse::<u16>().expect("a minute"),
            };
            assert_eq!(time.is_in(window), inside, "{window:?} {time}");
        }
    }

    #[test]
    fn windows_are_spelled_as_they_are_configured() {
        for (windows, text) in [
            (vec![of(WEEKDAYS, 420, 1140)], "mon-fri 07:00-19:00"),
            (
                vec![of(0b110_0101, 1320, 365), of(0b111_1111, 0, 1440)],
                "mon,wed,sat-sun 22:00-06:05, mon-sun 00:00-24:00",
            ),
            (vec![], ""),
        ] {
            assert_eq!(spelled(&windows), text);
        }
    }

    fn any_window() -> impl Strategy<Value = Window> {
        (0_u8..128, 0_u16..1440, 0_u16..=1440).prop_map(|(days, from, until)| of(days, from, until))
    }

    proptest! {
        /// Paints each window into a week minute by minute, and compares.
        #[test]
        fn a_week_of_minutes_agrees(windows in prop::collection::vec(any_window(), 0..4)) {
            let mut painted = vec![false; usize::from(WEEK)];
            for window in &windows {
                for day in (0..7).filter(|day| window.days & (1 << day) != 0) {
                    let begins = day * 1440 + u32::from(window.from);
                    let wraps = window.until <= window.from;
                    let ends = (day + u32::from(wraps)) * 1440 + u32::from(window.until);
                    for minute in begins..ends {
                        painted[(minute % u32::from(WEEK)) as usize] = true;
                    }
                }
            }
            for minute in 0..WEEK {
                prop_assert_eq!(open(&windows, at(minute)), painted[usize::from(minute)], "{}", at(minute));
            }
        }
    }
}
