//! What people and programs of the gateway ask for, and what is shown to them.

use std::io;
use std::path::Path;
use std::time::Instant;

use log::{error, info};
use tokio::sync::mpsc;
use tokio::task::spawn_local;

use super::gateway::Gateway;
use super::place::Place;
use crate::control::status::file::StatusFile;
use crate::control::status::show::count;
use crate::control::status::{Sight, Status};
use crate::control::{Ask, BindError, Reply, Request, Server};
use crate::ledger::tunnel::{Came, TunnelState};
use crate::limits::{ASKS_MAX, STATUS_FILE_EVERY, STATUS_REST};
use crate::notify::board::State;

/// The status file, and when it is written.
pub(super) struct Panel {
    file: StatusFile,
    written: Option<Instant>,
    stale: bool,
}

impl Panel {
    pub(super) fn new(runtime: &Path) -> Panel {
        Panel {
            file: StatusFile::new(runtime),
            written: None,
            stale: true,
        }
    }

    /// When it is to be written next: soon after something happened, and now and then.
    fn due(&self) -> Option<Instant> {
        let after = if self.stale {
            STATUS_REST
        } else {
            STATUS_FILE_EVERY
        };
        self.written.map(|written| written + after)
    }
}

impl Gateway {
    /// The requests at the local socket; none ever come if there is no runtime folder.
    ///
    /// # Errors
    /// Another agent has the folder, or there is no other way for tunnels to come.
    pub(super) fn listen_for_requests(&self, own: bool) -> io::Result<mpsc::Receiver<Ask>> {
        let (asks, receiver) = mpsc::channel(ASKS_MAX);
        let Some(runtime) = &self.config.paths.runtime else {
            return Ok(receiver);
        };
        match Server::bind(runtime) {
            Ok(server) => {
                info!("{}: takes requests", runtime.display());
                let pulse = self.heartbeat.watch("the local socket");
                spawn_local(pulse.clone().attend(server.serve(asks, pulse)));
            }
            Err(error @ BindError::InUse(..)) => return Err(io::Error::other(error.to_string())),
            // Somebody far away may need the tunnels more than anybody here needs the socket.
            Err(error) if own || self.config.notify.is_some() => {
                error!("no local socket, so no `cellgate open`, `close` or `status`: {error}");
            }
            Err(error) => return Err(io::Error::other(error.to_string())),
        }
        Ok(receiver)
    }

    /// Does what is asked.
    pub(super) fn answer(&mut self, ask: Ask) {
        let reply = match ask.request {
            Request::Open(notification) => {
                let opened = self.open(*notification, Came::HandedOver);
                // Whoever is told that it has its place need not hand it over again after a crash.
                self.write_down();
                said(opened)
            }
            Request::Close(name) => {
                let closed = self.close(name.as_deref());
                if let Ok(told) = &closed {
                    info!("asked at the local socket: {told}");
                }
                said(closed)
            }
            Request::Status => Reply::Status(Box::new(self.status(super::gateway::now()))),
        };
        // Whoever asked may be gone.
        let _ = ask.reply.send(reply);
    }

    /// Something happened that the status file does not show yet.
    pub(super) fn note_news(&mut self) {
        if let Some(panel) = &mut self.panel {
            panel.stale = true;
        }
    }

    /// When the status file is to be written.
    pub(super) fn status_due(&self) -> Option<Instant> {
        self.panel.as_ref().and_then(Panel::due)
    }

    /// How the agent is, for the service manager.
    pub(super) fn sentence(&self) -> String {
        let up = |place: &&Place| place.entry.state() == TunnelState::Up;
        let up = self.places.iter().filter(up).count();
        let streams: usize = self
            .places
            .iter()
            .map(|place| place.entry.streams().len())
            .sum();
        let broker = match &self.board {
            None => String::new(),
            Some(board) if board.state() == State::Connected => "; broker connected".to_owned(),
            Some(_) => "; broker not connected".to_owned(),
        };
        let access = if self.verdict.is_on() { "on" } else { "off" };
        let (taken, all) = (self.places.len(), self.config.places.tunnels);
        let (up, streams) = (count(up, "tunnel"), count(streams, "stream"));
        format!("{taken} of {all} places taken, {up} up, {streams}{broker}; access {access}")
    }

    /// Writes the status file, if it is time.
    pub(super) fn write_status(&mut self, now: Instant) {
        let Some(panel) = &self.panel else {
            return;
        };
        if panel.due().is_some_and(|due| now < due) {
            return;
        }
        let status = self.status(now);
        if let Some(panel) = &mut self.panel {
            panel.file.write(&status);
            panel.written = Some(now);
            panel.stale = false;
        }
    }

    fn status(&mut self, now: Instant) -> Status {
        let sight = Sight {
            ledger: &self.ledger,
            board: self.board.as_deref(),
            access: &self.verdict,
        };
        self.gatherer.take(&sight, now)
    }
}

fn said(done: Result<String, String>) -> Reply {
    match done {
        Ok(told) => Reply::Done(told),
        Err(why) => Reply::Refused(why),
    }
}
