//! Access: the people of the cell decide whether anybody may come in.
//!
//! Is responsible for: reading the key switch and the windows of `[access]`, and telling at once when what they say
//! changes. It is not a safety function: a robot is made safe by its own circuits, never by this.

mod file;
mod gpio;
mod switch;
mod verdict;
mod windows;
mod zone;

use std::future::pending;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, sleep_until};

use crate::config::Access;
use crate::supervise::clock;
use switch::{Position, Switch};
use windows::WallTime;
use zone::Zone;

pub use verdict::{Verdict, Why};

/// Between two looks at a clock that is not set yet.
const UNSET_LOOK: Duration = Duration::from_secs(1);

/// Windows begin and end with a minute; so does the zone's offset change. The wall clock can also be stepped, which
/// nobody tells of: at the next minute it is seen.
const MINUTE: Duration = Duration::from_secs(60);

/// Watches the key switch and the windows.
///
/// What it finds it logs, each change once, as `access: on: …` and `access: off: …`.
pub struct Watch {
    config: Access,
    switch: Option<Switch>,
    zone: Zone,
    now: Box<dyn Fn() -> SystemTime>,
    verdict: Verdict,
    /// What was wrong with the switch, to say it once.
    unreadable: Option<String>,
    /// When to look although nothing tells; never with neither a switch nor windows.
    again: Option<Instant>,
}

impl Watch {
    /// Looks for the first time. Inside a runtime, since it opens what tells of changes.
    pub fn new(config: Access) -> Watch {
        let zone = Zone::new(std::env::var_os("TZ"));
        Watch::with(config, zone, Box::new(SystemTime::now))
    }

    fn with(config: Access, zone: Zone, now: Box<dyn Fn() -> SystemTime>) -> Watch {
        let mut watch = Watch {
            switch: config.key_switch.as_ref().map(Switch::new),
            config,
            zone,
            now,
            verdict: Verdict::On(String::new()),
            unreadable: None,
            again: None,
        };
        // A change from on to off it has told already.
        if !watch.look() {
            watch.tell();
        }
        watch
    }

    /// What the last look said.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// The next verdict that is another: on after off, off after on, or off for another reason. Safe to drop;
    /// nothing is missed by it.
    pub async fn changed(&mut self) -> Verdict {
        loop {
            self.woken().await;
            if self.look() {
                return self.verdict.clone();
            }
        }
    }

    /// Something may be different now.
    async fn woken(&mut self) {
        let moved = async {
            match &mut self.switch {
                Some(switch) => switch.moved().await,
                None => pending().await,
            }
        };
        let again = async {
            match self.again {
                Some(again) => sleep_until(again).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            () = moved => {}
            () = again => {}
        }
    }

    /// Looks at everything. Whether the verdict is another.
    fn look(&mut self) -> bool {
        if let Some(switch) = &mut self.switch {
            switch.look();
            note(&mut self.unreadable, switch, self.config.fail_closed);
        }
        let (hour, wait) = if self.config.windows.is_empty() {
            (None, None)
        } else {
            let (hour, wait) = hour((self.now)(), &mut self.zone);
            (Some(hour), Some(wait))
        };
        let verdict = decide(&self.config, self.switch.as_ref(), hour.as_ref());
        let switch_wait = self.switch.as_ref().map(Switch::look_again);
        let wait = [switch_wait, wait].into_iter().flatten().min();
        self.again = wait.map(|wait| Instant::now() + wait);
        let changed = !self.verdict.is_like(&verdict);
        self.verdict = verdict;
        if changed {
            self.tell();
        }
        changed
    }

    fn tell(&self) {
        let word = if self.verdict.is_on() { "on" } else { "off" };
        log::info!("access: {word}: {}", self.verdict);
    }
}

/// Logs what is wrong with the switch when it becomes another thing.
fn note(unreadable: &mut Option<String>, switch: &Switch, fail_closed: bool) {
    let error = match switch.position() {
        Position::Unreadable(error) => Some(error.clone()),
        Position::On | Position::Off => None,
    };
    if *unreadable == error {
        return;
    }
    let name = switch.name();
    match &error {
        Some(error) => {
            let counts = if fail_closed { "off" } else { "on" };
            log::warn!(
                "access: the key switch {name} cannot be read: {error}; it counts as {counts}"
            );
        }
        None => log::info!("access: the key switch {name} can be read again"),
    }
    *unreadable = error;
}

/// What is known of the hour.
enum Hour {
    /// What is wrong with the clock.
    Unknown(String),
    Known {
        time: WallTime,
        /// The name of the zone.
        zone: String,
    },
}

/// The hour, and how long it stays.
fn hour(now: SystemTime, zone: &mut Zone) -> (Hour, Duration) {
    if let Some(doubt) = clock::doubt(now) {
        return (Hour::Unknown(doubt), UNSET_LOOK);
    }
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let local = zone.local(i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
    let past = Duration::new(u64::from(local.second), since.subsec_nanos());
    let (time, zone) = (local.time, local.zone);
    (Hour::Known { time, zone }, MINUTE.saturating_sub(past))
}

/// What the configuration says to all that. `hour` is there if there are windows.
fn decide(config: &Access, switch: Option<&Switch>, hour: Option<&Hour>) -> Verdict {
    let mut reasons = Vec::new();
    if let Some(switch) = switch {
        let name = switch.name();
        match switch.position() {
            Position::On => reasons.push(format!("the key switch {name} is on")),
            Position::Off => {
                let switch = name.to_owned();
                return Verdict::Off(Why::Switch { switch });
            }
            Position::Unreadable(error) if config.fail_closed => {
                return Verdict::Off(Why::Unreadable {
                    switch: name.to_owned(),
                    error: error.clone(),
                });
            }
            Position::Unreadable(error) => reasons.push(format!(
                "the key switch {name} cannot be read: {error}; not fail-closed"
            )),
        }
    }
    match hour {
        None => {}
        Some(Hour::Unknown(doubt)) if config.fail_closed => {
            let doubt = doubt.clone();
            return Verdict::Off(Why::Clock { doubt });
        }
        Some(Hour::Unknown(doubt)) => reasons.push(format!("{doubt}; not fail-closed")),
        Some(Hour::Known { time, zone }) => {
            let windows = windows::spelled(&config.windows);
            if !windows::open(&config.windows, *time) {
                let now = format!("{time} {zone}");
                return Verdict::Off(Why::Windows { windows, now });
            }
            reasons.push(format!("inside the windows: {windows}"));
        }
    }
    if reasons.is_empty() {
        reasons.push("no key switch and no windows are configured".to_owned());
    }
    Verdict::On(reasons.join("; "))
}

#[cfg(test)]
mod tests;
