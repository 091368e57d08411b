//! The ways in which tunnels come: from before a restart, from the command line, by notification and by
//! `cellgate open`; and which of them get a place.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use log::{debug, info, warn};
use tokio::sync::mpsc;
use tokio::task::spawn_local;

use super::gateway::{Gateway, now};
use super::place::{Arrival, Place};
use super::places::{Ruling, Standing, rule};
use super::rejoin::Rejoin;
use super::requests::Panel;
use crate::audit::Event;
use crate::config::{ClientToken, paths};
use crate::ledger::name_of;
use crate::ledger::tunnel::Came;
use crate::limits::{ARRIVALS_MAX, TUNNEL_LIFETIME};
use crate::notify::{self, Told, board::Board};
use crate::protocol::notification::Notification;
use crate::secret::Secret;
use crate::tunnel::desk::Why;

impl Gateway {
    /// The tunnels that were live before a restart.
    pub(super) fn rejoin(&mut self) {
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
    pub(super) fn take_own(&mut self, access_token: Secret) -> io::Result<()> {
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

    pub(super) fn listen_for_notifications(&mut self) -> mpsc::Receiver<Told> {
        let (arrivals, receiver) = mpsc::channel(ARRIVALS_MAX);
        if let (Some(notify), Some(thing)) = (self.config.notify.take(), self.config.thing.clone())
        {
            let board = Rc::new(Board::new(now()));
            self.board = Some(Rc::clone(&board));
            let pulse = self.heartbeat.watch("the connection to the broker");
            spawn_local(pulse.clone().attend(notify::run(notify::Setup {
                thing,
                notify,
                way: Rc::clone(&self.way),
                arrivals,
                board,
                pulse,
            })));
        }
        receiver
    }

    pub(super) fn handle_notification(&mut self, told: Told) {
        // What becomes of it is logged. Its token stands in the rejoin file before the broker forgets it.
        let _ = self.open(told.notification, Came::Notified);
        self.write_down();
        told.receipt.give();
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
}

fn random_token() -> io::Result<ClientToken> {
    ClientToken::random().map_err(|_| io::Error::other("the system gives no random numbers"))
}
