//! Who restarts an agent that hangs: the service manager, the machine's watchdog, or both.
//!
//! Is responsible for: feeding them and telling the manager how the agent is. It never feeds by itself; the heartbeat
//! says when.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use log::{error, info, warn};

use super::device::Device;
use super::manager::{self, Manager};
use crate::config;
use crate::limits::{HEARTBEAT_EVERY, WATCHDOG_RETRY};

/// Signs of life in each timeout: two may be late before anybody bites.
const SIGNS: u32 = 4;

/// What the manager grants beyond the pause of an agent that serves late.
const START_MARGIN: Duration = Duration::from_secs(30);

/// The two of them, as far as there are any.
pub struct Watchdog {
    manager: Option<Manager>,
    /// The last word about the agent's state that the manager was told.
    told: RefCell<String>,
    /// The manager took no word, and the log says so.
    deaf: Cell<bool>,
    wanted: config::Watchdog,
    device: RefCell<Option<Device>>,
    /// Why there is no device, as the log says it, and when it was tried last.
    lacking: RefCell<Option<(String, Instant)>>,
}

impl Watchdog {
    /// Those of the environment and of the configuration. Arms the device. A device that cannot be had is no reason not
    /// to serve; it is tried again.
    pub fn open(wanted: config::Watchdog) -> Watchdog {
        let watchdog = Watchdog {
            manager: Manager::from_environment(),
            told: RefCell::default(),
            deaf: Cell::new(false),
            wanted,
            device: RefCell::default(),
            lacking: RefCell::default(),
        };
        if let Some(timeout) = watchdog.manager.as_ref().and_then(|m| m.timeout) {
            info!(
                "watchdog: the service manager restarts the agent after {} without a heartbeat",
                humantime::format_duration(timeout)
            );
        }
        watchdog.arm();
        watchdog
    }

    /// Between two rounds of the heartbeat.
    pub fn every(&self) -> Duration {
        let manager = self.manager.as_ref().and_then(|manager| manager.timeout);
        let device = self.device.borrow().as_ref().map(|device| device.timeout);
        let wanted = self.wanted.device.as_ref().map(|_| self.wanted.timeout);
        [manager, device, wanted]
            .into_iter()
            .flatten()
            .map(|timeout| timeout / SIGNS)
            .fold(HEARTBEAT_EVERY, Duration::min)
    }

    /// Every loop has turned.
    pub fn feed(&self) {
        if self.manager.as_ref().is_some_and(|m| m.timeout.is_some()) {
            self.tell("WATCHDOG=1");
        }
        self.arm();
        let fed = self.device.borrow().as_ref().map(Device::feed);
        if let Some(Err(error)) = fed {
            // Its driver may come back; until then the machine is reset, as it would be by a hang.
            error!("watchdog: cannot be fed ({error}); it is opened again");
            self.device.take();
        }
    }

    /// The agent serves, or serves again after [`reloading`](Watchdog::reloading).
    pub fn ready(&self) {
        self.tell("READY=1");
    }

    /// The agent waits for this long before it serves; no reason to think that its start failed.
    pub fn serves_late(&self, pause: Duration) {
        self.tell(&format!(
            "EXTEND_TIMEOUT_USEC={}\nSTATUS=waits {} s before it serves: it crashed several times in a row",
            (pause + START_MARGIN).as_micros(),
            pause.as_secs()
        ));
    }

    /// How it is, in one sentence.
    pub fn status(&self, sentence: &str) {
        if self.manager.is_some() && *self.told.borrow() != sentence {
            self.told.replace(sentence.to_owned());
            self.tell(&format!("STATUS={sentence}"));
        }
    }

    /// The configuration is read again.
    pub fn reloading(&self) {
        self.tell(&manager::reloading());
    }

    /// The agent ends its tunnels.
    pub fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=ends its tunnels");
    }

    /// The agent ends and is not to be missed.
    pub fn release(&self) {
        if let Some(device) = self.device.take() {
            device.disarm();
        }
    }

    fn arm(&self) {
        let Some(path) = &self.wanted.device else {
            return;
        };
        let tried = self.lacking.borrow().as_ref().map(|(_, tried)| *tried);
        if self.device.borrow().is_some()
            || tried.is_some_and(|tried| tried.elapsed() < WATCHDOG_RETRY)
        {
            return;
        }
        match Device::arm(path, self.wanted.timeout) {
            Ok(device) => {
                self.device.replace(Some(device));
                self.lacking.take();
            }
            Err(why) => {
                let lacking = self.lacking.replace(Some((why.clone(), Instant::now())));
                if lacking.is_none_or(|(before, _)| before != why) {
                    error!(
                        "watchdog: {}: {why}. The agent goes on without it",
                        path.display()
                    );
                }
            }
        }
    }

    fn tell(&self, word: &str) {
        let Some(manager) = &self.manager else {
            return;
        };
        match manager.tell(word) {
            Ok(()) => self.deaf.set(false),
            Err(error) if self.deaf.replace(true) => drop(error),
            Err(error) => warn!("the service manager takes no word ({error})"),
        }
    }
}
