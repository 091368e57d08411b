//! Whether the clock can be right, and the wait until it is.
//!
//! Is responsible for: a gateway without a battery boots in 1970, and every certificate looks not yet valid to
//! it. Who needs TLS waits here until NTP, the modem or a person has set the clock.
//!
//! What is certain is that it cannot be earlier than the program itself. A build script could ask the builder's
//! clock, but then no two builds were the same; so the floor is the date of the release, which stands in the
//! source, or `SOURCE_DATE_EPOCH` if the build sets it (as Yocto, Debian and Nix do) and it is later.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, sleep, timeout_at};

/// The release of this source: 2026-11-23 00:00 UTC, in seconds since 1970. Goes up with the version.
const RELEASE: u64 = 1_795_392_000;

/// 2100-01-01: a build that claims to be later has milliseconds or a typing error in `SOURCE_DATE_EPOCH`, and
/// its agent would wait for ever. It fails to compile instead.
const BUILD_MAX: u64 = 4_102_444_800;

/// No clock is earlier than this, in seconds since 1970.
const FLOOR: u64 = match option_env!("SOURCE_DATE_EPOCH") {
    Some(epoch) => later(RELEASE, seconds(epoch)),
    None => RELEASE,
};

/// How soon a clock that was set is seen. The kernel could tell at once (`TFD_TIMER_CANCEL_ON_SET`), but not
/// of a clock that a container or a test sets, and nothing else runs meanwhile that this would disturb.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Between two lines in the log.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// Whether `now` can be the time: it is not earlier than this build.
pub fn plausible(now: SystemTime) -> bool {
    now >= floor()
}

/// The build's time; no right clock is earlier.
pub fn floor() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(FLOOR)
}

/// What is wrong with `now`, as a sentence for the log and the check; none if it is plausible.
pub fn doubt(now: SystemTime) -> Option<String> {
    if plausible(now) {
        return None;
    }
    let (says, build) = (minute(now), minute(floor()));
    let build = build.split(' ').next().unwrap_or_default();
    Some(format!(
        "the clock says {says}, older than this build ({build}): every certificate would look not yet valid"
    ))
}

/// Waits until the clock is plausible; at once if it is. `who` begins each line of the log. Safe to drop.
pub async fn wait(who: &str) {
    wait_by(who, SystemTime::now).await;
}

async fn wait_by(who: &str, mut now: impl FnMut() -> SystemTime) {
    let began = Instant::now();
    while let Some(doubt) = doubt(now()) {
        log::warn!("{who}: {doubt}; waits until NTP or the modem sets it");
        let set = async {
            while !plausible(now()) {
                sleep(LOOK_EVERY).await;
            }
        };
        if timeout_at(Instant::now() + SAY_EVERY, set).await.is_ok() {
            let waited = Duration::from_secs(began.elapsed().as_secs());
            log::info!(
                "{who}: the clock was set to {} UTC after {}; goes on",
                minute(now()),
                humantime::format_duration(waited)
            );
        }
    }
}

/// `2026-11-23 07:05`, in UTC.
fn minute(time: SystemTime) -> String {
    let mut text = humantime::format_rfc3339_seconds(time.max(UNIX_EPOCH)).to_string();
    text.truncate("2026-11-23T07:05".len());
    text.replace('T', " ")
}

const fn later(one: u64, other: u64) -> u64 {
    if one > other { one } else { other }
}

/// # Panics
/// At compile time, if it is no number of seconds before [`BUILD_MAX`]. Source: the specification of
/// `SOURCE_DATE_EPOCH`, which wants a build with a malformed value to fail.
const fn seconds(epoch: &str) -> u64 {
    match number(epoch.as_bytes()) {
        Some(seconds) => seconds,
        None => panic!("SOURCE_DATE_EPOCH is no number of seconds from 1970 to 2100"),
    }
}

