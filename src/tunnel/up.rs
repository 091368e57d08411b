//! A tunnel whose WebSocket is up: the event loop that joins protocol, link and relays.
//!
//! One task, one poll over everything that is ready. Down: a WebSocket message is cut into commands, and bytes
//! go straight into their controller's socket; while a controller takes nothing and its ring is full, the rest
//! of this one message is kept and the WebSocket is not read. Up: a controller is read only when the link takes
//! a message, one read each in turn.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::{BufMut, Bytes, BytesMut};
use heapless::Deque;
use log::{debug, info, trace, warn};

use super::Tunnel;
use super::clock::Clock;
use super::desk::Interrupt;
use super::down::{Down, Farewell, reason};
use crate::ledger::stream::{self, StreamEntry};
use crate::limits::{
    OUTBOX_FULL, OUTBOX_MAX, TURNS_MAX, UPWARD_BULK, UPWARD_READ, WEBSOCKET_HEAD_MAX,
};
use crate::link::websocket::{CloseCode, Link, Lost, Received};
use crate::protocol::ids::Version;
use crate::protocol::liveness::{Liveness, Pulse};
use crate::protocol::message::{DATA_HEAD_MAX, DATA_TAIL_MAX};
use crate::protocol::session::{Command, Ending, Note, Session};
use crate::protocol::streams::Slot;
use crate::relay::{Event, Over, Relay};

/// Bytes before a payload that is read: the heads of both protocols.
const ROOM: usize = WEBSOCKET_HEAD_MAX + DATA_HEAD_MAX;

/// One WebSocket's time.
pub(super) struct Up<'a> {
    tunnel: &'a mut Tunnel,
    session: Box<Session>,
    link: Link,
    liveness: Liveness,
    /// Resets that the link did not take yet.
    outbox: Deque<Bytes, OUTBOX_MAX>,
    /// What a slow controller could not take: while there is some, the WebSocket is not read.
    held: Option<Held>,
    ping_due: bool,
    /// The owner changed the routes, and not every connection was looked at since.
    routes_changed: bool,
    /// Why the agent or the cell ends it, once one does.
    parting: Option<String>,
    /// A controller was read into the large buffer since the loop last waited.
    in_bulk: bool,
    /// Where controllers are read to, behind room for the heads; their bytes go to TLS from here.
    buffer: BytesMut,
}

/// Bytes that a slow controller could not take.
struct Held {
    slot: Slot,
    bytes: Bytes,
    since: Instant,
}

