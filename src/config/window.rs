//! Time windows: `mon-fri 07:00-19:00`.

use super::fault::{Misfit, quoted};

/// A time of the week in which access is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// The days on which it begins: bit 0 is Monday.
    pub days: u8,
    /// Minutes after midnight.
    pub from: u16,
    /// Minutes after midnight, not included; before `from` it is on the next day. Never the same as `from`.
    pub until: u16,
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const DAY: u16 = 24 * 60;

impl Window {
    /// Days and times as the owner wrote them.
    pub(super) fn parse(text: &str) -> Result<Window, Misfit> {
        let window = parts(text).ok_or_else(|| {
            Misfit::new(
                quoted(text),
                "days and times, from 00:00 to 24:00",
                "write for example \"mon-fri 07:00-19:00\", \"mon,wed 22:00-06:00\" or \
                 \"daily 00:00-24:00\"",
            )
        })?;
        if window.from == window.until {
            return Err(Misfit::new(
                format!("{}, which ends as it begins", quoted(text)),
                "an end that differs from the beginning",
                "for whole days write 00:00-24:00",
            ));
        }
        Ok(window)
    }
}

fn parts(text: &str) -> Option<Window> {
    let mut words = text.split_ascii_whitespace();
    let (days, times) = (words.next()?, words.next()?);
    if words.next().is_some() {
        return None;
    }
    let (from, until) = times.split_once('-')?;
    let window = Window {
        days: self::days(days)?,
        from: minutes(from)?,
        until: minutes(until)?,
    };
    (window.from < DAY).then_some(window)
}

/// `daily`, or days and ranges of days with commas between.
fn days(text: &str) -> Option<u8> {
    let text = text.to_ascii_lowercase();
    if text == "daily" {
        return Some(0b0111_1111);
    }
    let mut days = 0;
    for item in text.split(',') {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        let (mut day, last) = (self::day(first)?, self::day(last)?);
        days |= 1 << day;
        // A range may pass the end of the week: sat-mon.
        while day != last {
            day = (day + 1) % DAYS.len();
            days |= 1 << day;
        }
    }
    Some(days)
}

fn day(name: &str) -> Option<usize> {
    DAYS.iter().position(|day| *day == name)
}

/// `HH:MM` in minutes after midnight, up to 24:00.
fn minutes(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u16>().ok()).flatten()
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let sum = hours * 60 + minutes;
    (minutes < 60 && sum <= DAY).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_as_owners_write_them() {
        for (text, days, from, until) in [
            ("mon-fri 07:00-19:00", 0b001_1111, 420, 1140),
            ("sat 08:00-12:00", 0b010_0000, 480, 720),
            ("mon,wed,fri 22:00-06:00", 0b001_0101, 1320, 360),
            ("daily 00:00-24:00", 0b111_1111, 0, 1440),
            ("Mon-Tue,SUN 00:01-00:00", 0b100_0011, 1, 0),
            ("sat-mon 23:59-24:00", 0b110_0001, 1439, 1440),
            ("tue-mon 00:00-00:01", 0b111_1111, 0, 1),
            ("  mon \t 01:00-02:00 ", 0b000_0001, 60, 120),
        ] {
            let window = Window::parse(text).expect(text);
            assert_eq!(window, Window { days, from, until }, "{text}");
        }
    }

    #[test]
    fn what_is_no_window() {
        for text in [
            "",
            "mon",
            "07:00-19:00",
            "mon 07:00",
            "mon 07:00-",
            "mon 7:00-19:00",
            "mon 07:00-19:60",
            "mon 07:00-24:01",
            "mon 24:00-01:00",
            "mon 07:00-07:00",
            "mon 07:00 - 19:00",
            "mon, tue 07:00-19:00",
            "mon,,tue 07:00-19:00",
            "mon- 07:00-19:00",
            "mon-tue-wed 07:00-19:00",
            "monday 07:00-19:00",
            "mo-fr 07:00-19:00",
            "daily,mon 07:00-19:00",
            "mon 07:00-19:00 UTC",
            "mon 07:00-19:00-20:00",
            "mon +7:00-19:00",
            "mon 99:99-00:00",
            "mon ٠٧:٠٠-19:00",
        ] {
            assert!(Window::parse(text).is_err(), "{text}");
        }
    }
}
