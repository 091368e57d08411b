//! Whether an agent runs beside the check, and what it does.

use std::path::Path;

use super::item::Item;
use crate::config::Target;
use crate::control::client::{self, AskError};
use crate::control::{Reply, Status};

/// The agent beside the check.
pub(super) enum Agent {
    /// None runs, so that nobody can be disturbed.
    Absent,
    /// It does this.
    Runs(Box<Status>),
    /// Nobody knows, for this reason: it may run, and is left alone.
    Unknown(String),
}

impl Agent {
    /// Asks the agent of this runtime folder.
    pub(super) fn ask(runtime: Option<&Path>) -> Agent {
        let Some(runtime) = runtime else {
            // A tunnel of the command line alone has no socket, and no broker either.
            return Agent::Absent;
        };
        match client::status(runtime) {
            Ok(Reply::Status(status)) => Agent::Runs(status),
            Ok(Reply::Done(text) | Reply::Refused(text)) => Agent::Unknown(text),
            Err(AskError::NoAgent(_)) => Agent::Absent,
            Err(error) => Agent::Unknown(error.to_string()),
        }
    }

    /// What it is to the report.
    pub(super) fn item(&self) -> Option<Item> {
        match self {
            Agent::Absent => None,
            Agent::Runs(status) => Some(Item::well(
                "agent",
                format!("runs (process {}); it is not disturbed", status.pid),
            )),
            Agent::Unknown(why) => Some(Item::unknown("agent", why.clone())),
        }
    }

    /// Whether it has a connection to this controller; nothing if nobody knows.
    pub(super) fn uses(&self, target: &Target) -> Option<bool> {
        match self {
            Agent::Absent => Some(false),
            Agent::Unknown(_) => None,
            Agent::Runs(status) => {
                let target = target.to_string();
                let mut streams = status.tunnels.iter().flat_map(|tunnel| &tunnel.streams);
                if streams.any(|stream| stream.target == target) {
                    Some(true)
                } else if status.streams_left_out > 0 {
                    None
                } else {
                    Some(false)
                }
            }
        }
    }
}
