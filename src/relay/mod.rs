//! One TCP connection to a controller.
//!
//! Is responsible for: reaching the target ([`mod@connect`]) within its gate ([`gate`]), writing what comes
//! straight into the socket ([`wire`]), of which the kernel holds no more than its [`seat`] allows, and keeping only
//! what the socket refuses ([`ring`], in blocks of one [`pool`]),
//! the route's [`pace`], noticing a controller that stands still ([`stall`]), and an orderly end: what is
//! queued is written out, then FIN. Knows nothing of tunnels, but for a label in the log.
//!
//! Not one byte is added, dropped, changed or moved on the way: a telnet keepalive once became an "ñ" in a
//! robot's command line.

pub mod connect;
pub mod event;
pub mod finishing;
pub mod gate;
pub mod pace;
pub mod pool;
pub mod ring;
pub mod seat;
pub mod stall;
pub mod wire;

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use log::{info, warn};
use tokio::io::AsyncReadExt;

use self::connect::{ConnectError, connect};
pub use self::event::{Event, Over};
use self::finishing::Finishing;
use self::gate::Admission;
use self::pace::Pace;
use self::pool::Pool;
use self::ring::Ring;
use self::seat::Seats;
use self::stall::Stall;
use self::wire::Wire;
use crate::config::Route;
use crate::ledger::stream::StreamEntry;
use crate::limits::LINGER_LIMIT;
use crate::socket;

/// The way to a controller that is not there yet.
type Connecting = Pin<Box<dyn Future<Output = Result<Wire, ConnectError>>>>;

/// Where the connection stands.
enum State {
    /// The target is being reached; what comes for it waits in the ring.
    Connecting(Connecting),
    /// Bytes go both ways.
    Open(Wire),
    /// The controller takes nothing more, but what it sent before is still read, until the time given.
    Deaf(Wire, io::Error, Instant),
    /// The socket is closed.
    Gone,
}

/// One connection to a controller, from STREAM_START or CONNECTION_START to its end for the source.
pub struct Relay {
    label: String,
    route: Arc<Route>,
    state: State,
    ring: Ring,
    /// What came last and does not fit the ring: pieces of one WebSocket message. Only at the end of a link,
    /// when nobody can bring it again.
    overflow: VecDeque<Bytes>,
    /// Bytes thrown away since the controller takes nothing any more.
    lost: usize,
    pace: Option<Pace>,
    stall: Stall,
    /// What the ledger knows of it: bytes each way, and how it ends.
    entry: Rc<StreamEntry>,
    started: Instant,
    /// Its place among those an engineer uses; given back when it is over for the source.
    admission: Option<Admission>,
}

impl Relay {
    /// Starts to reach the route's target. `label` says in every log line which connection this is.
    pub fn start(
        label: String,
        route: Arc<Route>,
        admission: Admission,
        entry: Rc<StreamEntry>,
        pool: Rc<Pool>,
        seats: Rc<Seats>,
        now: Instant,
    ) -> Relay {
        let way = connect(Arc::clone(&route), Rc::clone(admission.gate()), seats);
        Relay {
            label,
            state: State::Connecting(Box::pin(way)),
            ring: Ring::new(pool),
            overflow: VecDeque::new(),
            lost: 0,
            pace: route.pace.map(|rate| Pace::new(rate, now)),
            stall: Stall::new(route.stall, 0, now),
            entry,
            started: now,
            route,
            admission: Some(admission),
        }
    }

    /// Which connection this is, for the log.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The route it was made for.
    pub fn route(&self) -> &Arc<Route> {
        &self.route
    }

    /// What went through it so far.
    pub fn entry(&self) -> &StreamEntry {
        &self.entry
    }

