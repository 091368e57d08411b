//! The places, and the one loop that joins everything that can happen to them.

use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{debug, error, info, warn};
use rustls::ClientConfig;
use tokio::sync::mpsc;
use tokio::task::{JoinSet, spawn_local};
use tokio::time::{sleep_until, timeout};

use super::Outcome;
use super::place::{Arrival, Place};
use super::places::{Ruling, Standing, rule};
use super::rejoin::Rejoin;
use super::requests::{self, Panel};
use super::seen::Seen;
use crate::access::{Verdict, Watch};
use crate::audit::{Audit, Event};
use crate::config::{ClientToken, Config, paths};
use crate::control::status::Gatherer;
use crate::ledger::tunnel::{Came, TunnelEntry};
use crate::ledger::{Ledger, name_of};
use crate::limits::{ARRIVALS_MAX, POOL_BLOCKS, STOP_LIMIT, TUNNEL_LIFETIME};
use crate::link::tls;
use crate::link::way::Way;
use crate::notify::{self, board::Board};
use crate::protocol::notification::Notification;
use crate::relay::gate::Gates;
use crate::relay::pool::Pool;
use crate::secret::Secret;
use crate::supervise::signals::{Signals, Wish};
use crate::tunnel::desk::{Desk, Why};
use crate::tunnel::directory::Directory;
use crate::tunnel::{Over, Setup, Tunnel};

/// How much longer than each tunnel the agent waits for all of them.
const STOP_MARGIN: Duration = Duration::from_millis(250);

/// The agent's state.
pub(super) struct Gateway {
    pub(super) config: Config,
    tls: Arc<ClientConfig>,
    way: Rc<Way>,
    pool: Rc<Pool>,
    gates: Rc<Gates>,
    pub(super) ledger: Rc<Ledger>,
    /// What the cell says.
    pub(super) verdict: Verdict,
    pub(super) places: Vec<Place>,
    /// Tunnels that have the word of a place which is free in a moment.
    waiting: VecDeque<Arrival>,
    seen: Seen,
    rejoin: Option<Rejoin>,
    /// How the connection to the broker stands, if there is one.
    pub(super) board: Option<Rc<Board>>,
    pub(super) gatherer: Gatherer,
    pub(super) panel: Option<Panel>,
    tunnels: JoinSet<(Rc<TunnelEntry>, Over)>,
}

