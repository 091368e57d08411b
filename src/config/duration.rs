//! Durations as owners write them: `10s`, `1h 30m`.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::document::Table;
use super::fault::{Faults, Misfit, quoted};

/// The duration of a key, within `bounds`.
pub(super) fn read(
    table: &mut Table<'_>,
    key: &'static str,
    example: &str,
    bounds: RangeInclusive<Duration>,
    faults: &mut Faults,
) -> Option<Duration> {
    let (text, place) = table.text(key, example, faults)?;
    let parsed = match humantime::parse_duration(&text) {
        Ok(duration) if bounds.contains(&duration) => Ok(duration),
        Ok(_) | Err(_) => {
            let (least, most) = bounds.into_inner();
            let least = humantime::format_duration(least);
            let most = humantime::format_duration(most);
            Err(Misfit::new(
                quoted(&text),
                format!("a duration from {least} to {most}"),
                format!("write a number with its unit, for example {key} = \"{example}\""),
            ))
        }
    };
    faults.keep(place, parsed)
}
