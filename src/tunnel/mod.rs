//! One tunnel, from its access token to its end: dial, serve, lose the link, wait, dial again.
//!
//! Is responsible for: joining `protocol`, `link` and `relay`, and nothing else does. The connections to the
//! controllers outlive the link: what is queued is written out while the tunnel reconnects.
//!
//! States: Dialling -> Up -> (Waiting -> Dialling …) -> Over. Over is final for an access token.

mod clock;
pub mod directory;
mod down;
pub mod order;
mod relays;
mod stop;
mod up;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use log::{error, info, warn};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::ClientConfig;
use tokio::sync::mpsc;
use tokio::time::timeout;

use self::clock::Clock;
use self::directory::Directory;
use self::down::Down;
use self::order::Order;
use self::relays::Relays;
use self::up::Up;
use crate::config::{ClientToken, Endpoint};
use crate::ledger::tunnel::TunnelEntry;
use crate::limits::{BACKOFF_FORGET, CLOSE_LIMIT};
use crate::link::dial::{DialError, Dialled, dial};
use crate::link::way::Way;
use crate::protocol::backoff::Backoff;
use crate::protocol::handshake::{Refusal, Verdict};
use crate::relay::pool::Pool;
use crate::secret::Secret;

/// Why a tunnel is over.
#[derive(Debug)]
pub enum Over {
    /// The service refused the access token; it is dead.
    Refused(Refusal),
    /// The agent ordered it.
    Stopped,
}

/// What a tunnel is made of.
pub struct Setup {
    /// Where the service is.
    pub endpoint: Endpoint,
    /// The way out of the cell's network.
    pub way: Rc<Way>,
    /// How its certificate is checked.
    pub tls: Arc<ClientConfig>,
    /// Lets us into the tunnel.
    pub access_token: Arc<Secret>,
    /// Lets us into it again.
    pub client_token: Arc<ClientToken>,
    /// What the ledger knows of it.
    pub entry: Rc<TunnelEntry>,
    /// Which services reach which controllers.
    pub directory: Directory,
    /// Where bytes wait.
    pub pool: Rc<Pool>,
    /// What the agent orders.
    pub orders: mpsc::Receiver<Order>,
}

/// One tunnel.
pub struct Tunnel {
    name: String,
    endpoint: Endpoint,
    way: Rc<Way>,
    tls: Arc<ClientConfig>,
    access_token: Arc<Secret>,
    client_token: Arc<ClientToken>,
    entry: Rc<TunnelEntry>,
    directory: Directory,
    pool: Rc<Pool>,
    orders: mpsc::Receiver<Order>,
    relays: Box<Relays>,
    clock: Clock,
    backoff: Backoff,
}

impl Tunnel {
    /// A tunnel that is not dialled yet.
    pub fn new(setup: Setup) -> Tunnel {
        Tunnel {
            name: format!("tunnel {}", setup.entry.name),
            endpoint: setup.endpoint,
            way: setup.way,
            tls: setup.tls,
            access_token: setup.access_token,
            client_token: setup.client_token,
            entry: setup.entry,
            directory: setup.directory,
            pool: setup.pool,
            orders: setup.orders,
            relays: Box::new(Relays::new()),
            clock: Clock::new(),
            backoff: Backoff::default(),
        }
    }

    /// Lives until the token is refused or the agent orders a stop.
    pub async fn run(mut self) -> Over {
        loop {
            let mut retry_after = None;
            match self.dial().await {
                None => return self.stop().await,
                Some(Ok(dialled)) => {
                    let since = Clock::now();
                    // Boxed, like the dialling: what both need lives only as long as they do.
                    let down = Box::pin(self.serve(dialled)).await;
                    if let Down::Stop = down {
                        return Over::Stopped;
                    }
                    let up_for = Clock::now().saturating_duration_since(since);
                    warn!(
                        "{}: WebSocket lost after {}: {down}",
                        self.name,
                        humantime::format_duration(Duration::from_secs(up_for.as_secs()))
                    );
                    if up_for >= BACKOFF_FORGET {
                        self.backoff.forget();
                    }
                }
                Some(Err(DialError::Refused(refusal))) => match refusal.verdict() {
                    Verdict::Final => return self.refused(refusal).await,
                    Verdict::Retry => {
                        retry_after = refusal.retry_after;
                        warn!(
                            "{}: {} {}",
                            self.name,
                            self.endpoint,
                            DialError::Refused(refusal)
                        );
                    }
                },
                Some(Err(error)) => warn!("{}: {} not reached: {error}", self.name, self.endpoint),
            }
            if self.wait(retry_after).await.is_none() {
                return self.stop().await;
            }
        }
    }