impl<'a> Up<'a> {
    /// For a link that came up now.
    pub(super) fn new(tunnel: &'a mut Tunnel, link: Link, version: Version) -> Up<'a> {
        let mut session = Session::new(version).with_connections(tunnel.setup.connections);
        if !tunnel.was_up {
            session = session.without_past();
        }
        tunnel.was_up = true;
        for address in &tunnel.setup.gone {
            session.handle_gone(address);
        }
        Up {
            session: Box::new(session),
            outbox: tunnel.tell_what_is_gone(),
            tunnel,
            link,
            liveness: Liveness::new(Clock::now()),
            held: None,
            ping_due: false,
            routes_changed: false,
            parting: None,
            in_bulk: false,
            buffer: BytesMut::new(),
        }
    }

    /// Serves until the WebSocket is over or the agent orders a stop. Every connection is then finishing, and
    /// the link, where a close is owed on it, comes back with the resets that it has not taken yet.
    pub(super) async fn serve(mut self) -> (Down, Option<Farewell>) {
        let down = poll_fn(|cx| self.poll(cx)).await;
        poll_fn(|cx| {
            self.end_connections(&down, Clock::now(), cx);
            if let Down::Lost(Lost::Closed(_)) = down {
                // The answer to the service's close, if the link takes it at once; nobody waits for it.
                let _ = self.link.poll_answer_close(cx);
            }
            Poll::Ready(())
        })
        .await;
        let code = match &down {
            Down::Stop(_) | Down::NoAccess => Some(CloseCode::Normal),
            Down::Violation(_) => Some(CloseCode::Protocol),
            Down::Lost(lost) => lost.close_code(),
            Down::Dead(_) => None,
        };
        let farewell = code.map(|code| Farewell {
            link: self.link,
            outbox: self.outbox,
            code,
        });
        (down, farewell)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Down> {
        for _ in 0..TURNS_MAX {
            match self.turn(cx) {
                Err(down) => return Poll::Ready(down),
                Ok(true) => {}
                Ok(false) => {
                    self.rest();
                    let deadline = self.next_deadline();
                    if self.tunnel.clock.poll_until(deadline, cx).is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// A tunnel that waits, and did not need a large buffer since it waited before, holds none. In a bulk transfer it
    /// waits for each few messages, and a new buffer each time would cost more than the wait.
    fn rest(&mut self) {
        let in_bulk = std::mem::take(&mut self.in_bulk);
        if !in_bulk && self.buffer.capacity() > 2 * UPWARD_READ {
            self.buffer = BytesMut::new();
        }
    }

    /// One look at everything; tells whether anything moved.
    fn turn(&mut self, cx: &mut Context<'_>) -> Result<bool, Down> {
        let now = Clock::now();
        self.tunnel.relays.listen(cx);
        let mut moved = self.take_orders(cx)?;
        moved |= self.receive(now, cx)?;
        moved |= self.serve_relays(now, cx)?;
        moved |= self.send_answers(cx)?;
        self.beat(now, cx)?;
        let free = self.tunnel.setup.pool.free();
        let _ = self.tunnel.poll_finishing(now, cx);
        moved |= self.tunnel.setup.pool.free() > free;
        // Pending only says that the link is slow; it wakes us.
        if let Poll::Ready(Err(lost)) = self.link.poll_flush(cx) {
            return Err(Down::Lost(lost));
        }
        Ok(moved)
    }

    fn take_orders(&mut self, cx: &mut Context<'_>) -> Result<bool, Down> {
        if let Poll::Ready(interrupt) = self.tunnel.setup.desk.poll_interrupt(cx) {
            return Err(match interrupt {
                Interrupt::Stop(why) => Down::Stop(why),
                Interrupt::NoAccess => Down::NoAccess,
            });
        }
        let changed = self.tunnel.take_routes();
        self.routes_changed |= changed;
        Ok(changed)
    }

    // ---- down: from the service to the controllers ------------------------------------------

    fn receive(&mut self, now: Instant, cx: &mut Context<'_>) -> Result<bool, Down> {
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

    fn execute(&mut self, command: Command, now: Instant, cx: &mut Context<'_>) {
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
        match tunnel.notes.admit(now) {
            None => {}
            Some(0) => warn!("{}: {note}", tunnel.name),
            Some(withheld) => warn!(
                "{}: {note}; {withheld} more such lines were left out before it",
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

    // ---- up: from the controllers to the service --------------------------------------------

    fn serve_relays(&mut self, now: Instant, cx: &mut Context<'_>) -> Result<bool, Down> {
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
    fn finish(&mut self, slot: Slot, why: &str, now: Instant, cx: &mut Context<'_>) {
        if let Some(held) = self.held.take_if(|held| held.slot == slot) {
            self.liveness.handle_pause(false, now);
            self.deliver_last(slot, held.bytes, now, cx);
        }
        self.tunnel.relays.finish(slot, why, now);
    }

    /// Carries out what an event asked the session for.
    fn take_answers(&mut self, now: Instant, cx: &mut Context<'_>) {
        while let Some(command) = self.session.poll_answer() {
            self.execute(command, now, cx);
        }
    }

    fn send_answers(&mut self, cx: &mut Context<'_>) -> Result<bool, Down> {
        let mut moved = false;
        while !self.outbox.is_empty() && self.is_ready(cx)? {
            if let Some(frame) = self.outbox.pop_front() {
                self.link.send(&frame).map_err(Down::Lost)?;
                moved = true;
            }
        }
        Ok(moved)
    }

    fn is_ready(&mut self, cx: &mut Context<'_>) -> Result<bool, Down> {
        match self.link.poll_ready(cx) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(())) => Ok(true),
            Poll::Ready(Err(lost)) => Err(Down::Lost(lost)),
        }
    }

    // ---- clocks -----------------------------------------------------------------------------

    fn beat(&mut self, now: Instant, cx: &mut Context<'_>) -> Result<(), Down> {
        match self.liveness.poll(now) {
            Pulse::Quiet => {}
            Pulse::Ping => self.ping_due = true,
            Pulse::Dead(silence) => return Err(Down::Dead(silence)),
        }
        if self.ping_due && self.is_ready(cx)? {
            self.ping_due = false;
            debug!("{}: ping", self.tunnel.name);
            self.link.ping().map_err(Down::Lost)?;
        }
        Ok(())
    }

    fn next_deadline(&self) -> Instant {
        let liveness = self.liveness.next_deadline();
        let relays = if self.outbox.len() >= OUTBOX_FULL {
            // The live ones are not looked at before the link takes an answer; that wakes us.
            self.tunnel.relays.next_finishing()
        } else {
            self.tunnel.relays.next_deadline()
        };
        relays.map_or(liveness, |relays| relays.min(liveness))
    }

    // ---- the end ----------------------------------------------------------------------------

    /// Hands out what was received, and finishes every connection.
    fn end_connections(&mut self, down: &Down, now: Instant, cx: &mut Context<'_>) {
        if let Some(held) = self.held.take() {
            self.deliver_last(held.slot, held.bytes, now, cx);
        }
        if !matches!(down, Down::Violation(_)) {
            self.hand_out_received(now, cx);
        }
        match down {
            Down::Stop(_) | Down::NoAccess => {
                self.parting = Some(down.to_string());
                self.session.handle_stop();
            }
            Down::Lost(_) | Down::Dead(_) | Down::Violation(_) => self.session.handle_link_lost(),
        }
        self.take_answers(now, cx);
    }

    /// What the controllers are owed of the last WebSocket message.
    fn hand_out_received(&mut self, now: Instant, cx: &mut Context<'_>) {
        while let Ok(Some(command)) = self.session.poll_command() {
            match command {
                Command::Deliver(slot, bytes) => self.deliver_last(slot, bytes, now, cx),
                Command::Finish(slot, why) => self.tunnel.relays.finish(slot, reason(why), now),
                // There is nobody to dial for, and nobody to answer.
                Command::Connect(_) | Command::Send(_) | Command::Declared | Command::Note(_) => {}
            }
        }
    }

    fn deliver_last(&mut self, slot: Slot, bytes: Bytes, now: Instant, cx: &mut Context<'_>) {
        let may_overflow = self.tunnel.relays.may_overflow();
        if let Some(relay) = self.tunnel.relays.get(slot) {
            relay.deliver_last(bytes, may_overflow, now, cx);
        }
    }
}
