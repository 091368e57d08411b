//! The tunnelling service, stricter than the real one.
//!
//! Responsible for: listening with TLS, letting handshakes in or not (`handshake`, `request`, `token`), and routing
//! between the two sides of each tunnel (`tunnel`, `session`, `judge`). What a test can turn is in [`Switches`] and [`Side`];
//! what it can wait for is an [`Event`].

mod event;
mod handshake;
mod judge;
mod line;
mod listener;
mod request;
mod session;
mod shaper;
mod side;
mod socket;
mod streams;
mod switches;
mod token;
mod tunnel;
mod websocket;

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

pub use event::{Ending, Event, TunnelId};
pub use request::{MAX_REQUEST, Protocol};
pub use side::{NotConnected, Side, Traffic, Tunnel};
pub use switches::{Fragments, Glue, Kill, Refusal, Switches};
pub use token::client_token;
pub use websocket::{Opcode, frame as websocket_frame};

pub(crate) use token::random_hex;

use crate::certs::{Authority, ServerCertificate};
use crate::journal::{Entry, Journal, Mark, WaitTimeout};
use tunnel::TunnelState;

/// Where a service listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Bind {
    /// 127.0.0.1 only.
    #[default]
    V4,
    /// ::1 only.
    V6,
    /// Both, on the same port.
    Both,
}

/// When the service resets the streams towards the side that is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ResetOn {
    /// When the other side goes and when it comes.
    #[default]
    Both,
    /// When the other side goes.
    Disconnect,
    /// When the other side comes.
    Reconnect,
    /// Not at all.
    Never,
}

/// How a service is started.
#[derive(Debug, Clone)]
pub struct ServiceOptions {
    /// Where it listens.
    pub bind: Bind,
    /// The port; 0 takes a free one.
    pub port: u16,
    /// The certificate it shows.
    pub certificate: ServerCertificate,
    /// The subprotocols it supports, the preferred one first.
    pub protocols: Vec<Protocol>,
    /// When it resets streams.
    pub reset_on: ResetOn,
    /// The receive buffer of its sockets, bytes; `None` leaves it to the system. Small ones make back-pressure felt.
    pub receive_buffer: Option<u32>,
    /// Bytes it holds for each side and direction, before it stops reading the other side.
    pub line_size: usize,
}

impl Default for ServiceOptions {
    fn default() -> Self {
        Self {
            bind: Bind::V4,
            port: 0,
            certificate: ServerCertificate::Good,
            protocols: vec![Protocol::V3, Protocol::V2, Protocol::V1],
            reset_on: ResetOn::Both,
            receive_buffer: None,
            line_size: 4 << 20,
        }
    }
}

/// What all connections of a service share.
struct Hub {
    options: ServiceOptions,
    tls: Arc<ServerConfig>,
    journal: Journal<Event>,
    tunnels: Mutex<Vec<Arc<TunnelState>>>,
    channels: AtomicU64,
}

impl Hub {
    fn tunnel_of(&self, token: &str) -> Option<Arc<TunnelState>> {
        use crate::wire::Mode;

        let tunnels = self.tunnels.lock().unwrap_or_else(PoisonError::into_inner);
        let owns = |tunnel: &&Arc<TunnelState>| {
            [Mode::Source, Mode::Destination]
                .into_iter()
                .any(|mode| tunnel.place(mode).token() == token)
        };
        tunnels.iter().find(owns).cloned()
    }

    /// A new `channel-id`, in the form the real service gives.
    fn channel_id(&self) -> String {
        let number = self.channels.fetch_add(1, Ordering::Relaxed);
        let hex = random_hex();
        format!(
            "{}-{number:08x}-{}-{}-{}",
            &hex[..16],
            &hex[16..24],
            &hex[24..40],
            &hex[40..48]
        )
    }
}

/// A running service. Dropping it ends every connection.
pub struct Service {
    hub: Arc<Hub>,
    ca_pem: String,
    port: u16,
    wishes: mpsc::UnboundedSender<listener::Wish>,
    task: JoinHandle<()>,
    opened: AtomicU32,
}

impl Service {
    /// Starts a service.
    ///
    /// # Errors
    /// When no certificate can be made or no port is free.
    pub async fn start(options: ServiceOptions) -> io::Result<Self> {
        let authority = Authority::new()?;
        let tls = authority.server_config(options.certificate)?;
        let sockets = listener::bind(&options, options.port)?;
        let port = sockets.port()?;
        let hub = Arc::new(Hub {
            options,
            tls,
            journal: Journal::default(),
            tunnels: Mutex::default(),
            channels: AtomicU64::new(1),
        });
        let (wishes, granted) = mpsc::unbounded_channel();
        let task = tokio::spawn(listener::run(Arc::clone(&hub), sockets, port, granted));
        Ok(Self {
            hub,
            ca_pem: authority.ca_pem(),
            port,
            wishes,
            task,
            opened: AtomicU32::new(0),
        })
    }

    /// Where the agent finds it: `localhost:PORT`.
    pub fn endpoint(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// The certificate of its authority.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Opens a tunnel with these services; none is a tunnel for V1.
    pub fn open_tunnel<S: AsRef<str>>(&self, services: &[S]) -> Tunnel {
        let id = TunnelId(self.opened.fetch_add(1, Ordering::Relaxed) + 1);
        let services = services
            .iter()
            .map(|service| service.as_ref().to_owned())
            .collect();
        let state = Arc::new(TunnelState::new(
            id,
            services,
            self.hub.journal.clone(),
            self.hub.options.reset_on,
        ));
        let mut tunnels = self
            .hub
            .tunnels
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        tunnels.push(Arc::clone(&state));
        Tunnel::new(state)
    }

    /// Stops listening; connections that are there stay. A client that connects now is refused by the system.
    ///
    /// # Errors
    /// When the listener is gone.
    pub async fn stop_listening(&self) -> io::Result<()> {
        self.listen(false).await
    }

    /// Listens again, on the same port.
    ///
    /// # Errors
    /// When somebody else has the port.
    pub async fn listen_again(&self) -> io::Result<()> {
        self.listen(true).await
    }

    async fn listen(&self, wanted: bool) -> io::Result<()> {
        let gone = || io::Error::other("the listener of the service is gone");
        let (answer, answered) = oneshot::channel();
        let wish = listener::Wish { wanted, answer };
        self.wishes.send(wish).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }

    /// Waits for an event, also one that has happened already.
    ///
    /// # Errors
    /// When none that fits happened within `limit`.
    pub async fn wait_event(
        &self,
        fits: impl Fn(&Event) -> bool,
        limit: Duration,
    ) -> Result<Event, WaitTimeout> {
        Ok(self.wait_event_after(Mark::START, fits, limit).await?.0)
    }

    /// Waits for an event behind a mark, and gives the mark behind it.
    ///
    /// # Errors
    /// When none that fits happened within `limit`.
    pub async fn wait_event_after(
        &self,
        mark: Mark,
        fits: impl Fn(&Event) -> bool,
        limit: Duration,
    ) -> Result<(Event, Mark), WaitTimeout> {
        let (entry, mark) = self.hub.journal.wait(mark, fits, limit).await?;
        Ok((entry.what, mark))
    }

    /// The place behind the newest event.
    pub fn mark(&self) -> Mark {
        self.hub.journal.mark()
    }

    /// How many events behind a mark fit.
    pub fn count_events(&self, mark: Mark, fits: impl Fn(&Event) -> bool) -> usize {
        self.hub.journal.count(mark, fits)
    }

    /// Every event with its time, oldest first.
    pub fn events(&self) -> Vec<Entry<Event>> {
        self.hub.journal.entries()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}
