//! The places, and the one loop that joins everything that can happen to them.

use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{error, info, warn};
use rustls::ClientConfig;
use tokio::task::{JoinSet, spawn_local};
use tokio::time::{sleep, sleep_until, timeout};

use super::Outcome;
use super::place::{Arrival, Place};
use super::rejoin::Rejoin;
use super::requests::Panel;
use super::seen::Seen;
use crate::access::{Verdict, Watch};
use crate::audit::{Audit, Event};
use crate::config::Config;
use crate::control::status::Gatherer;
use crate::ledger::tunnel::TunnelEntry;
use crate::ledger::{Ledger, name_of};
use crate::limits::{POOL_BLOCKS, RESTART_HEALTHY, STOP_LIMIT, TUNNEL_LIFETIME};
use crate::link::room::Rooms;
use crate::link::tls;
use crate::link::way::Way;
use crate::notify::board::Board;
use crate::relay::gate::Gates;
use crate::relay::pool::Pool;
use crate::relay::seat::Seats;
use crate::secret::Secret;
use crate::supervise::heartbeat::{Heartbeat, Pulse};
use crate::supervise::restarts::Restarts;
use crate::supervise::signals::{Signals, Wish};
use crate::supervise::watchdog::Watchdog;
use crate::tunnel::desk::{Desk, Why};
use crate::tunnel::directory::Directory;
use crate::tunnel::{Over, Setup, Tunnel};

/// How much longer than each tunnel the agent waits for all of them.
const STOP_MARGIN: Duration = Duration::from_millis(250);

/// The agent's state.
pub(super) struct Gateway {
    pub(super) config: Config,
    tls: Arc<ClientConfig>,
    pub(super) way: Rc<Way>,
    pool: Rc<Pool>,
    seats: Rc<Seats>,
    rooms: Rc<Rooms>,
    gates: Rc<Gates>,
    pub(super) ledger: Rc<Ledger>,
    /// What the cell says.
    pub(super) verdict: Verdict,
    pub(super) places: Vec<Place>,
    /// Tunnels that have the word of a place which is free in a moment.
    pub(super) waiting: VecDeque<Arrival>,
    pub(super) seen: Seen,
    pub(super) rejoin: Option<Rejoin>,
    /// How the connection to the broker stands, if there is one.
    pub(super) board: Option<Rc<Board>>,
    pub(super) gatherer: Gatherer,
    pub(super) panel: Option<Panel>,
    pub(super) watchdog: Rc<Watchdog>,
    pub(super) heartbeat: Rc<Heartbeat>,
    /// The agent's own loop.
    pulse: Pulse,
    tunnels: JoinSet<(Rc<TunnelEntry>, Over)>,
}

