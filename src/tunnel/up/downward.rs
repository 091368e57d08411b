//! Down: from the service to the controllers.

use std::task::{Context, Poll};
use std::time::Instant;

use log::{info, trace, warn};

use super::{Held, Up};
use crate::ledger::stream::{self, StreamEntry};
use crate::limits::OUTBOX_FULL;
use crate::link::websocket::Received;
use crate::logging::flood::Line;
use crate::protocol::session::{Command, Ending, Note};
use crate::protocol::streams::Slot;
use crate::relay::Relay;
use crate::tunnel::down::{Down, reason};

impl Up<'_> {
    pub(super) fn receive(&mut self, now: Instant, cx: &mut Context<'_>) -> Result<bool, Down> {
        let mut moved = false;
        let mut received = false;
        loop {
            if !self.deliver_held(now, cx) {
                return Ok(moved);
            }
            if self.outbox.len() >= OUTBOX_FULL {
                return Ok(moved);
            }
            if let Some(command) = self.session.poll_command().map_err(Down::Violation)? {
                self.execute(command, now, cx);
                moved = true;
                continue;
            }
            // One message a turn, so that the controllers have theirs.
            if received {
                return Ok(moved);
            }
            match self.link.poll_receive(cx) {
                Poll::Pending => return Ok(moved),
                Poll::Ready(Err(lost)) => return Err(Down::Lost(lost)),
                Poll::Ready(Ok(Received::Alive)) => {
                    self.tunnel.setup.pulse.progress();
                    self.liveness.handle_frame(now);
                }
                Poll::Ready(Ok(Received::Bytes(bytes))) => {
                    trace!(
                        "{}: {} bytes from the service",
                        self.tunnel.name,
                        bytes.len()
                    );
                    self.tunnel.setup.pulse.progress();
                    self.liveness.handle_frame(now);
                    self.session.handle_bytes(bytes);
                    received = true;
                }
            }
            moved = true;
        }
    }

    /// Brings the held bytes to their controller again; tells whether nothing is held any more.
    fn deliver_held(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let Some(held) = &mut self.held else {
            return true;
        };
        let waker = self.tunnel.relays.waker(held.slot);
        // What it takes, and what it leaves, moves its clocks.
        self.tunnel.relays.mark(held.slot);
        if let Some(relay) = self.tunnel.relays.get(held.slot) {
            relay.deliver(&mut held.bytes, now, &mut Context::from_waker(&waker));
            if !held.bytes.is_empty() {
                if self.tunnel.setup.pool.free() == 0 {
                    // The block that comes back may be another tunnel's.
                    self.tunnel.setup.pool.register(cx);
                }
                self.liveness.handle_pause(true, now);
                return false;
            }
            let waited = now.saturating_duration_since(held.since).as_secs_f64();
            if waited >= 1.0 {
                let label = relay.label();
                info!("{label}: this slow controller held the whole tunnel up for {waited:.1} s");
            }
        }
        self.held = None;
        self.liveness.handle_pause(false, now);
        true
    }

    pub(super) fn execute(&mut self, command: Command, now: Instant, cx: &mut Context<'_>) {
        match command {
            Command::Declared => {
                if let Some(declared) = self.session.declared() {
                    self.tunnel
                        .setup
                        .directory
                        .log_declared(&self.tunnel.name, declared);
                }
            }
            Command::Connect(slot) => self.connect(slot, now),
            Command::Deliver(slot, bytes) => {
                self.held = Some(Held {
                    slot,
                    bytes,
                    since: now,
                });
            }
            Command::Finish(slot, why) => {
                let parting = self.parting.take();
                let told = match (&parting, why) {
                    (Some(parting), Ending::Stopping) => parting,
                    (Some(_) | None, _) => reason(why),
                };
                self.finish(slot, told, now, cx);
                self.parting = parting;
            }
            Command::Send(frame) => {
                // Nothing that asks for an answer is taken while the outbox is full.
                let kept = self.outbox.push_back(frame).is_ok();
                debug_assert!(kept, "an answer without a place");
            }
            Command::Note(note) => self.note(&note, now),
        }
    }

    fn note(&mut self, note: &Note, now: Instant) {
        let tunnel = &mut self.tunnel;
        let left_out = tunnel.notes.untold(now);
        match (tunnel.notes.add(now), left_out) {
            (Line::No, _) => {}
            (_, None) => warn!("{}: {note}", tunnel.name),
            (_, Some(count)) => warn!(
                "{}: {note}; {count} more such lines were left out before it",
                tunnel.name
            ),
        }
    }

    fn connect(&mut self, slot: Slot, now: Instant) {
        let Some(address) = self.session.address(slot) else {
            return;
        };
        let label = format!("{} {address}", self.tunnel.name);
        let admitted = self
            .tunnel
            .setup
            .directory
            .admit(address.service.as_ref(), self.session.declared());
        match admitted {
            Ok((route, admission)) => {
                let label = format!("{label} target {}", route.target);
                info!("{label}: started by the source");
                let pool = self.tunnel.setup.pool.clone();
                let entry = StreamEntry::open(
                    &self.tunnel.setup.entry,
                    address,
                    route.target.to_string(),
                    now,
                );
                let seats = self.tunnel.setup.seats.clone();
                let relay = Relay::start(label, route, admission, entry, pool, seats, now);
                self.tunnel.relays.insert(slot, relay);
            }
            Err(no_way) => {
                warn!("{label}: {no_way}");
                stream::refused(&self.tunnel.setup.entry, address, &no_way.to_string());
                self.session.handle_connect_failed(slot);
            }
        }
    }
}
