//! Everything that is soaked, and what stands around it: a gateway, its broker, the service, four tunnels, their targets.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as AsyncMutex, watch};
use tokio::time::{Instant, sleep};

use super::book::Book;
use super::cuts::Cuts;
use super::peer::Peer;
use super::verdict::Verdict;
use crate::agent::{Agent, Configuration, Gateway};
use crate::broker::{Broker, Event as Told};
use crate::certs::DeviceFiles;
use crate::controller::{Controller, ControllerOptions, Jam};
use crate::journal::Mark;
use crate::notification::payload;
use crate::service::{Event, Protocol, Service, ServiceOptions, Tunnel};
use crate::source::{Source, SourceOptions};
use crate::wire::Mode;

/// Whose gateway it is.
pub(super) const THING: &str = "soak-1";

/// A login, a backoff and a connection, on a machine that is busy with the load.
pub(super) const BACK: Duration = Duration::from_secs(60);

/// The targets that know the streams of the soak.
pub(super) const PEERS: [&str; 6] = ["line1", "line2", "line3", "line4", "line5", "line6"];

/// The Kawasaki controllers.
pub(super) const ROBOTS: [&str; 2] = ["robot1", "robot2"];

/// A place for a tunnel: its services and the version of its source. AWS allows 3 services.
const PLACES: [(Protocol, &[&str]); 4] = [
    (Protocol::V3, &["line1", "line2", "robot1"]),
    (Protocol::V3, &["line3", "line4", "robot2"]),
    (Protocol::V2, &["line5", "line6"]),
    // A source of V1 names no service: the default route has it.
    (Protocol::V1, &["line6"]),
];

pub(super) struct Scene {
    pub(super) service: Service,
    pub(super) broker: AsyncMutex<Broker>,
    pub(super) gateway: Gateway,
    pub(super) agent: AsyncMutex<Agent>,
    pub(super) slots: Vec<Slot>,
    pub(super) peers: Vec<Peer>,
    pub(super) controllers: Vec<Controller>,
    pub(super) book: Book,
    pub(super) cuts: Cuts,
    pub(super) verdict: Verdict,
    /// Of the faults between the gateway and the world.
    pub(super) turn: AsyncMutex<()>,
    load: watch::Sender<bool>,
    busy: Arc<AtomicUsize>,
}

/// One of the tunnels.
pub(super) struct Slot {
    pub(super) place: usize,
    pub(super) services: &'static [&'static str],
    pub(super) version: Protocol,
    open: Mutex<(Tunnel, Source)>,
}

/// Something is under way.
pub(super) struct Busy(Arc<AtomicUsize>);

impl Scene {
    pub(super) async fn start(binary: &Path, verdict: &Verdict) -> io::Result<Scene> {
        let service = Service::start(ServiceOptions::default()).await?;
        let broker = Broker::start()?;
        let device = broker.device(THING)?;
        let book = Book::default();
        let peers = PEERS.map(|name| Peer::start(name, &book, verdict));
        let peers: Vec<Peer> = peers.into_iter().collect::<io::Result<_>>()?;
        let mut controllers = Vec::new();
        for name in ROBOTS {
            let options = ControllerOptions {
                name: name.to_owned(),
                jam: Jam::For(Duration::from_millis(500)),
                terminals: 4,
                ..ControllerOptions::default()
            };
            controllers.push(Controller::start(options).await?);
        }
        let gateway = Gateway::new(std::path::absolute(binary)?, &service)?;
        let device = beside_configuration(&device, &gateway)?;
        let gateway = gateway.configure(|file| {
            let file = file
                .top("default = \"line6\"")
                .notify(broker.port(), &device);
            let add = |file: Configuration, (name, target): (&str, SocketAddr)| {
                file.route(name, target, "")
            };
            let robots = ROBOTS.into_iter().zip(&controllers);
            let robots = robots.map(|(name, robot)| (name, robot.address()));
            let peers = peers.iter().map(|peer| (peer.name(), peer.address));
            peers.chain(robots).fold(file, add)
        })?;
        let agent = gateway.start()?;
        let subscribed = |event: &Told| matches!(event, Told::Subscribed { .. });
        let there = broker.wait_event(subscribed, BACK).await;
        there.map_err(io::Error::other)?;
        let mut slots = Vec::new();
        for (place, (version, services)) in PLACES.into_iter().enumerate() {
            let open = open(&service, &broker, version, services).await?;
            slots.push(Slot {
                place,
                services,
                version,
                open: Mutex::new(open),
            });
        }
        Ok(Scene {
            service,
            broker: AsyncMutex::new(broker),
            gateway,
            agent: AsyncMutex::new(agent),
            slots,
            peers,
            controllers,
            book,
            cuts: Cuts::default(),
            verdict: verdict.clone(),
            turn: AsyncMutex::default(),
            load: watch::Sender::default(),
            busy: Arc::default(),
        })
    }

