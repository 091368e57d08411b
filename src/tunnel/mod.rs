//! One tunnel, from its access token to its end: dial, serve, lose the link, wait, dial again.
//!
//! Is responsible for: joining `protocol`, `link` and `relay`, and nothing else does. The connections to the
//! controllers outlive the link: what is queued is written out while the tunnel reconnects.
//!
//! States: Waiting (for a clock that can be believed, for access, for its turn to retry) -> Dialling -> Up ->
//! Waiting … -> Over. Over is final for an access token.

mod clock;
pub mod desk;
mod dialling;
pub mod directory;
mod down;
mod readiness;
mod relays;
mod stop;
mod up;

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use heapless::Deque;
use log::{error, info, warn};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::ClientConfig;

use self::clock::Clock;
use self::desk::{Desk, Interrupt, Why};
use self::directory::Directory;
use self::down::Down;
use self::relays::Relays;
use self::up::Up;
use crate::audit::Event;
use crate::config::{ClientToken, Endpoint};
use crate::ledger::tunnel::{Came, TunnelEntry, TunnelState};
use crate::limits::{NOTES_MAX, OUTBOX_MAX};
use crate::link::dial::{DialError, Dialled};
use crate::link::room::{Room, Rooms};
use crate::link::route;
use crate::link::way::Way;
use crate::logging::flood::Flood;
use crate::protocol::backoff::Backoff;
use crate::protocol::handshake::{Refusal, Verdict};
use crate::protocol::message::Address;
use crate::relay::pool::Pool;
use crate::relay::seat::Seats;
use crate::secret::Secret;
use crate::supervise::clock as clock_of_day;
use crate::supervise::heartbeat::Pulse;

/// Why a tunnel is over.
#[derive(Debug)]
pub enum Over {
    /// The service refused the access token; it is dead.
    Refused(Refusal),
    /// The agent ended it.
    Ended(Why),
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Over::Refused(refusal) => write!(f, "the service refused the token: {refusal}"),
            Over::Ended(why) => why.fmt(f),
        }
    }
}

/// What a tunnel is made of.
pub struct Setup {
    /// Where the service is.
    pub endpoint: Endpoint,
    /// The way out of the cell's network.
    pub way: Rc<Way>,
    /// How the service's certificate is checked.
    pub tls: Arc<ClientConfig>,
    /// Lets us into the tunnel.
    pub access_token: Rc<Secret>,
    /// Lets us into it again.
    pub client_token: Rc<ClientToken>,
    /// What the ledger knows of it.
    pub entry: Rc<TunnelEntry>,
    /// Streams that an agent before this one had: the source is told that they are gone.
    pub gone: Vec<Address>,
    /// Which services reach which controllers.
    pub directory: Directory,
    /// Connections at the same time.
    pub connections: usize,
    /// Where bytes wait.
    pub pool: Rc<Pool>,
    /// The sockets to controllers.
    pub seats: Rc<Seats>,
    /// What the kernel may hold for its links.
    pub rooms: Rc<Rooms>,
    /// What the agent wants.
    pub desk: Rc<Desk>,
    /// Told of every byte that moves.
    pub pulse: Pulse,
}

/// One tunnel.
pub struct Tunnel {
    name: String,
    setup: Setup,
    relays: Box<Relays>,
    clock: Clock,
    backoff: Backoff,
    /// What the session notes of odd frames.
    notes: Flood,
    /// What the kernel may hold for its link.
    room: Option<Rc<Room>>,
    /// A WebSocket of it was up before, of this agent or of one before a restart.
    was_up: bool,
}

impl Tunnel {
    /// A tunnel that is not dialled yet.
    pub fn new(setup: Setup) -> Tunnel {
        setup.entry.endpoint.replace(setup.endpoint.to_string());
        Tunnel {
            name: format!("tunnel {}", setup.entry.name),
            was_up: setup.entry.came == Came::Rejoined,
            setup,
            relays: Box::new(Relays::new()),
            clock: Clock::new(),
            backoff: Backoff::tunnel(),
            notes: Flood::new(NOTES_MAX),
            room: None,
        }
    }

    /// Lives until the token is refused or the agent ends it.
    pub async fn run(mut self) -> Over {
        loop {
            let retry_after = match self.attempt().await {
                Ok(retry_after) => retry_after,
                Err(Parting::Over(over)) => return over,
                Err(Parting::Refused(refusal)) => return self.refused(refusal).await,
                Err(Parting::Interrupted(Interrupt::Stop(why))) => return self.stop(why).await,
                Err(Parting::Interrupted(Interrupt::NoAccess)) => continue,
            };
            match self.wait(retry_after).await {
                Ok(()) | Err(Interrupt::NoAccess) => {}
                Err(Interrupt::Stop(why)) => return self.stop(why).await,
            }
        }
    }

