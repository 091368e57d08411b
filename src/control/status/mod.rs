//! What goes on, as the technician, a panel and a script see it.
//!
//! Is responsible for: the form of the status ([`Status`], docs/operation.md is its reference), gathering it
//! ([`Gatherer`]), its words for a terminal ([`show`]) and its file ([`mod@file`]). Times are seconds, sizes are bytes;
//! *down* is towards the controller, *up* from it. Fields are added, and none is renamed or removed while
//! [`FORMAT`] stays.

pub mod file;
mod gather;
mod memory;
mod rates;
pub mod show;
mod state;

use serde::{Deserialize, Serialize};

pub use gather::{Gatherer, Sight};
pub use state::State;

/// The version of the form.
pub const FORMAT: u32 = 1;

/// What goes on in an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// [`FORMAT`] of the agent that wrote it.
    pub format: u32,
    /// All of it in a word, for a lamp.
    pub state: State,
    /// The agent's version.
    pub version: String,
    /// The thing's name.
    pub thing: Option<String>,
    /// The agent's process.
    pub pid: u32,
    /// Since the agent's start.
    pub uptime_seconds: u64,
    /// The gateway's time, in UTC as RFC 3339 has it.
    pub time: String,
    /// Whether that time can be right.
    pub clock_plausible: bool,
    /// The connection to the MQTT broker; none without `[notify]`.
    pub mqtt: Option<Mqtt>,
    /// Whether the cell lets people in.
    pub access: Access,
    /// Places for tunnels.
    pub places: Places,
    /// The tunnels that live, the oldest first.
    pub tunnels: Vec<Tunnel>,
    /// Streams that are not listed, because there are more than a status tells one by one.
    pub streams_left_out: usize,
    /// The last warnings and errors of the log, the newest last.
    pub errors: Vec<Trouble>,
    /// What the agent needs.
    pub memory: Memory,
}

/// The connection to the MQTT broker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mqtt {
    /// The broker, host and port.
    pub endpoint: String,
    /// Whether it is connected and subscribed, so that a notification would arrive.
    pub connected: bool,
    /// The same in words: `connected`, `connecting`, `waits to retry`, `waits for the clock`.
    pub state: String,
    /// Since it is so.
    pub since_seconds: u64,
    /// Until the next attempt, if it waits for one.
    pub retry_in_seconds: Option<u64>,
    /// Why the last attempt or connection ended.
    pub last_error: Option<String>,
    /// Notifications that were taken in.
    pub notifications: u64,
    /// Messages that were none for us.
    pub refused: u64,
    /// Since the last notification.
    pub last_notification_seconds: Option<u64>,
}

/// Whether the cell lets people in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Access {
    /// Whether tunnels may be open.
    pub on: bool,
    /// Why.
    pub reason: String,
}

/// Places for tunnels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Places {
    /// How many are taken.
    pub taken: usize,
    /// How many there are.
    pub all: usize,
}

/// One tunnel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tunnel {
    /// A hash of its access token, eight digits.
    pub name: String,
    /// How it came: `notification`, `cellgate open`, `command line`, `rejoined after a restart`.
    pub came: String,
    /// Whether its WebSocket is up.
    pub up: bool,
    /// What it does, in words: `up`, `dialling`, `waits to retry`, `waits for access`, `waits for the clock`,
    /// `ending`.
    pub state: String,
    /// Since it does that.
    pub since_seconds: u64,
    /// Since it took its place.
    pub age_seconds: u64,
    /// Until AWS ends it, by its greatest lifetime.
    pub lifetime_left_seconds: u64,
    /// The service as it is dialled.
    pub endpoint: String,
    /// The protocol's version, once it was up: `V1`, `V2` or `V3`.
    pub version: Option<String>,
    /// `channel-id` of the last WebSocket; AWS support asks for it.
    pub channel_id: Option<String>,
    /// Attempts that failed since it was up last.
    pub failures: u32,
    /// Why it was not reached or was lost last.
    pub last_error: Option<String>,
    /// Connections since it took its place.
    pub streams_ever: u64,
    /// Bytes to controllers, of all its streams.
    pub down_bytes: u64,
    /// Bytes from controllers, of all its streams.
    pub up_bytes: u64,
    /// The connections that live, the oldest first.
    pub streams: Vec<Stream>,
}

/// One connection of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream {
    /// The service ID; empty for a source that names none.
    pub service: String,
    /// The stream ID.
    pub stream: i32,
    /// The connection ID; 0 for a source of V1 or V2.
    pub connection: u32,
    /// The controller, host and port.
    pub target: String,
    /// `connecting`, `open` or `finishing`.
    pub state: String,
    /// Since its start by the source.
    pub age_seconds: u64,
    /// Since its last byte, either way.
    pub idle_seconds: u64,
    /// Bytes to the controller.
    pub down_bytes: u64,
    /// Bytes from it.
    pub up_bytes: u64,
    /// Bytes a second to it, of the last few seconds.
    pub down_rate: u64,
    /// Bytes a second from it.
    pub up_rate: u64,
}

/// A warning or an error of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// When it came last, in UTC.
    pub time: String,
    /// `warning` or `error`.
    pub level: String,
    /// What was said.
    pub text: String,
    /// How often it was said, as long as it was among the last ones.
    pub times: u32,
}

/// What the agent needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Memory in use (RSS); none where `/proc` does not say.
    pub rss_bytes: Option<u64>,
    /// What it may come to.
    pub budget_bytes: u64,
    /// Blocks of the pool that are free.
    pub pool_free_blocks: usize,
    /// Blocks of the pool.
    pub pool_blocks: usize,
}

#[cfg(test)]
mod tests;