    /// Lets the workers begin, or rest behind what they have begun.
    pub(super) fn load(&self, on: bool) {
        self.load.send_replace(on);
    }

    /// Waits until one may begin; nothing when something is wrong.
    pub(super) async fn begin(&self) -> Option<Busy> {
        let mut load = self.load.subscribe();
        load.wait_for(|on| *on).await.ok()?;
        if self.verdict.is_wrong() {
            return None;
        }
        self.busy.fetch_add(1, Ordering::Relaxed);
        Some(Busy(Arc::clone(&self.busy)))
    }

    /// Waits until nothing is under way, nor open at a target. False if that does not come.
    pub(super) async fn is_at_rest(&self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        while Instant::now() < end && !self.verdict.is_wrong() {
            let open: usize = self.peers.iter().map(Peer::open).sum();
            if self.busy.load(Ordering::Relaxed) == 0 && open == 0 {
                return true;
            }
            sleep(Duration::from_millis(100)).await;
        }
        false
    }

    /// The agent is in every tunnel, and at the broker.
    pub(super) async fn is_connected(&self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        while Instant::now() < end {
            let broker = self.broker.lock().await.is_connected(THING);
            if broker
                && self
                    .slots
                    .iter()
                    .all(|slot| slot.tunnel().destination.is_connected())
            {
                return true;
            }
            sleep(Duration::from_millis(100)).await;
        }
        false
    }

    /// AWS closes the tunnel of a place, and opens another, of which the agent hears by the broker.
    pub(super) async fn reopen(&self, slot: &Slot) -> io::Result<()> {
        let broker = self.broker.lock().await;
        let tunnel = slot.tunnel();
        let mark = tunnel.mark();
        tunnel.close();
        // A gateway whose places are all connected refuses the next tunnel. The source is refused as well, mostly sooner.
        let over = |event: &Event| matches!(event, Event::Rejected { status: 403, mode, .. } if *mode == Some(Mode::Destination));
        let heard = tunnel.wait_event_after(mark, over, BACK).await;
        heard.map_err(io::Error::other)?;
        let new = open(&self.service, &broker, slot.version, slot.services).await?;
        *slot.open() = new;
        Ok(())
    }
}

impl Slot {
    pub(super) fn tunnel(&self) -> Tunnel {
        self.open().0.clone()
    }

    /// Where an engineer connects to.
    pub(super) fn address(&self, service: &str) -> SocketAddr {
        self.open().1.address(service)
    }

    fn open(&self) -> MutexGuard<'_, (Tunnel, Source)> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The files of the device where the agent may read them again at SIGHUP, when Landlock holds it.
fn beside_configuration(device: &DeviceFiles, gateway: &Gateway) -> io::Result<DeviceFiles> {
    let copy = |from: &Path| {
        let name = from.file_name().unwrap_or_default();
        let to = gateway.folder().join(format!("device-{}", name.display()));
        std::fs::copy(from, &to).map(|_| to)
    };
    Ok(DeviceFiles {
        thing: device.thing.clone(),
        ca: copy(&device.ca)?,
        certificate: copy(&device.certificate)?,
        key: copy(&device.key)?,
    })
}

/// A tunnel that the agent has heard of, and its source.
async fn open(
    service: &Service,
    broker: &Broker,
    version: Protocol,
    services: &[&str],
) -> io::Result<(Tunnel, Source)> {
    let declared = if version == Protocol::V1 {
        &[]
    } else {
        services
    };
    let tunnel = service.open_tunnel(declared);
    if broker.notify(THING, &payload(&tunnel))? != 1 {
        return Err(io::Error::other(
            "the broker knows no session of the gateway",
        ));
    }
    let up = |event: &Event| event.is_connected(Mode::Destination);
    let waited = tunnel.wait_event_after(Mark::START, up, BACK).await;
    waited.map_err(io::Error::other)?;
    let options = SourceOptions {
        services: services.iter().map(|name| (*name).to_owned()).collect(),
        reconnect: true,
        ..SourceOptions::new(service, &tunnel, version)
    };
    let source = Source::connect(options).await.map_err(io::Error::other)?;
    Ok((tunnel, source))
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