    /// Waits for leave to dial, dials, and serves. Gives the service's Retry-After, if it has one.
    async fn attempt(&mut self) -> Result<Option<Duration>, Parting> {
        self.wait_for_access().await?;
        self.wait_for_clock().await?;
        let dialled = match self.dial().await? {
            Ok(dialled) => dialled,
            Err(DialError::Refused(refusal)) if refusal.verdict() == Verdict::Final => {
                return Err(Parting::Refused(refusal));
            }
            Err(error) => {
                let said = error.to_string();
                warn!("{}: {} not reached: {said}", self.name, self.setup.endpoint);
                self.note_failure(said);
                let refusal = match error {
                    DialError::Refused(refusal) => Some(refusal),
                    DialError::Reach(_)
                    | DialError::Tls(_)
                    | DialError::Handshake(_)
                    | DialError::Name
                    | DialError::Timeout(_) => None,
                };
                return Ok(refusal.and_then(|refusal| refusal.retry_after));
            }
        };
        let since = Clock::now();
        let (local, peer) = (dialled.local, dialled.address);
        // Boxed, like the dialling: what both need lives only as long as they do.
        let down = Box::pin(self.serve(dialled)).await;
        let up_for = Clock::now().saturating_duration_since(since);
        self.backoff.lost(up_for);
        let mut said = down.to_string();
        if let Down::Lost(_) | Down::Dead(_) = down
            && let Some(changed) = route::what_changed(local, peer)
        {
            said = format!("{said}; {changed}");
        }
        self.audit(&Event::TunnelDown {
            tunnel: &self.setup.entry.name,
            reason: &said,
        });
        match down {
            Down::Stop(why) => return Err(Parting::Over(Over::Ended(why))),
            Down::NoAccess => return Err(Parting::Interrupted(Interrupt::NoAccess)),
            Down::Lost(_) | Down::Violation(_) | Down::Dead(_) => {}
        }
        warn!(
            "{}: WebSocket lost after {}: {said}",
            self.name,
            humantime::format_duration(Duration::from_secs(up_for.as_secs()))
        );
        self.note_failure(said);
        Ok(None)
    }