impl Gateway {
    /// With every place free.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub(super) fn new(
        mut config: Config,
        watchdog: Rc<Watchdog>,
        heartbeat: Rc<Heartbeat>,
    ) -> io::Result<Gateway> {
        let roots = &config.extra_roots;
        let tls = tls::client(roots).map_err(io::Error::other)?;
        let way = Way::new(config.proxy.take(), roots).map_err(io::Error::other)?;
        let audit = Rc::new(Audit::open(config.paths.audit.clone()));
        let pool = Pool::new(POOL_BLOCKS);
        Ok(Gateway {
            tls,
            way,
            gatherer: Gatherer::new(&config, Rc::clone(&pool)),
            board: None,
            panel: None,
            pool,
            seats: Seats::new(),
            rooms: Rooms::new(),
            gates: Rc::default(),
            ledger: Ledger::new(audit),
            verdict: Verdict::On("not looked yet".to_owned()),
            places: Vec::new(),
            waiting: VecDeque::new(),
            seen: Seen::default(),
            rejoin: None,
            watchdog,
            pulse: heartbeat.watch("the gateway's loop"),
            heartbeat,
            tunnels: JoinSet::new(),
            config,
        })
    }

    /// The agent's life.
    pub(super) async fn live(mut self, access_token: Option<Secret>) -> io::Result<Outcome> {
        let mut signals = Signals::listen()?;
        let mut requests = self.listen_for_requests(access_token.is_some())?;
        let restarts = Rc::new(Restarts::begin(self.config.paths.runtime.as_deref()));
        if self.pauses(restarts.pause(), &mut signals).await {
            restarts.forget();
            return Ok(Outcome::Stopped);
        }
        let mut watch = Watch::new(self.config.access.clone());
        self.set_access(watch.verdict());
        self.rejoin();
        let alone = access_token.is_some() && self.config.notify.is_none();
        if let Some(access_token) = access_token {
            self.take_own(access_token)?;
        }
        let mut notifications = self.listen_for_notifications();
        let well = Rc::clone(&restarts);
        spawn_local(async move {
            sleep(RESTART_HEALTHY).await;
            well.forget();
        });
        self.watchdog.ready();
        loop {
            self.pulse.turned();
            self.write_down();
            let deadline = self.next_deadline();
            tokio::select! {
                wish = signals.next() => match wish {
                    Wish::Stop => {
                        info!("asked to stop");
                        self.watchdog.stopping();
                        self.stop_all().await;
                        restarts.forget();
                        return Ok(Outcome::Stopped);
                    }
                    Wish::Reload => self.reload(),
                },
                // Whatever is taken in from here on is a turn that something came of, however many of them there are.
                Some(over) = self.tunnels.join_next() => {
                    self.pulse.progress();
                    let outcome = self.handle_over(over);
                    if alone && self.places.is_empty() {
                        // A dead token must not stay behind in the rejoin file.
                        self.write_down();
                        restarts.forget();
                        return Ok(outcome);
                    }
                }
                Some(told) = notifications.recv() => self.handle_notification(told),
                Some(ask) = requests.recv() => {
                    self.pulse.progress();
                    self.answer(ask);
                }
                verdict = watch.changed() => self.set_access(&verdict),
                () = self.ledger.news() => {
                    self.pulse.progress();
                    self.note_news();
                }
                () = self.pulse.asked() => {}
                () = sleep_until(deadline.into()) => self.end_the_old(),
            }
        }
    }

    /// Waits before serving, if the agent crashed again and again. Whether it is told to stop meanwhile.
    async fn pauses(&self, pause: Duration, signals: &mut Signals) -> bool {
        if pause.is_zero() {
            return false;
        }
        self.watchdog.serves_late(pause);
        let until = sleep(pause);
        tokio::pin!(until);
        loop {
            tokio::select! {
                wish = signals.next() => match wish {
                    Wish::Stop => return true,
                    // The configuration was read a moment ago.
                    Wish::Reload => {}
                },
                () = self.pulse.asked() => self.pulse.turned(),
                () = &mut until => return false,
            }
        }
    }

    // ---- places -------------------------------------------------------------------------------

    /// Begins a tunnel in a place that is free.
    pub(super) fn start(&mut self, arrival: Arrival) {
        let now = now();
        let name = name_of(&arrival.access_token);
        let entry = self
            .ledger
            .open_tunnel(name, arrival.came, arrival.region, arrival.age, now);
        let place = Place {
            entry: Rc::clone(&entry),
            desk: Desk::new(self.verdict.is_on()),
            access_token: Rc::new(arrival.access_token),
            client_token: Rc::new(arrival.client_token),
            endpoint: arrival.endpoint,
            until: now + TUNNEL_LIFETIME.saturating_sub(arrival.age),
        };
        let pulse = self.heartbeat.watch(format!("tunnel {}", entry.name));
        let tunnel = Tunnel::new(Setup {
            endpoint: place.endpoint.clone(),
            way: Rc::clone(&self.way),
            tls: Arc::clone(&self.tls),
            access_token: Rc::clone(&place.access_token),
            client_token: Rc::clone(&place.client_token),
            entry: Rc::clone(&entry),
            gone: arrival.gone,
            directory: Directory::new(self.config.routes.clone(), Rc::clone(&self.gates)),
            connections: self.config.places.connections,
            pool: Rc::clone(&self.pool),
            seats: Rc::clone(&self.seats),
            rooms: Rc::clone(&self.rooms),
            desk: Rc::clone(&place.desk),
            pulse: pulse.clone(),
        });
        self.places.push(place);
        self.tunnels
            .spawn_local(async move { (entry, pulse.attend(Box::pin(tunnel.run())).await) });
    }

    fn handle_over(
        &mut self,
        over: Result<(Rc<TunnelEntry>, Over), tokio::task::JoinError>,
    ) -> Outcome {
        let (entry, over) = match over {
            Ok(over) => over,
            Err(error) => {
                // A panic ends the process where panics abort, as in the release.
                error!("a tunnel's task is lost: {error}; this is an error in cellgate");
                std::process::abort();
            }
        };
        self.places
            .retain(|place| !Rc::ptr_eq(&place.entry, &entry));
        self.ledger.end_tunnel(&entry, &over.to_string(), now());
        if let Some(next) = self.waiting.pop_front() {
            self.start(next);
        }
        match over {
            Over::Refused(_) => Outcome::Refused,
            Over::Ended(_) => Outcome::Stopped,
        }
    }

    /// Ends one tunnel, by the first digits of its name; the only one if none is named.
    pub(super) fn close(&self, wanted: Option<&str>) -> Result<String, String> {
        let staying = self.places.iter().filter(|place| !place.desk.is_stopped());
        let meant: Vec<&Place> = staying
            .filter(|place| wanted.is_none_or(|wanted| place.entry.name.starts_with(wanted)))
            .collect();
        match (&meant[..], wanted) {
            ([place], _) => {
                place.desk.stop(Why::Closed);
                Ok(format!("tunnel {} is closed", place.entry.name))
            }
            ([], None) => Err("there is no tunnel".to_owned()),
            ([], Some(wanted)) => Err(format!(
                "there is no tunnel {wanted}; `cellgate status` lists them"
            )),
            (several, _) => {
                let names: Vec<&str> = several.iter().map(|p| p.entry.name.as_str()).collect();
                Err(format!("say which of: {}", names.join(", ")))
            }
        }
    }

    // ---- what the cell wants ------------------------------------------------------------------

    fn set_access(&mut self, verdict: &Verdict) {
        let said = verdict.to_string();
        let access = verdict.is_on();
        if access != self.verdict.is_on() {
            let audit = self.ledger.audit();
            if access {
                audit.write(&Event::AccessOn { reason: &said });
            } else {
                audit.write(&Event::AccessOff { reason: &said });
            }
            for place in &self.places {
                place.desk.set_access(access);
            }
        }
        self.verdict = verdict.clone();
        self.note_news();
    }

    // ---- the end ------------------------------------------------------------------------------

    fn next_deadline(&self) -> Instant {
        let until = self.places.iter().filter(|place| !place.desk.is_stopped());
        until
            .map(|place| place.until)
            .chain(self.status_due())
            .fold(now() + TUNNEL_LIFETIME, Instant::min)
    }

    fn end_the_old(&self) {
        let now = now();
        for place in self.places.iter().filter(|place| place.until <= now) {
            place.desk.stop(Why::Lifetime);
        }
    }

    /// Ends all tunnels in order. The rejoin file stays as it is: a restart comes back to them.
    async fn stop_all(&mut self) {
        for place in &self.places {
            place.desk.stop(Why::AgentStops);
        }
        self.waiting.clear();
        let all = async {
            while let Some(over) = self.tunnels.join_next().await {
                if let Ok((entry, over)) = over {
                    self.ledger.end_tunnel(&entry, &over.to_string(), now());
                }
            }
        };
        if timeout(STOP_LIMIT + STOP_MARGIN, all).await.is_err() {
            warn!("stopped before every tunnel was closed");
        }
    }

    /// Brings the files up to date.
    pub(super) fn write_down(&mut self) {
        let now = now();
        if let Some(rejoin) = &mut self.rejoin {
            // One that was told to end is not to come back, and who waits for its place is.
            let staying = self.places.iter().filter(|place| !place.desk.is_stopped());
            let live = staying.map(|place| place.live(now));
            rejoin.write(live.chain(self.waiting.iter().map(Arrival::live)));
        }
        self.write_status(now);
        self.watchdog.status(&self.sentence());
    }
}

/// The time, as tunnels count it.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
