//! The connection to the MQTT broker, on which AWS tells of tunnels.
//!
//! Is responsible for: being subscribed whenever there is a network, for taking notifications in and passing
//! them on, and for a reason in the log whenever it is not so. Knows nothing of tunnels: what it takes in goes
//! to whoever holds the other end of [`Setup::arrivals`].
//!
//! MQTT 5, with a session that outlives the connection: what comes while the gateway is away arrives when it is
//! back.

pub mod board;
mod ended;
mod inbox;
mod packet;
pub mod probe;
mod reason;
mod session;
mod wire;

#[cfg(test)]
mod tests;

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

pub use self::inbox::{Receipt, Told};

use log::{error, info, warn};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

use self::board::{Board, State};
use self::ended::{Ended, Stage};
use self::inbox::Inbox;
use self::session::Progress;
use crate::config::{Endpoint, Notify};
use crate::limits::{MQTT_STAGE_LIMIT, MQTT_TLS_BUFFER};
use crate::link::room::Room;
use crate::link::tls;
use crate::link::way::Way;
use crate::protocol::backoff::Backoff;
use crate::resolve;
use crate::supervise::clock;
use crate::supervise::heartbeat::Pulse;

/// The port on which AWS tells MQTT from HTTPS by ALPN.
const ALPN_PORT: u16 = 443;

/// The ALPN name of MQTT with a device certificate. Source: "Device communication protocols" of the AWS IoT
/// developer guide.
const ALPN: &[u8] = b"x-amzn-mqtt-ca";

/// What the connection needs.
pub struct Setup {
    /// The thing's name, which is the client ID too.
    pub thing: String,
    /// The broker, and who we are there.
    pub notify: Notify,
    /// The way out.
    pub way: Rc<Way>,
    /// Where notifications go. A message is acknowledged to the broker when its [`Receipt`] is given.
    pub arrivals: mpsc::Sender<Told>,
    /// Told of everything that happens.
    pub board: Rc<Board>,
    /// Told of every packet.
    pub pulse: Pulse,
}

/// The topic on which AWS tells a thing of tunnels.
pub fn topic_of(thing: &str) -> String {
    format!("$aws/things/{thing}/tunnels/notify")
}

/// The protocol that is offered by ALPN at a port of the broker.
pub fn alpn_of(port: u16) -> Option<&'static [u8]> {
    (port == ALPN_PORT).then_some(ALPN)
}

/// Takes notifications in for ever; there is no failure that ends it. To end it, drop it: the broker then keeps
/// what comes.
pub async fn run(setup: Setup) {
    let alpn = alpn_of(setup.notify.endpoint.port);
    Box::pin(run_by(setup, alpn)).await;
}

async fn run_by(setup: Setup, alpn: Option<&'static [u8]>) {
    let Notify {
        endpoint,
        identity,
        extra_roots,
    } = setup.notify;
    let tls = match tls::client_as(&extra_roots, &identity, alpn) {
        Ok(tls) => tls,
        Err(why) => {
            // The configuration has checked both, so that this is a bug of ours; the rest of the gateway lives on.
            error!("mqtt: no notifications: certificate and key are of no use to TLS ({why})");
            setup.board.set_error(&why.to_string());
            return std::future::pending().await;
        }
    };
    let inbox = Inbox::new(
        topic_of(&setup.thing),
        setup.arrivals,
        Rc::clone(&setup.board),
        setup.pulse,
    );
    let mut post = Post {
        thing: setup.thing,
        endpoint,
        tls,
        way: setup.way,
        board: setup.board,
        inbox,
        anew: false,
    };
    let mut backoff = Backoff::broker();
    loop {
        if !clock::plausible(SystemTime::now()) {
            post.board.enter(State::WaitingForClock, Instant::now());
            clock::wait("mqtt").await;
        }
        let ended = Box::pin(post.connect()).await;
        post.anew = ended.spoils_session();
        backoff.lost(post.lasted());
        let wait = backoff.next_wait(random(), Some(ended.outcome().least_wait()));
        let why = ended.to_string();
        warn!(
            "mqtt: {}: {why}; next attempt in {:.1} s",
            post.endpoint,
            wait.as_secs_f32()
        );
        post.board.set_error(&why);
        let now = Instant::now();
        post.board.enter(State::WaitingToRetry(now + wait), now);
        sleep(wait).await;
    }
}

/// What one connection after the other needs.
struct Post {
    thing: String,
    endpoint: Endpoint,
    tls: Arc<ClientConfig>,
    way: Rc<Way>,
    board: Rc<Board>,
    inbox: Inbox,
    /// The next login begins a new session.
    anew: bool,
}

impl Post {
    async fn connect(&mut self) -> Ended {
        self.board.enter(State::Connecting, Instant::now());
        let Ok(name) = ServerName::try_from(self.endpoint.host.clone()) else {
            return Ended::Name;
        };
        let reached = match self
            .way
            .reach(&resolve::BROKER, &self.endpoint, &Room::broker())
            .await
        {
            Ok(reached) => reached,
            Err(error) => return Ended::Reach(error),
        };
        let peer = reached.peer;
        let shake = TlsConnector::from(Arc::clone(&self.tls)).connect(name, reached.stream);
        let mut stream = match timeout(MQTT_STAGE_LIMIT, shake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Ended::Tls(error),
            Err(_) => return Ended::Slow(Stage::Tls),
        };
        stream.get_mut().1.set_buffer_limit(Some(MQTT_TLS_BUFFER));
        let (board, endpoint, thing) = (&self.board, &self.endpoint, &self.thing);
        let way = if reached.proxied { "by the proxy " } else { "" };
        let tell = |progress: Progress| match progress {
            Progress::LoggedIn(present) => board.set_session_present(present),
            Progress::Subscribed => {
                board.enter(State::Connected, Instant::now());
                let session = if board.session_present() {
                    "the broker kept its session: what came meanwhile arrives"
                } else {
                    "the broker began a new session"
                };
                info!(
                    "mqtt: connected to {endpoint} ({way}{peer}) as {thing:?} and subscribed; {session}"
                );
            }
        };
        session::hold(stream, thing, self.anew, &mut self.inbox, &tell).await
    }

    /// How long the connection was up that has just ended; nothing if it never was.
    fn lasted(&self) -> Duration {
        match self.board.state() {
            State::Connected => self.board.since().elapsed(),
            State::WaitingForClock | State::Connecting | State::WaitingToRetry(_) => Duration::ZERO,
        }
    }
}

/// For the jitter. Without random numbers there is no TLS either; the wait is then none at all.
fn random() -> u64 {
    let mut random = [0; 8];
    let _ = SystemRandom::new().fill(&mut random);
    u64::from_ne_bytes(random)
}
