//! One connection of a stream in the ledger.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

use super::tally::Tally;
use super::tunnel::TunnelEntry;
use crate::audit::{Event, Way};
use crate::protocol::ids::{ConnectionId, ServiceId};
use crate::protocol::message::Address;

/// The source starts a connection that leads nowhere.
pub fn refused(tunnel: &TunnelEntry, address: &Address, reason: &str) {
    tunnel.audit.write(&Event::StreamRefused {
        tunnel: &tunnel.name,
        service: address.service.as_ref().map_or("", ServiceId::as_str),
        stream: address.stream.as_i32(),
        connection: address.connection.map_or(0, ConnectionId::as_u32),
        reason,
    });
}

/// One connection to a controller, from its start by the source until its socket is closed.
pub struct StreamEntry {
    tunnel: Rc<TunnelEntry>,
    /// The service ID; empty for a source that names none.
    pub service: String,
    /// The stream ID.
    pub stream: i32,
    /// The connection ID; 0 for a source of V1 or V2.
    pub connection: u32,
    /// The controller, host and port.
    pub target: String,
    /// Bytes each way, and when.
    pub tally: Tally,
    connected: Cell<bool>,
    /// Why it is over for the source, once it is.
    reason: RefCell<Option<String>>,
}

impl StreamEntry {
    /// The source starts a connection `now`.
    pub fn open(
        tunnel: &Rc<TunnelEntry>,
        address: &Address,
        target: String,
        now: Instant,
    ) -> Rc<StreamEntry> {
        let entry = Rc::new(StreamEntry {
            tunnel: Rc::clone(tunnel),
            service: address
                .service
                .as_ref()
                .map_or_else(String::new, |id| id.to_string()),
            stream: address.stream.as_i32(),
            connection: address.connection.map_or(0, ConnectionId::as_u32),
            target,
            tally: Tally::new(now),
            connected: Cell::new(false),
            reason: RefCell::default(),
        });
        tunnel.add_stream(&entry);
        tunnel.news.notify_one();
        tunnel.audit.write(&Event::StreamOpened {
            tunnel: &tunnel.name,
            service: &entry.service,
            stream: entry.stream,
            connection: entry.connection,
            target: &entry.target,
        });
        entry
    }

    /// Whether the controller is connected.
    pub fn is_connected(&self) -> bool {
        self.connected.get()
    }

    /// Whether it is over for the source.
    pub fn is_finishing(&self) -> bool {
        self.reason.borrow().is_some()
    }

    /// The controller is connected.
    pub fn connected(&self) {
        self.connected.set(true);
    }

    /// It is over for the source. Only the first reason counts.
    pub fn finishing(&self, reason: &str) {
        self.reason
            .borrow_mut()
            .get_or_insert_with(|| reason.to_owned());
    }

    /// Counts bytes that the kernel took for the controller.
    pub fn count_down(&self, bytes: usize, now: Instant) {
        if self.tally.add_down(bytes, now) {
            self.first_byte(Way::Down, now);
        }
    }

    /// Counts bytes read from the controller.
    pub fn count_up(&self, bytes: usize, now: Instant) {
        if self.tally.add_up(bytes, now) {
            self.first_byte(Way::Up, now);
        }
    }

    fn first_byte(&self, way: Way, now: Instant) {
        self.tunnel.audit.write(&Event::FirstByte {
            tunnel: &self.tunnel.name,
            service: &self.service,
            stream: self.stream,
            connection: self.connection,
            way,
            milliseconds: self.tally.age(now).as_millis(),
        });
    }

    /// Its socket is closed, or was never opened. To be called once.
    pub fn end(&self, now: Instant) {
        self.tunnel.remove_stream(self);
        self.tunnel.news.notify_one();
        self.tunnel.audit.write(&Event::StreamEnded {
            tunnel: &self.tunnel.name,
            service: &self.service,
            stream: self.stream,
            connection: self.connection,
            target: &self.target,
            seconds: self.tally.age(now).as_secs_f64(),
            down: self.tally.down(),
            up: self.tally.up(),
            reason: self
                .reason
                .borrow()
                .as_deref()
                .unwrap_or("the agent stopped"),
        });
    }
}