    /// Bytes for the controller. What it takes at once goes straight into its socket, the rest into the
    /// ring; what is left of `bytes` fits neither, and must be brought again when something changed.
    pub fn deliver(&mut self, bytes: &mut Bytes, now: Instant, cx: &mut Context<'_>) {
        self.entry.tally.touch(now);
        if self.ring.is_empty() {
            while !bytes.is_empty() {
                let piece = bytes.len().min(self.piece());
                match self.poll_write(&[io::IoSlice::new(&bytes[..piece])], now, cx) {
                    Poll::Ready(count) if count > 0 => bytes.advance(count),
                    Poll::Ready(_) | Poll::Pending => break,
                }
            }
        }
        match self.state {
            State::Connecting(_) | State::Open(_) => self.ring.push(bytes),
            // Nobody takes them any more; the source hears of it by the reset.
            State::Deaf(..) | State::Gone => {
                self.lost += bytes.len();
                bytes.clear();
            }
        }
        if let State::Open(_) = self.state {
            let waiting = !bytes.is_empty() || self.waiting() > 0;
            self.stall.set_waiting(waiting, now);
        }
    }

    /// The last bytes for the controller: nobody will bring again what does not fit now. It is kept only if
    /// `may_overflow`, or if some is kept already.
    pub fn deliver_last(
        &mut self,
        mut bytes: Bytes,
        may_overflow: bool,
        now: Instant,
        cx: &mut Context<'_>,
    ) {
        if self.overflow.is_empty() {
            self.deliver(&mut bytes, now, cx);
        }
        if bytes.is_empty() {
            return;
        }
        if may_overflow || self.overflows() {
            // A copy: a slice would hold on to the whole message, and to twice its room if it came in fragments.
            self.overflow.push_back(Bytes::copy_from_slice(&bytes));
        } else {
            warn!(
                "{}: its last {} bytes found no room and are lost",
                self.label,
                bytes.len()
            );
        }
    }

    /// Whether it holds on to bytes that do not fit its ring.
    pub fn overflows(&self) -> bool {
        !self.overflow.is_empty()
    }

    /// Goes on with what waits: the way to the target, the ring, the clocks.
    pub fn poll(&mut self, now: Instant, cx: &mut Context<'_>) -> Option<Event> {
        match &mut self.state {
            State::Connecting(way) => match way.as_mut().poll(cx) {
                Poll::Pending => None,
                Poll::Ready(Ok(wire)) => {
                    self.handle_connected(wire, now);
                    self.poll_ring(now, cx);
                    Some(Event::Connected)
                }
                Poll::Ready(Err(error)) => {
                    self.state = State::Gone;
                    Some(Event::ConnectFailed(error))
                }
            },
            State::Open(_) => {
                self.poll_ring(now, cx);
                self.poll_clocks(now).map(Event::Over)
            }
            State::Deaf(_, _, until) if now >= *until => Some(Event::Over(self.broken())),
            State::Deaf(..) | State::Gone => None,
        }
    }

