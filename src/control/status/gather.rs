//! The status, from those who know its parts.

use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use log::Level;

use super::rates::Rates;
use super::{Access, FORMAT, Memory, Mqtt, Places, State, Status, Stream, Trouble, Tunnel, memory};
use crate::access::Verdict;
use crate::config::Config;
use crate::ledger::Ledger;
use crate::ledger::stream::StreamEntry;
use crate::ledger::tunnel::{TunnelEntry, TunnelState};
use crate::limits::{MEMORY_BUDGET, POOL_BLOCKS, STATUS_STREAMS_MAX, TUNNEL_LIFETIME};
use crate::logging;
use crate::notify::board::{Board, State as Broker};
use crate::relay::pool::Pool;
use crate::supervise::clock;

/// Gathers the status again and again; between two times it keeps what rates come of.
pub struct Gatherer {
    thing: Option<String>,
    broker: Option<String>,
    places: usize,
    pool: Rc<Pool>,
    started: Instant,
    rates: Rates,
}

/// What is looked at.
pub struct Sight<'a> {
    /// Tunnels and streams.
    pub ledger: &'a Ledger,
    /// The broker's connection; none without `[notify]`.
    pub board: Option<&'a Board>,
    /// What the cell says.
    pub access: &'a Verdict,
}

impl Gatherer {
    /// For an agent of this configuration that starts now.
    pub fn new(config: &Config, pool: Rc<Pool>) -> Gatherer {
        Gatherer {
            thing: config.thing.clone(),
            broker: config
                .notify
                .as_ref()
                .map(|notify| notify.endpoint.to_string()),
            places: config.places.tunnels,
            pool,
            started: Instant::now(),
            rates: Rates::default(),
        }
    }

    /// What goes on `now`.
    pub fn take(&mut self, sight: &Sight<'_>, now: Instant) -> Status {
        self.rates.look(sight.ledger, now);
        let time = SystemTime::now();
        let mut listed = 0;
        let mut left_out = 0;
        let tunnels = sight.ledger.tunnels();
        let all: Vec<Tunnel> = tunnels
            .iter()
            .map(|tunnel| {
                let streams = tunnel.streams();
                let room = (STATUS_STREAMS_MAX - listed).min(streams.len());
                listed += room;
                left_out += streams.len() - room;
                let shown = streams.iter().take(room);
                let shown = shown.map(|entry| self.stream(entry, now)).collect();
                told(tunnel, shown, now)
            })
            .collect();
        let mut status = Status {
            format: FORMAT,
            state: State::Ready,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            thing: self.thing.clone(),
            pid: std::process::id(),
            uptime_seconds: seconds(now, self.started),
            time: humantime::format_rfc3339_seconds(time).to_string(),
            clock_plausible: clock::plausible(time),
            mqtt: sight.board.map(|board| self.mqtt(board, now)),
            access: Access {
                on: sight.access.is_on(),
                reason: sight.access.to_string(),
            },
            places: Places {
                taken: all.len(),
                all: self.places,
            },
            tunnels: all,
            streams_left_out: left_out,
            errors: troubles(),
            memory: Memory {
                rss_bytes: memory::rss(),
                budget_bytes: MEMORY_BUDGET,
                pool_free_blocks: self.pool.free(),
                pool_blocks: POOL_BLOCKS,
            },
        };
        status.state = State::of(&status);
        status
    }

    fn mqtt(&self, board: &Board, now: Instant) -> Mqtt {
        let (state, retry) = match board.state() {
            Broker::WaitingForClock => ("waits for the clock", None),
            Broker::Connecting => ("connecting", None),
            Broker::Connected => ("connected", None),
            Broker::WaitingToRetry(at) => ("waits to retry", Some(seconds(at, now))),
        };
        Mqtt {
            endpoint: self.broker.clone().unwrap_or_default(),
            connected: board.state() == Broker::Connected,
            state: state.to_owned(),
            since_seconds: seconds(now, board.since()),
            retry_in_seconds: retry,
            last_error: board.last_error(),
            notifications: board.taken(),
            refused: board.refused(),
            last_notification_seconds: board.last_notification().map(|at| seconds(now, at)),
        }
    }

    fn stream(&self, entry: &Rc<StreamEntry>, now: Instant) -> Stream {
        let (down_rate, up_rate) = self.rates.of(entry);
        let state = if entry.is_finishing() {
            "finishing"
        } else if entry.is_connected() {
            "open"
        } else {
            "connecting"
        };
        Stream {
            service: entry.service.clone(),
            stream: entry.stream,
            connection: entry.connection,
            target: entry.target.clone(),
            state: state.to_owned(),
            age_seconds: entry.tally.age(now).as_secs(),
            idle_seconds: seconds(now, entry.tally.last()),
            down_bytes: entry.tally.down(),
            up_bytes: entry.tally.up(),
            down_rate,
            up_rate,
        }
    }
}

fn told(tunnel: &TunnelEntry, streams: Vec<Stream>, now: Instant) -> Tunnel {
    let (down_bytes, up_bytes) = tunnel.bytes();
    let age = now.saturating_duration_since(tunnel.opened);
    Tunnel {
        name: tunnel.name.clone(),
        came: tunnel.came.as_str().to_owned(),
        up: tunnel.state() == TunnelState::Up,
        state: tunnel.state().as_str().to_owned(),
        since_seconds: seconds(now, tunnel.since()),
        age_seconds: age.as_secs(),
        lifetime_left_seconds: left(TUNNEL_LIFETIME, age),
        endpoint: tunnel.endpoint.borrow().clone(),
        version: tunnel.version.get().map(|version| format!("{version:?}")),
        channel_id: tunnel.channel_id.borrow().clone(),
        failures: tunnel.failures.get(),
        last_error: tunnel.last_error.borrow().clone(),
        streams_ever: tunnel.streams_ever(),
        down_bytes,
        up_bytes,
        streams,
    }
}

fn troubles() -> Vec<Trouble> {
    let recent = logging::recent().into_iter();
    recent
        .map(|recent| Trouble {
            time: humantime::format_rfc3339_seconds(recent.time).to_string(),
            level: match recent.level {
                Level::Error => "error",
                Level::Warn | Level::Info | Level::Debug | Level::Trace => "warning",
            }
            .to_owned(),
            text: recent.text,
            times: recent.times,
        })
        .collect()
}

fn seconds(later: Instant, earlier: Instant) -> u64 {
    later.saturating_duration_since(earlier).as_secs()
}

fn left(lifetime: Duration, age: Duration) -> u64 {
    lifetime.saturating_sub(age).as_secs()
}
