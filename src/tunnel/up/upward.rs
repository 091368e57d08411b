//! Up: from the controllers to the service.

use std::task::{Context, Poll};
use std::time::Instant;

use bytes::BufMut;
use log::warn;

use super::Up;
use crate::limits::{OUTBOX_FULL, UPWARD_BULK, UPWARD_READ, WEBSOCKET_HEAD_MAX};
use crate::protocol::message::{DATA_HEAD_MAX, DATA_TAIL_MAX};
use crate::protocol::streams::Slot;
use crate::relay::{Event, Over};
use crate::tunnel::down::Down;

/// Bytes before a payload that is read: the heads of both protocols.
const ROOM: usize = WEBSOCKET_HEAD_MAX + DATA_HEAD_MAX;

impl Up<'_> {
    pub(super) fn serve_relays(
        &mut self,
        now: Instant,
        cx: &mut Context<'_>,
    ) -> Result<bool, Down> {
        let all = self.routes_changed || self.tunnel.relays.is_due(now);
        let mut moved = false;
        for slot in self.tunnel.relays.round(all) {
            if self.outbox.len() >= OUTBOX_FULL {
                // The others keep their marks, and what they are due for stays due.
                return Ok(moved);
            }
            if self.routes_changed && self.end_without_route(slot, now, cx) {
                moved = true;
                continue;
            }
            let waker = self.tunnel.relays.waker(slot);
            moved |= self.serve_relay(slot, now, &mut Context::from_waker(&waker), cx)?;
            self.tunnel.relays.looked_at(slot);
        }
        if all {
            self.tunnel.relays.looked_at_all();
        }
        self.routes_changed = false;
        Ok(moved)
    }

    /// One look at a connection, which is woken by `own`.
    fn serve_relay(
        &mut self,
        slot: Slot,
        now: Instant,
        own: &mut Context<'_>,
        cx: &mut Context<'_>,
    ) -> Result<bool, Down> {
        self.tunnel.relays.look_at(slot);
        let Some(relay) = self.tunnel.relays.get(slot) else {
            return Ok(false);
        };
        let mut moved = false;
        let taken = relay.entry().tally.down();
        let event = relay.poll(now, own);
        // Room in a ring may be what the held bytes wait for; nothing else would bring them again.
        if relay.entry().tally.down() != taken {
            self.tunnel.setup.pulse.progress();
            moved = true;
        }
        if let Some(event) = event {
            self.handle_event(slot, event, now, cx);
            moved = true;
        }
        Ok(moved | self.read_relay(slot, now, own, cx)?)
    }

    fn end_without_route(&mut self, slot: Slot, now: Instant, cx: &mut Context<'_>) -> bool {
        let directory = &self.tunnel.setup.directory;
        let relay = self.tunnel.relays.get(slot);
        if relay.is_none_or(|relay| directory.keeps(relay.route())) {
            return false;
        }
        self.session.handle_target_closed(slot);
        self.finish(slot, "the configuration has its route no more", now, cx);
        self.take_answers(now, cx);
        true
    }

    fn read_relay(
        &mut self,
        slot: Slot,
        now: Instant,
        own: &mut Context<'_>,
        cx: &mut Context<'_>,
    ) -> Result<bool, Down> {
        // Answers go first: a reset must not be overtaken by the bytes of a later connection.
        if !self.outbox.is_empty() {
            self.send_answers(cx)?;
        }
        if !self.outbox.is_empty() || !self.is_ready(cx)? {
            // The link wakes the task when it takes a message again.
            self.tunnel.relays.mark(slot);
            return Ok(false);
        }
        let Some(relay) = self.tunnel.relays.get(slot) else {
            return Ok(false);
        };
        let limit = if self.link.flows() {
            UPWARD_BULK
        } else {
            UPWARD_READ
        };
        self.buffer.reserve(ROOM + limit + DATA_TAIL_MAX);
        self.buffer.put_bytes(0, ROOM);
        let read = relay.poll_read(&mut self.buffer, limit, now, own);
        let moved = match (read, self.session.address(slot)) {
            (Poll::Ready(Ok(_)), Some(address)) => {
                self.tunnel.setup.pulse.progress();
                self.in_bulk |= self.buffer.len() > 2 * UPWARD_READ;
                let start = address.enclose(&mut self.buffer, ROOM);
                let sent = self.link.send_from(&mut self.buffer, start, cx);
                sent.map_err(Down::Lost)?;
                self.tunnel.relays.has_sent(slot);
                // There may be more.
                self.tunnel.relays.mark(slot);
                true
            }
            (Poll::Ready(Err(over)), _) => {
                self.handle_event(slot, Event::Over(over), now, cx);
                true
            }
            (Poll::Pending, _) | (Poll::Ready(Ok(_)), None) => false,
        };
        self.buffer.clear();
        Ok(moved)
    }

    fn handle_event(&mut self, slot: Slot, event: Event, now: Instant, cx: &mut Context<'_>) {
        match event {
            Event::Connected => self.session.handle_connected(slot),
            Event::ConnectFailed(error) => {
                if let Some(relay) = self.tunnel.relays.take(slot) {
                    let label = relay.label();
                    let after = relay.entry().tally.age(now).as_secs_f64();
                    warn!("{label}: cannot reach the target after {after:.1} s: {error}");
                    relay.entry().finishing(&error.to_string());
                }
                self.session.handle_connect_failed(slot);
            }
            Event::Over(over) => {
                self.session.handle_target_closed(slot);
                match over {
                    Over::Closed | Over::Idle(_) | Over::TooOld(_) => {
                        self.finish(slot, &over.to_string(), now, cx);
                    }
                    Over::Broken(_) | Over::Stalled(_) => {
                        if let Some(relay) = self.tunnel.relays.take(slot) {
                            relay.cut(&over, now);
                        }
                    }
                }
            }
        }
        self.take_answers(now, cx);
    }

    /// Ends a connection in order; what is held for it goes with it.
    pub(super) fn finish(&mut self, slot: Slot, why: &str, now: Instant, cx: &mut Context<'_>) {
        if let Some(held) = self.held.take_if(|held| held.slot == slot) {
            self.liveness.handle_pause(false, now);
            self.deliver_last(slot, held.bytes, now, cx);
        }
        self.tunnel.relays.finish(slot, why, now);
    }

    /// Carries out what an event asked the session for.
    pub(super) fn take_answers(&mut self, now: Instant, cx: &mut Context<'_>) {
        while let Some(command) = self.session.poll_answer() {
            self.execute(command, now, cx);
        }
    }

    pub(super) fn send_answers(&mut self, cx: &mut Context<'_>) -> Result<bool, Down> {
        let mut moved = false;
        while !self.outbox.is_empty() && self.is_ready(cx)? {
            if let Some(frame) = self.outbox.pop_front() {
                self.link.send(&frame).map_err(Down::Lost)?;
                moved = true;
            }
        }
        Ok(moved)
    }
}
