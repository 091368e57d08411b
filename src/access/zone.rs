//! Local time: `TZ`, else `/etc/localtime`, else UTC, as the C library has it.

use std::error::Error;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;

use tz::{TimeZone, TimeZoneSettings};

use super::windows::WallTime;
use crate::limits::ZONE_MAX;

/// The time zone of the gateway. Read anew when the minute is another, since somebody may set it while the agent runs.
pub(super) struct Zone {
    /// As `TZ` spells it.
    wanted: String,
    zone: TimeZone,
    /// Minutes since 1970 when it was read.
    read: Option<i64>,
    /// What was wrong with it, to say it once.
    trouble: Option<String>,
}

/// A time on the wall.
pub(super) struct Local {
    pub(super) time: WallTime,
    /// Seconds past the minute on the wall.
    pub(super) second: u8,
    /// `CET`.
    pub(super) zone: String,
}

impl Zone {
    /// `variable` is the value of `TZ`.
    pub(super) fn new(variable: Option<OsString>) -> Zone {
        let wanted = match variable {
            // An empty one is UTC. Source: tzset(3).
            Some(text) if text.is_empty() => "UTC0".to_owned(),
            Some(text) => text.to_string_lossy().into_owned(),
            None => "localtime".to_owned(),
        };
        Zone {
            wanted,
            zone: TimeZone::utc(),
            read: None,
            trouble: None,
        }
    }

    /// What the wall shows `seconds` after the beginning of 1970 in UTC.
    pub(super) fn local(&mut self, seconds: i64) -> Local {
        let minute = seconds.div_euclid(60);
        if self.read != Some(minute) {
            self.read = Some(minute);
            self.reread();
        }
        // A zone that says nothing of this time is of no use. The crate's own UTC has no name.
        let (offset, zone) = match self.zone.find_local_time_type(seconds) {
            Ok(kind) => (kind.ut_offset(), kind.time_zone_designation()),
            Err(_) => (0, ""),
        };
        let zone = if zone.is_empty() { "UTC" } else { zone }.to_owned();
        let wall = seconds + i64::from(offset);
        Local {
            time: WallTime::new(wall),
            second: u8::try_from(wall.rem_euclid(60)).unwrap_or_default(),
            zone,
        }
    }

    fn reread(&mut self) {
        let settings = TimeZoneSettings::new(TimeZoneSettings::DEFAULT_DIRECTORIES, read_file);
        match settings.parse_posix_tz(&self.wanted) {
            Ok(zone) => {
                self.zone = zone;
                self.trouble = None;
            }
            Err(error) => {
                self.zone = TimeZone::utc();
                let trouble = error.to_string();
                if self.trouble.as_ref() != Some(&trouble) {
                    let name = match self.wanted.as_str() {
                        "localtime" => "/etc/localtime",
                        wanted => wanted,
                    };
                    log::warn!(
                        "access: the time zone {name} cannot be read: {trouble}; the windows are in UTC"
                    );
                    self.trouble = Some(trouble);
                }
            }
        }
    }
}

fn read_file(path: &str) -> Result<Vec<u8>, Box<dyn Error + Send + Sync + 'static>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(ZONE_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use cell::agent::Folder;

    use super::*;

    const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";

    fn seconds(rfc3339: &str) -> i64 {
        let time = humantime::parse_rfc3339(rfc3339).expect("a time");
        let since = time.duration_since(UNIX_EPOCH).expect("a time after 1970");
        i64::try_from(since.as_secs()).expect("a time")
    }

    fn shown(zone: &str, rfc3339: &str) -> String {
        let local = Zone::new(Some(zone.into())).local(seconds(rfc3339));
        format!("{}:{:02} {}", local.time, local.second, local.zone)
    }

    #[test]
    fn the_wall_shows_the_time_of_the_zone() {
        for (zone, utc, wall) in [
            ("", "2026-11-28T12:03:07Z", "Sat 12:03:07 UTC"),
            ("UTC0", "2026-11-28T12:03:07Z", "Sat 12:03:07 UTC"),
            (BERLIN, "2026-11-28T12:03:07Z", "Sat 13:03:07 CET"),
            (BERLIN, "2026-11-29T23:30:00Z", "Mon 00:30:00 CET"),
            // Summer time begins and ends at 01:00 UTC.
            (BERLIN, "2027-03-28T00:59:59Z", "Sun 01:59:59 CET"),
            (BERLIN, "2027-03-28T01:00:00Z", "Sun 03:00:00 CEST"),
            (BERLIN, "2027-10-31T00:59:59Z", "Sun 02:59:59 CEST"),
            (BERLIN, "2027-10-31T01:00:00Z", "Sun 02:00:00 CET"),
            // The other half of the world, half an hour, before UTC.
            (
                "AEST-10AEDT,M10.1.0,M4.1.0/3",
                "2026-12-31T23:00:00Z",
                "Fri 10:00:00 AEDT",
            ),
            ("<+0530>-5:30", "2026-11-28T20:00:00Z", "Sun 01:30:00 +0530"),
            (
                "EST5EDT,M3.2.0,M11.1.0",
                "2026-11-23T03:00:00Z",
                "Sun 22:00:00 EST",
            ),
        ] {
            assert_eq!(shown(zone, utc), wall, "{zone} {utc}");
        }
    }

    #[test]
    fn a_zone_that_cannot_be_read_is_utc() {
        for zone in [
            "Nowhere/Atlantis",
            ":/proc/self/nothing",
            "X",
            ":/dev/zero",
            "a\0b",
        ] {
            assert_eq!(
                shown(zone, "2026-11-28T12:03:07Z"),
                "Sat 12:03:07 UTC",
                "{zone}"
            );
        }
    }

    /// A file of the time zone database that has nothing but its rule. Source: RFC 8536, 3.
    fn file(rule: &str) -> Vec<u8> {
        let mut block = b"TZif2".to_vec();
        block.extend([0; 15]);
        for count in [0_u32, 0, 0, 0, 1, 4] {
            block.extend(count.to_be_bytes());
        }
        block.extend([0; 6]);
        block.extend(b"UTC\0");
        let mut file = block.repeat(2);
        file.extend(format!("\n{rule}\n").bytes());
        file
    }

    #[test]
    fn a_zone_that_is_set_while_the_agent_runs_counts_from_the_next_minute() {
        let folder = Folder::new("zone").expect("a folder");
        let path = folder.path().join("zone");
        std::fs::write(&path, file(BERLIN)).expect("a file");
        let mut zone = Zone::new(Some(format!(":{}", path.display()).into()));
        let noon = seconds("2026-11-28T12:00:00Z");
        assert_eq!(zone.local(noon).time.to_string(), "Sat 13:00");
        std::fs::write(&path, file("EST5")).expect("a file");
        assert_eq!(zone.local(noon + 59).time.to_string(), "Sat 13:00");
        assert_eq!(zone.local(noon + 60).time.to_string(), "Sat 07:01");
        std::fs::remove_file(&path).expect("a removal");
        assert_eq!(zone.local(noon + 120).time.to_string(), "Sat 12:02");
        std::fs::write(&path, file(BERLIN)).expect("a file");
        assert_eq!(zone.local(noon + 180).time.to_string(), "Sat 13:03");
    }
}