const fn number(digits: &[u8]) -> Option<u64> {
    let mut number = 0;
    let mut at = 0;
    while at < digits.len() {
        if !digits[at].is_ascii_digit() {
            return None;
        }
        number = number * 10 + (digits[at] - b'0') as u64;
        if number >= BUILD_MAX {
            return None;
        }
        at += 1;
    }
    if at == 0 { None } else { Some(number) }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn at(rfc3339: &str) -> SystemTime {
        humantime::parse_rfc3339(rfc3339).expect("a time")
    }

    #[test]
    fn the_release_is_the_date_it_claims() {
        let release = UNIX_EPOCH + Duration::from_secs(RELEASE);
        assert_eq!(release, at("2026-11-23T00:00:00Z"));
        assert!(floor() >= release, "SOURCE_DATE_EPOCH only moves it up");
        assert_eq!(
            UNIX_EPOCH + Duration::from_secs(BUILD_MAX),
            at("2100-01-01T00:00:00Z")
        );
    }

    #[test]
    fn a_clock_before_the_build_is_implausible() {
        for (time, right) in [
            (UNIX_EPOCH - Duration::from_secs(1), false),
            (UNIX_EPOCH, false),
            (at("1970-01-01T00:03:20Z"), false),
            (at("2000-01-01T00:00:00Z"), false),
            (floor() - Duration::from_nanos(1), false),
            (floor(), true),
            (at("2038-01-19T03:14:08Z"), true),
        ] {
            assert_eq!(plausible(time), right, "{time:?}");
            assert_eq!(doubt(time).is_none(), right, "{time:?}");
        }
    }

    #[test]
    fn the_doubt_is_a_sentence() {
        let doubt = doubt(at("1970-01-01T00:03:20Z")).expect("1970 is implausible");
        let build = &humantime::format_rfc3339_seconds(floor()).to_string()[..10];
        assert_eq!(
            doubt,
            format!(
                "the clock says 1970-01-01 00:03, older than this build ({build}): every certificate would look \
                 not yet valid"
            )
        );
    }

    #[test]
    fn source_date_epoch_is_read_in_digits() {
        for (text, number) in [("0", 0), ("1795392000", RELEASE), ("0010", 10)] {
            assert_eq!(super::number(text.as_bytes()), Some(number));
        }
        for wrong in [
            "",
            "-1",
            " 1",
            "1e9",
            "1795392000000",
            "99999999999999999999",
        ] {
            assert_eq!(super::number(wrong.as_bytes()), None, "{wrong:?}");
        }
        assert_eq!(later(RELEASE, 0), RELEASE);
        assert_eq!(later(RELEASE, RELEASE + 1), RELEASE + 1);
    }

    /// A clock that stands at 1970 and is set after `set` of the virtual time; counts how often it is read.
    async fn waited(set: Duration) -> (Duration, u32) {
        let began = Instant::now();
        let looks = Cell::new(0);
        wait_by("test", || {
            looks.set(looks.get() + 1);
            if began.elapsed() < set {
                UNIX_EPOCH + began.elapsed()
            } else {
                floor() + began.elapsed()
            }
        })
        .await;
        (began.elapsed(), looks.get())
    }

    #[tokio::test(start_paused = true)]
    async fn a_plausible_clock_is_not_waited_for() {
        assert_eq!(waited(Duration::ZERO).await, (Duration::ZERO, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn it_goes_on_within_a_second_of_the_clock_being_set() {
        for seconds in [1, 59, 60, 61, 119, 600, 3601] {
            let set = Duration::from_millis(seconds * 1000 - 300);
            let (waited, looks) = waited(set).await;
            assert!(waited >= set, "{set:?}: {waited:?}");
            assert!(
                waited - set <= Duration::from_secs(1),
                "{set:?}: {waited:?}"
            );
            // One a second, three for each line that waits, and one for the line that goes on, if the log is on.
            assert!(
                u64::from(looks) <= seconds + 3 * (seconds / 60 + 1) + 1,
                "{looks}"
            );
        }
    }
}