    /// Reads up to `limit` bytes from the controller behind what stands in `buffer`; tells how many.
    pub fn poll_read(
        &mut self,
        buffer: &mut BytesMut,
        limit: usize,
        now: Instant,
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize, Over>> {
        let (State::Open(wire) | State::Deaf(wire, ..)) = &mut self.state else {
            return Poll::Pending;
        };
        let mut limited = buffer.limit(limit);
        match pin!(wire.stream.read_buf(&mut limited)).poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(0)) => Poll::Ready(Err(match self.state {
                State::Deaf(..) => self.broken(),
                State::Connecting(_) | State::Open(_) | State::Gone => Over::Closed,
            })),
            Poll::Ready(Ok(count)) => {
                if self.entry.tally.up() == 0 {
                    let after = self.millis(now);
                    info!(
                        "{}: first byte from the controller after {after:.1} ms",
                        self.label
                    );
                }
                self.entry.count_up(count, now);
                Poll::Ready(Ok(count))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(Over::Broken(error))),
        }
    }

    /// When to ask again, if nothing else happens.
    pub fn next_deadline(&self) -> Option<Instant> {
        match &self.state {
            // The way to the target has clocks of its own.
            State::Connecting(_) | State::Gone => None,
            State::Deaf(_, _, until) => Some(*until),
            State::Open(_) => self
                .flow_deadline()
                .into_iter()
                .chain(self.route.session.map(|session| self.started + session))
                .chain(self.route.idle.map(|idle| self.entry.tally.last() + idle))
                .min(),
        }
    }

    /// The connection is over for the source. What is queued is still written out, then FIN.
    pub fn finish(mut self, why: &str, now: Instant) -> Option<Finishing> {
        let told = self.entry.tally.told_at(now);
        info!("{}: ended: {why}; {told}", self.label);
        self.entry.finishing(why);
        let waits = self.waiting();
        match &self.state {
            State::Connecting(_) if waits > 0 => {}
            State::Open(_) => {}
            State::Deaf(_, error, _) => {
                let error = error.to_string();
                self.give_up(&error);
                return None;
            }
            State::Connecting(_) | State::Gone => return None,
        }
        if waits > 0 {
            info!("{}: writes out the last {waits} bytes", self.label);
        }
        Some(Finishing::new(self, now))
    }

    /// The connection is over, and nothing of it is worth waiting for: the controller stands still, or is
    /// gone.
    pub fn cut(mut self, why: &Over, now: Instant) {
        let lost = self.lost + self.waiting();
        let told = self.entry.tally.told_at(now);
        warn!("{}: cut: {why}; {told}", self.label);
        self.entry.finishing(&why.to_string());
        if lost > 0 {
            warn!("{}: {lost} bytes were not taken and are lost", self.label);
        }
        self.reset();
    }

    /// Closes the socket with RST, so that a controller that stands still gets its terminal back at once.
    fn reset(&mut self) {
        if let State::Open(wire) = &self.state
            && let Err(error) = wire.stream.set_zero_linger()
        {
            warn!("{}: cannot reset its socket: {error}", self.label);
        }
        self.state = State::Gone;
    }

    fn handle_connected(&mut self, wire: Wire, now: Instant) {
        info!(
            "{}: TCP connected after {:.1} ms",
            self.label,
            self.millis(now)
        );
        self.entry.connected();
        let counted = socket::acknowledged(&wire.stream, 0).unwrap_or_default();
        self.stall = Stall::new(self.route.stall, counted, now);
        self.entry.tally.touch(now);
        self.state = State::Open(wire);
    }

    /// Bytes that wait for the controller here; what the kernel holds for it is not counted.
    fn waiting(&self) -> usize {
        self.ring.len() + self.overflow.iter().map(Bytes::len).sum::<usize>()
    }

    /// How long so many bytes take at the route's pace.
    fn time_at_pace(&self, count: usize) -> Duration {
        let pace = self.pace.as_ref();
        pace.map_or(Duration::ZERO, |pace| pace.time_for(count))
    }

    /// Forgets what waits, and says how much of it, and of what was thrown away before, is lost.
    fn give_up(&mut self, why: &str) {
        let lost = self.lost + self.waiting();
        self.lost = 0;
        self.overflow.clear();
        self.ring.clear();
        if lost > 0 {
            warn!(
                "{}: the last {lost} bytes could not be written out and are lost: {why}",
                self.label
            );
        }
    }

    fn poll_ring(&mut self, now: Instant, cx: &mut Context<'_>) {
        loop {
            while let Some(bytes) = self.overflow.front_mut() {
                self.ring.push(bytes);
                if !bytes.is_empty() {
                    break;
                }
                self.overflow.pop_front();
            }
            if self.ring.is_empty() {
                break;
            }
            // Taken out, so that the slices of the ring and the rest of the relay do not meet.
            let none = Ring::new(Rc::clone(self.ring.pool()));
            let mut ring = std::mem::replace(&mut self.ring, none);
            let written = self.poll_write(&ring.slices(self.piece()), now, cx);
            match written {
                Poll::Ready(count) if count > 0 => ring.advance(count),
                Poll::Ready(_) | Poll::Pending => {
                    self.ring = ring;
                    break;
                }
            }
            self.ring = ring;
        }
        if matches!(self.state, State::Deaf(..)) {
            self.lost += self.waiting();
            self.overflow.clear();
            self.ring.clear();
        }
        self.stall.set_waiting(self.waiting() > 0, now);
    }

    /// Bytes that one write may have.
    fn piece(&self) -> usize {
        match &self.state {
            State::Open(wire) => wire.piece(),
            State::Connecting(_) | State::Deaf(..) | State::Gone => usize::MAX,
        }
    }

    /// Writes one piece, within the pace. Nothing written means that the pace does not let more through, or that
    /// the controller takes nothing any more.
    fn poll_write(
        &mut self,
        slices: &[io::IoSlice<'_>],
        now: Instant,
        cx: &mut Context<'_>,
    ) -> Poll<usize> {
        let State::Open(wire) = &self.state else {
            return Poll::Pending;
        };
        let written = match &mut self.pace {
            None => wire.poll_write(slices, cx),
            Some(pace) => {
                let allowed = pace.allowed(slices[0].len(), now);
                if allowed == 0 {
                    return Poll::Ready(0);
                }
                wire.poll_write(&[io::IoSlice::new(&slices[0][..allowed])], cx)
            }
        };
        match written {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(count)) => {
                if self.entry.tally.down() == 0 {
                    let after = self.millis(now);
                    info!(
                        "{}: first byte to the controller after {after:.1} ms",
                        self.label
                    );
                }
                self.entry.count_down(count, now);
                self.stall.handle_written(count);
                if let Some(pace) = &mut self.pace {
                    pace.handle_written(count);
                }
                Poll::Ready(count)
            }
            Poll::Ready(Err(error)) => {
                if let State::Open(wire) = std::mem::replace(&mut self.state, State::Gone) {
                    self.state = State::Deaf(wire, error, now + LINGER_LIMIT);
                }
                Poll::Ready(0)
            }
        }
    }

    fn poll_clocks(&mut self, now: Instant) -> Option<Over> {
        if let Some(session) = self.route.session
            && now >= self.started + session
        {
            return Some(Over::TooOld(session));
        }
        if let Some(idle) = self.route.idle
            && now >= self.entry.tally.last() + idle
        {
            return Some(Over::Idle(idle));
        }
        self.poll_stall(now)
    }

    fn poll_stall(&mut self, now: Instant) -> Option<Over> {
        let State::Open(wire) = &self.state else {
            return None;
        };
        if self.stall.next_deadline().is_none_or(|due| now < due) {
            return None;
        }
        let counted = match socket::acknowledged(&wire.stream, self.stall.written()) {
            Ok(counted) => counted,
            Err(error) => return Some(Over::Broken(error)),
        };
        self.stall
            .handle_acknowledged(counted, now)
            .map(Over::Stalled)
    }

    /// When to look after the bytes that wait; only an open connection has such a clock.
    fn flow_deadline(&self) -> Option<Instant> {
        let State::Open(_) = self.state else {
            return None;
        };
        let pace = self.pace.as_ref().filter(|_| !self.ring.is_empty());
        let paced = pace.and_then(Pace::next_time);
        self.stall.next_deadline().into_iter().chain(paced).min()
    }

    fn broken(&mut self) -> Over {
        match std::mem::replace(&mut self.state, State::Gone) {
            State::Deaf(_, error, _) => Over::Broken(error),
            State::Connecting(_) | State::Open(_) | State::Gone => Over::Closed,
        }
    }

    /// Milliseconds since the source started it.
    fn millis(&self, now: Instant) -> f64 {
        now.saturating_duration_since(self.started).as_secs_f64() * 1e3
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.entry.end(tokio::time::Instant::now().into_std());
    }
}
