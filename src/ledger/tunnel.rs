//! One tunnel in the ledger.

use std::cell::{Cell, Ref, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::stream::StreamEntry;
use tokio::sync::Notify;

use crate::audit::{Audit, Event};
use crate::protocol::ids::Version;

/// How a tunnel came to the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// By an MQTT notification.
    Notified,
    /// By `cellgate open`.
    HandedOver,
    /// By flag or variable.
    CommandLine,
    /// It was live before a restart.
    Rejoined,
}

impl Came {
    /// As the audit and the status spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Came::Notified => "notification",
            Came::HandedOver => "cellgate open",
            Came::CommandLine => "command line",
            Came::Rejoined => "rejoined after a restart",
        }
    }
}

/// What a tunnel does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TunnelState {
    /// It waits until the clock can be believed.
    WaitingForClock,
    /// It waits until the cell lets people in.
    WaitingForAccess,
    /// It waits before the next attempt.
    WaitingToRetry,
    /// It reaches the service.
    Dialling,
    /// Its WebSocket is up.
    Up,
    /// It ends.
    Ending,
}

impl TunnelState {
    /// As the status spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            TunnelState::WaitingForClock => "waits for the clock",
            TunnelState::WaitingForAccess => "waits for access",
            TunnelState::WaitingToRetry => "waits to retry",
            TunnelState::Dialling => "dialling",
            TunnelState::Up => "up",
            TunnelState::Ending => "ending",
        }
    }
}

/// One tunnel, from the moment it has a place.
pub struct TunnelEntry {
    /// A hash of its access token, eight digits.
    pub name: String,
    /// How it came.
    pub came: Came,
    /// When it took its place, also in an agent before this one.
    pub opened: Instant,
    state: Cell<(TunnelState, Instant)>,
    down_since: Cell<Instant>,
    /// Attempts that failed since it was up last.
    pub failures: Cell<u32>,
    /// Whether it was ever up.
    pub was_up: Cell<bool>,
    /// What the service chose last.
    pub version: Cell<Option<Version>>,
    /// `channel-id` of the last WebSocket.
    pub channel_id: RefCell<Option<String>>,
    /// The service as it is dialled, host and port.
    pub endpoint: RefCell<String>,
    /// Why it was not reached or was lost last.
    pub last_error: RefCell<Option<String>>,
    streams: RefCell<Vec<Rc<StreamEntry>>>,
    streams_ever: Cell<u64>,
    /// Bytes of streams that are over: to controllers, from them.
    ended: Cell<(u64, u64)>,
    pub(super) audit: Rc<Audit>,
    /// Rung when something is worth a look.
    pub(super) news: Rc<Notify>,
}

impl TunnelEntry {
    pub(super) fn new(
        name: String,
        came: Came,
        audit: Rc<Audit>,
        news: Rc<Notify>,
        age: Duration,
        now: Instant,
    ) -> TunnelEntry {
        TunnelEntry {
            name,
            came,
            // A boot clock younger than the tunnel is none of this boot.
            opened: now.checked_sub(age).unwrap_or(now),
            state: Cell::new((TunnelState::Dialling, now)),
            down_since: Cell::new(now),
            failures: Cell::new(0),
            was_up: Cell::new(false),
            version: Cell::new(None),
            channel_id: RefCell::default(),
            endpoint: RefCell::default(),
            last_error: RefCell::default(),
            streams: RefCell::default(),
            streams_ever: Cell::new(0),
            ended: Cell::new((0, 0)),
            audit,
            news,
        }
    }

    /// What it does now.
    pub fn state(&self) -> TunnelState {
        self.state.get().0
    }

    /// Since when it does that.
    pub fn since(&self) -> Instant {
        self.state.get().1
    }

    /// Since when it is not up; from its opening if it never was.
    pub fn down_since(&self) -> Instant {
        self.down_since.get()
    }

    /// It does something else from `now` on.
    pub fn set_state(&self, state: TunnelState, now: Instant) {
        if self.state() == TunnelState::Up && state != TunnelState::Up {
            self.down_since.set(now);
        }
        if self.state() != state {
            self.state.set((state, now));
            self.news.notify_one();
        }
        if state == TunnelState::Up {
            self.was_up.set(true);
            self.failures.set(0);
        }
    }

    /// The streams' connections that live or finish, the oldest first.
    pub fn streams(&self) -> Ref<'_, Vec<Rc<StreamEntry>>> {
        self.streams.borrow()
    }

    /// Connections since the tunnel was opened.
    pub fn streams_ever(&self) -> u64 {
        self.streams_ever.get()
    }

    /// Bytes to controllers and from them, of all its streams.
    pub fn bytes(&self) -> (u64, u64) {
        let (mut down, mut up) = self.ended.get();
        for stream in self.streams.borrow().iter() {
            down += stream.tally.down();
            up += stream.tally.up();
        }
        (down, up)
    }

    /// Writes down what happened to it.
    pub fn audit(&self, event: &Event<'_>) {
        self.audit.write(event);
    }

    pub(super) fn add_stream(&self, stream: &Rc<StreamEntry>) {
        self.streams_ever.set(self.streams_ever.get() + 1);
        self.streams.borrow_mut().push(Rc::clone(stream));
    }

    pub(super) fn remove_stream(&self, stream: &StreamEntry) {
        let (down, up) = self.ended.get();
        self.ended
            .set((down + stream.tally.down(), up + stream.tally.up()));
        self.streams
            .borrow_mut()
            .retain(|entry| !std::ptr::eq(Rc::as_ptr(entry), stream));
    }
}