    async fn wait_for_access(&mut self) -> Result<(), Interrupt> {
        let mut told = false;
        poll_fn(|cx| {
            self.take_routes();
            if let Poll::Ready(why) = self.setup.desk.poll_stop(cx) {
                return Poll::Ready(Err(Interrupt::Stop(why)));
            }
            if self.setup.desk.poll_access(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            if !told {
                told = true;
                info!(
                    "{}: waits until the cell lets people in ([access])",
                    self.name
                );
                self.enter(TunnelState::WaitingForAccess);
            }
            let _ = self.poll_drained(cx);
            Poll::Pending
        })
        .await
    }

    async fn wait_for_clock(&mut self) -> Result<(), Interrupt> {
        if clock_of_day::plausible(SystemTime::now()) {
            return Ok(());
        }
        self.enter(TunnelState::WaitingForClock);
        let name = self.name.clone();
        self.meanwhile(async move { clock_of_day::wait(&name).await })
            .await
    }

    async fn serve(&mut self, dialled: Dialled) -> Down {
        let channel_id = dialled.channel_id.as_deref().unwrap_or("-");
        let by = if dialled.proxied { "by the proxy " } else { "" };
        info!(
            "{}: WebSocket up: service {} at {by}{}, protocol {}, channel-id {channel_id}",
            self.name, self.setup.endpoint, dialled.address, dialled.version,
        );
        let entry = &self.setup.entry;
        entry.version.set(Some(dialled.version));
        entry.channel_id.replace(dialled.channel_id);
        entry.set_state(TunnelState::Up, Clock::now());
        self.audit(&Event::TunnelUp {
            tunnel: &self.setup.entry.name,
            service: &self.setup.endpoint.to_string(),
        });
        let (down, farewell) = Up::new(self, dialled.link, dialled.version).serve().await;
        match (down, farewell) {
            (Down::Stop(why), Some(farewell)) => {
                Box::pin(self.say_farewell(farewell, why)).await;
                Down::Stop(why)
            }
            (down, Some(farewell)) => {
                // Resets and a close are owed, but the service's answer is worth no more than a moment. A cell
                // that lets nobody in is no reason to keep the resets back.
                let close = Box::pin(stop::say(farewell));
                match self.meanwhile_stop(close).await {
                    Ok(_) => down,
                    Err(why) => {
                        self.stop(why).await;
                        Down::Stop(why)
                    }
                }
            }
            (down, None) => down,
        }
    }

    /// Waits before the next attempt.
    async fn wait(&mut self, retry_after: Option<Duration>) -> Result<(), Interrupt> {
        self.enter(TunnelState::WaitingToRetry);
        let mut random = [0; 8];
        // Without random numbers there is no TLS either; the wait is then none at all.
        let _ = SystemRandom::new().fill(&mut random);
        let wait = self
            .backoff
            .next_wait(u64::from_ne_bytes(random), retry_after);
        info!(
            "{}: next attempt (number {}) in {:.1} s",
            self.name,
            self.backoff.attempts(),
            wait.as_secs_f64()
        );
        self.meanwhile(tokio::time::sleep(wait)).await
    }

    async fn refused(mut self, refusal: Refusal) -> Over {
        error!(
            "{}: {} {}. This token is never tried again",
            self.name,
            self.setup.endpoint,
            DialError::Refused(refusal.clone())
        );
        self.note_failure(refusal.to_string());
        self.enter(TunnelState::Ending);
        // What is queued for the controllers is theirs; unless the agent ends it, they get it all.
        let drained = poll_fn(|cx| {
            if let Poll::Ready(why) = self.setup.desk.poll_stop(cx) {
                return Poll::Ready(Err(why));
            }
            self.poll_drained(cx).map(Ok)
        });
        if let Err(why) = drained.await {
            self.stop(why).await;
        }
        Over::Refused(refusal)
    }

    /// Runs something while the connections that finish go on, unless something interrupts it. It has its turn before
    /// them: controllers that send without end use up what the runtime lets a task do at once.
    async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Interrupt> {
        let mut work = pin!(work);
        poll_fn(|cx| {
            self.take_routes();
            if let Poll::Ready(interrupt) = self.setup.desk.poll_interrupt(cx) {
                return Poll::Ready(Err(interrupt));
            }
            let done = work.as_mut().poll(cx);
            let _ = self.poll_drained(cx);
            done.map(Ok)
        })
        .await
    }

    /// The same, and nothing interrupts it.
    async fn beside_relays<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|cx| {
            let done = work.as_mut().poll(cx);
            let _ = self.poll_drained(cx);
            done
        })
        .await
    }

    /// The same, but only the end of the tunnel interrupts it.
    async fn meanwhile_stop<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Why> {
        let mut work = pin!(work);
        poll_fn(|cx| {
            if let Poll::Ready(why) = self.setup.desk.poll_stop(cx) {
                return Poll::Ready(Err(why));
            }
            let done = work.as_mut().poll(cx);
            let _ = self.poll_drained(cx);
            done.map(Ok)
        })
        .await
    }

    /// Takes the owner's new routes over; tells whether there were some.
    fn take_routes(&mut self) -> bool {
        let Some(routes) = self.setup.desk.take_routes() else {
            return false;
        };
        self.setup.directory.replace(routes);
        true
    }

    /// Resets for the streams that an agent before this one had, once.
    fn tell_what_is_gone(&mut self) -> Deque<Bytes, OUTBOX_MAX> {
        let mut outbox = Deque::new();
        for address in std::mem::take(&mut self.setup.gone) {
            info!(
                "{}: {address}: was open before the restart; the source is told that it is gone",
                self.name
            );
            if outbox.push_back(address.stream_reset()).is_err() {
                break;
            }
        }
        outbox
    }

    fn enter(&self, state: TunnelState) {
        self.setup.pulse.progress();
        self.setup.entry.set_state(state, Clock::now());
    }

    fn note_failure(&self, reason: String) {
        let entry = &self.setup.entry;
        entry.failures.set(entry.failures.get().saturating_add(1));
        entry.last_error.replace(Some(reason));
    }

    fn audit(&self, event: &Event<'_>) {
        self.setup.entry.audit(event);
    }

    /// Goes on with the connections that finish; ready when there are none.
    fn poll_drained(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = Clock::now();
        let drained = self.poll_finishing(now, cx);
        self.poll_relays_clock(now, cx);
        // The clock may have ended the last one.
        if self.relays.next_deadline().is_none() {
            return Poll::Ready(());
        }
        drained
    }

    /// Goes on with the connections that finish. What is thrown away of their controllers' is a turn that something came
    /// of: one that sends without end is no live-lock of ours.
    fn poll_finishing(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let polled = self.relays.poll_finishing(now, cx);
        if self.relays.take_thrown_away() > 0 {
            self.setup.pulse.progress();
        }
        polled
    }

    fn poll_relays_clock(&mut self, now: Instant, cx: &mut Context<'_>) {
        let Some(mut deadline) = self.relays.next_deadline() else {
            return;
        };
        while self.clock.poll_until(deadline, cx).is_ready() {
            let _ = self.poll_finishing(Clock::now(), cx);
            match self.relays.next_deadline() {
                Some(next) => deadline = next.max(now + Duration::from_millis(1)),
                None => return,
            }
        }
    }
}

/// Why an attempt is no reason for another one after a wait.
enum Parting {
    /// The service refused the token.
    Refused(Refusal),
    /// The agent ended the tunnel, and all is said and done.
    Over(Over),
    /// The agent interrupted it before the WebSocket was up, or the cell lets nobody in any more.
    Interrupted(Interrupt),
}

impl From<Interrupt> for Parting {
    fn from(interrupt: Interrupt) -> Parting {
        Parting::Interrupted(interrupt)
    }
}
