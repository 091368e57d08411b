//! The key switch, whatever it is.

use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::file::FileSwitch;
use super::gpio::GpioSwitch;
use crate::config::KeySwitch;
use crate::limits::{GPIO_LOOK, SWITCH_LOOK};

/// Where a key switch stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Position {
    On,
    Off,
    /// What the system says instead.
    Unreadable(String),
}

/// The key switch.
pub(super) struct Switch {
    /// As the configuration names it.
    name: String,
    position: Position,
    kind: Kind,
}

enum Kind {
    File(FileSwitch),
    Gpio(GpioSwitch),
}

impl Switch {
    /// Looks for the first time. Inside a runtime.
    pub(super) fn new(config: &KeySwitch) -> Switch {
        let (name, kind) = match config {
            KeySwitch::File(path) => (
                path.display().to_string(),
                Kind::File(FileSwitch::new(path)),
            ),
            KeySwitch::Gpio { chip, line } => (
                format!("{chip}:{line}"),
                Kind::Gpio(GpioSwitch::new(chip, *line)),
            ),
        };
        let mut switch = Switch {
            name,
            position: Position::Off,
            kind,
        };
        switch.look();
        switch
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What the last look said.
    pub(super) fn position(&self) -> &Position {
        &self.position
    }

    /// Looks where it stands.
    pub(super) fn look(&mut self) {
        self.position = match &mut self.kind {
            Kind::File(file) => file.read(),
            Kind::Gpio(gpio) => gpio.read(),
        };
    }

    /// It may have moved: time to look. Safe to drop.
    pub(super) async fn moved(&mut self) {
        match &mut self.kind {
            Kind::File(file) => file.moved().await,
            Kind::Gpio(gpio) => gpio.moved().await,
        }
    }

    /// How soon to look although nothing tells.
    pub(super) fn look_again(&self) -> Duration {
        match (&self.kind, &self.position) {
            (Kind::File(_), _) | (Kind::Gpio(_), Position::Unreadable(_)) => SWITCH_LOOK,
            (Kind::Gpio(gpio), Position::On | Position::Off) if gpio.tells() => SWITCH_LOOK,
            (Kind::Gpio(_), Position::On | Position::Off) => GPIO_LOOK,
        }
    }
}

/// The descriptor by which the kernel tells of something, for the runtime to wait on.
#[expect(
    deprecated,
    reason = "a type could lie about its descriptor; ours own one each, and what follows is unsafe"
)]
pub(super) fn notices<T: AsRawFd>(teller: T) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(teller, Interest::READABLE)
}