    async fn dial(&mut self) -> Option<Result<Dialled, DialError>> {
        info!("{}: connecting to {}", self.name, self.endpoint);
        let endpoint = self.endpoint.clone();
        let way = Rc::clone(&self.way);
        let tls = Arc::clone(&self.tls);
        let access_token = Arc::clone(&self.access_token);
        let client_token = Arc::clone(&self.client_token);
        // Boxed: a TLS handshake is far larger than everything else that waits here.
        self.meanwhile(Box::pin(async move {
            dial(&way, &endpoint, tls, &access_token, &client_token).await
        }))
        .await
    }

    async fn serve(&mut self, dialled: Dialled) -> Down {
        info!(
            "{}: WebSocket up: service {} at {}, protocol {}, channel-id {}",
            self.name,
            self.endpoint,
            dialled.address,
            dialled.version,
            dialled.channel_id.as_deref().unwrap_or("-")
        );
        let (down, farewell) = Up::new(self, dialled.link, dialled.version).serve().await;
        match (down, farewell) {
            (Down::Stop, Some(farewell)) => {
                self.say_farewell(farewell).await;
                Down::Stop
            }
            (down, Some(farewell)) => {
                // A close is owed, but the service's answer is worth no more than a moment.
                let close = Box::pin(timeout(CLOSE_LIMIT, stop::say(farewell)));
                match self.meanwhile(close).await {
                    Some(_) => down,
                    None => {
                        self.stop().await;
                        Down::Stop
                    }
                }
            }
            (down, None) => down,
        }
    }

    /// Waits before the next attempt; nothing if the agent orders a stop.
    async fn wait(&mut self, retry_after: Option<Duration>) -> Option<()> {
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
            self.endpoint,
            DialError::Refused(refusal.clone())
        );
        // What is queued for the controllers is theirs; unless the agent orders a stop, they get it all.
        let drained = poll_fn(|cx| {
            if self.poll_stop(cx).is_ready() {
                return Poll::Ready(None);
            }
            self.poll_drained(cx).map(Some)
        });
        if drained.await.is_none() {
            self.stop().await;
        }
        Over::Refused(refusal)
    }

    /// Runs something while the connections that finish go on; nothing if the agent orders a stop.
    async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        poll_fn(|cx| {
            if self.poll_stop(cx).is_ready() {
                return Poll::Ready(None);
            }
            let _ = self.poll_drained(cx);
            work.as_mut().poll(cx).map(Some)
        })
        .await
    }

    /// Carries out orders; ready when the agent orders a stop.
    fn poll_stop(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match ready!(self.orders.poll_recv(cx)) {
                Some(Order::Routes(routes)) => self.directory.replace(routes),
                Some(Order::Stop) | None => return Poll::Ready(()),
            }
        }
    }

    /// Goes on with the connections that finish; ready when there are none.
    fn poll_drained(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = Clock::now();
        let drained = self.relays.poll_finishing(now, cx);
        self.poll_relays_clock(now, cx);
        // The clock may have ended the last one.
        if self.relays.next_deadline().is_none() {
            return Poll::Ready(());
        }
        drained
    }

    fn poll_relays_clock(&mut self, now: Instant, cx: &mut Context<'_>) {
        let Some(mut deadline) = self.relays.next_deadline() else {
            return;
        };
        while self.clock.poll_until(deadline, cx).is_ready() {
            let _ = self.relays.poll_finishing(Clock::now(), cx);
            match self.relays.next_deadline() {
                Some(next) => deadline = next.max(now + Duration::from_millis(1)),
                None => return,
            }
        }
    }
}