impl Gateway {
    /// With every place free.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub(super) fn new(mut config: Config) -> io::Result<Gateway> {
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
            gates: Rc::default(),
            ledger: Ledger::new(audit),
            verdict: Verdict::On("not looked yet".to_owned()),
            places: Vec::new(),
            waiting: VecDeque::new(),
            seen: Seen::default(),
            rejoin: None,
            tunnels: JoinSet::new(),
            config,
        })
    }

    /// The agent's life.
    pub(super) async fn live(mut self, access_token: Option<Secret>) -> io::Result<Outcome> {
        let mut signals = Signals::listen()?;
        let mut requests = requests::listen(&self.config, access_token.is_some())?;
        let mut watch = Watch::new(self.config.access.clone());
        self.set_access(watch.verdict());
        self.rejoin();
        let alone = access_token.is_some() && self.config.notify.is_none();
        if let Some(access_token) = access_token {
            self.take_own(access_token)?;
        }
        let mut notifications = self.listen_for_notifications();
        loop {
            self.write_down();
            let deadline = self.next_deadline();
            tokio::select! {
                wish = signals.next() => match wish {
                    Wish::Stop => {
                        info!("asked to stop");
                        self.stop_all().await;
                        return Ok(Outcome::Stopped);
                    }
                    Wish::Reload => self.reload(),
                },
                Some(over) = self.tunnels.join_next() => {
                    let outcome = self.handle_over(over);
                    if alone && self.places.is_empty() {
                        // A dead token must not stay behind in the rejoin file.
                        self.write_down();
                        return Ok(outcome);
                    }
                }
                Some(notification) = notifications.recv() => {
                    self.handle_notification(notification);
                }
                Some(ask) = requests.recv() => self.answer(ask),
                verdict = watch.changed() => self.set_access(&verdict),
                () = self.ledger.news() => self.note_news(),
                () = sleep_until(deadline.into()) => self.end_the_old(),
            }
        }
    }

    // ---- tunnels that come --------------------------------------------------------------------

    /// The tunnels that were live before a restart.
    fn rejoin(&mut self) {
        let Some(runtime) = &self.config.paths.runtime else {
            return;
        };
        self.panel = Some(Panel::new(runtime));
        let rejoin = Rejoin::at(paths::rejoin(runtime));
        let found = rejoin.read();
        self.rejoin = Some(rejoin);
        for saved in found {
            let name = name_of(&saved.access_token);
            if saved.age >= TUNNEL_LIFETIME {
                info!("tunnel {name}: was live before the restart, but its lifetime is over");
                continue;
            }
            let endpoint = self.config.endpoints.fixed.clone();
            let arrival = Arrival {
                access_token: saved.access_token,
                client_token: saved.client_token,
                endpoint: endpoint.unwrap_or(saved.endpoint),
                came: Came::Rejoined,
                region: None,
                age: saved.age,
                gone: saved.gone,
            };
            // With fewer places than before the restart the last ones are refused, which is logged.
            let _ = self.admit(arrival);
        }
    }

    /// The tunnel of the command line.
    fn take_own(&mut self, access_token: Secret) -> io::Result<()> {
        let is_own = |place: &Place| *place.access_token == access_token;
        if self.places.iter().any(is_own) {
            // It was live before a restart, and has its client token from there.
            return Ok(());
        }
        let client_token = match self.config.client_token.take() {
            Some(token) => token,
            None => random_token()?,
        };
        let endpoint = self.config.endpoints.choose(None);
        let endpoint = endpoint.ok_or_else(|| {
            io::Error::other("neither region nor endpoint for the token of the command line")
        })?;
        self.admit(Arrival {
            access_token,
            client_token,
            endpoint,
            came: Came::CommandLine,
            region: None,
            age: Duration::ZERO,
            gone: Vec::new(),
        })
        .map(drop)
        .map_err(io::Error::other)
    }

    fn listen_for_notifications(&mut self) -> mpsc::Receiver<Notification> {
        let (arrivals, receiver) = mpsc::channel(ARRIVALS_MAX);
        if let (Some(notify), Some(thing)) = (self.config.notify.take(), self.config.thing.clone())
        {
            let board = Rc::new(Board::new(now()));
            self.board = Some(Rc::clone(&board));
            spawn_local(notify::run(notify::Setup {
                thing,
                notify,
                way: Rc::clone(&self.way),
                arrivals,
                board,
            }));
        }
        receiver
    }

    fn handle_notification(&mut self, notification: Notification) {
        // What becomes of it is logged; nobody waits for an answer.
        let _ = self.open(notification, Came::Notified);
    }

    /// A tunnel that somebody told of; tells what became of it, or why it is refused.
    pub(super) fn open(
        &mut self,
        notification: Notification,
        came: Came,
    ) -> Result<String, String> {
        let name = name_of(&notification.access_token);
        if self.seen.knows(&notification.access_token) {
            let is_it = |place: &Place| *place.access_token == notification.access_token;
            if let Some(place) = self.places.iter().find(|place| is_it(place)) {
                debug!("tunnel {name}: its token came again ({})", came.as_str());
                if place.desk.is_stopped() {
                    return Err(format!(
                        "tunnel {name} ends just now; hand it over again when `cellgate status` does not show it \
                         any more"
                    ));
                }
                return Ok(format!("tunnel {name} is open already"));
            }
            let waits = |arrival: &Arrival| arrival.access_token == notification.access_token;
            if self.waiting.iter().any(waits) {
                return Ok(format!("tunnel {name} gets the place of one that ends"));
            }
            if came == Came::Notified {
                debug!("tunnel {name}: its notification came again, after its end");
                return Err(format!("tunnel {name} is over"));
            }
        }
        let region = notification.region.as_ref();
        let Some(endpoint) = self.config.endpoints.choose(region) else {
            let reason = "its region is not known: hand over the whole notification, or set region in [tunnel]";
            return Err(self.refuse(&name, came, reason));
        };
        let client_token = random_token().map_err(|error| error.to_string())?;
        let services = notification.services.as_ref().map(|services| {
            let names: Vec<&str> = services.iter().map(|service| service.as_str()).collect();
            names.join(", ")
        });
        info!(
            "tunnel {name}: came by {}: region {}, services {}",
            came.as_str(),
            region.map_or("-", |region| region.as_str()),
            services.as_deref().unwrap_or("-")
        );
        self.admit(Arrival {
            region: region.map(|region| region.to_string()),
            access_token: notification.access_token,
            client_token,
            endpoint,
            came,
            age: Duration::ZERO,
            gone: Vec::new(),
        })
    }

    // ---- places -------------------------------------------------------------------------------

    /// Gives a tunnel a place, now or in a moment; or tells why not.
    fn admit(&mut self, arrival: Arrival) -> Result<String, String> {
        let name = name_of(&arrival.access_token);
        let all = self.config.places.tunnels;
        let standing: Vec<Standing> = self.places.iter().map(Place::standing).collect();
        let ruling = rule(&standing, self.waiting.len(), all);
        if ruling != Ruling::Refuse {
            self.seen.remember(&arrival.access_token);
        }
        match ruling {
            Ruling::Free => {
                self.start(arrival);
                let taken = self.places.len();
                Ok(format!("tunnel {name} has a place: {taken} of {all} taken"))
            }
            Ruling::Wait => {
                self.waiting.push_back(arrival);
                Ok(format!("tunnel {name} gets the place of one that ends"))
            }
            Ruling::Replace(index) => {
                let place = &self.places[index];
                let victim = &place.entry.name;
                warn!(
                    "tunnel {victim}: is not connected ({}) and gives its place to tunnel {name}",
                    place.entry.state().as_str()
                );
                let told = format!(
                    "tunnel {name} gets the place of tunnel {victim}, which is not connected"
                );
                place.desk.stop(Why::Replaced);
                self.waiting.push_back(arrival);
                Ok(told)
            }
            Ruling::Refuse => {
                let reason = format!(
                    "all {all} places are taken by connected tunnels; close one with `cellgate close`"
                );
                Err(self.refuse(&name, arrival.came, &reason))
            }
        }
    }

    fn refuse(&self, name: &str, came: Came, reason: &str) -> String {
        warn!("tunnel {name}: refused: {reason}");
        self.ledger.audit().write(&Event::TunnelRefused {
            tunnel: name,
            by: came.as_str(),
            reason,
        });
        format!("tunnel {name} is refused: {reason}")
    }

    fn start(&mut self, arrival: Arrival) {
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
            desk: Rc::clone(&place.desk),
        });
        self.places.push(place);
        self.tunnels
            .spawn_local(async move { (entry, Box::pin(tunnel.run()).await) });
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
    fn write_down(&mut self) {
        let now = now();
        if let Some(rejoin) = &mut self.rejoin {
            // One that was told to end is not to come back, and who waits for its place is.
            let staying = self.places.iter().filter(|place| !place.desk.is_stopped());
            let live = staying.map(|place| place.live(now));
            rejoin.write(live.chain(self.waiting.iter().map(Arrival::live)));
        }
        self.write_status(now);
    }
}

/// The time, as tunnels count it.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn random_token() -> io::Result<ClientToken> {
    ClientToken::random().map_err(|_| io::Error::other("the system gives no random numbers"))
}
