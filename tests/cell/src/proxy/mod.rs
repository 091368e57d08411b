//! An HTTP proxy between the cell and the internet, stricter than real ones, and the login page of a guest network.
//!
//! Responsible for: CONNECT and nothing else, plain or by TLS, with Basic credentials if told ([`Proxy`]); answering
//! wrongly in the ways of the field ([`Answer`]); recording who asked for what ([`Event`]); and answering plain HTML to
//! whatever comes ([`Portal`]).

mod portal;
mod request;
mod serve;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

pub use portal::Portal;

use crate::held::bound;
use crate::journal::{Journal, Mark, WaitTimeout};

/// How a proxy answers a request that keeps the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It lets the client through, if the credentials are right.
    LetThrough,
    /// This status line and these header lines, each without its end, and then the end of the connection.
    Head(String, Vec<String>),
    /// Bytes that are no HTTP; the connection stays open.
    Bytes(Vec<u8>),
    /// 200, and the HTML of a login page in place of the host.
    Page,
    /// Nothing at all.
    Silence,
    /// The end of the connection.
    Close,
}

/// How a proxy is started.
#[derive(Clone)]
pub struct ProxyOptions {
    /// Where it listens; port 0 takes a free one.
    pub address: SocketAddr,
    /// The TLS side of a proxy that is reached by `https://`.
    pub tls: Option<Arc<ServerConfig>>,
    /// User and password that it demands.
    pub login: Option<(String, String)>,
    /// How it answers at first.
    pub answer: Answer,
}

impl Default for ProxyOptions {
    fn default() -> Self {
        Self {
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            tls: None,
            login: None,
            answer: Answer::LetThrough,
        }
    }
}

/// What a proxy saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A connection came.
    Connected,
    /// TLS with the client failed.
    TlsFailed(String),
    /// A request that keeps the rules.
    Asked {
        /// `HOST:PORT`.
        target: String,
        /// It brought the right credentials.
        authorized: bool,
    },
    /// The client was let through to this host.
    Opened(String),
    /// The client was answered otherwise; the status, or 0 for what is no HTTP.
    Answered(u16),
    /// A connection that was let through is over; bytes from the client and to it.
    Closed {
        /// From the client.
        up: u64,
        /// To the client.
        down: u64,
    },
    /// The client broke a rule.
    Violation(String),
}

/// What all connections of a proxy share.
struct Hub {
    tls: Option<Arc<ServerConfig>>,
    login: Option<String>,
    answer: Mutex<Answer>,
    journal: Journal<Event>,
}

/// A running proxy. Dropping it ends every connection.
pub struct Proxy {
    hub: Arc<Hub>,
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Starts a proxy. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When somebody else has the port.
    pub async fn start(options: ProxyOptions) -> io::Result<Self> {
        let listener = bound(options.address)?.listen(64)?;
        let address = listener.local_addr()?;
        let hub = Arc::new(Hub {
            tls: options.tls,
            login: options
                .login
                .map(|(user, password)| request::basic(&user, &password)),
            answer: Mutex::new(options.answer),
            journal: Journal::default(),
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&hub)));
        Ok(Self { hub, address, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers otherwise from now on.
    pub fn answer(&self, answer: Answer) {
        *self
            .hub
            .answer
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = answer;
    }

    /// What it saw so far, oldest first.
    pub fn events(&self) -> Vec<Event> {
        let entries = self.hub.journal.entries();
        entries.into_iter().map(|entry| entry.what).collect()
    }

    /// How many of its events fit.
    pub fn count(&self, fits: impl Fn(&Event) -> bool) -> usize {
        self.hub.journal.count(Mark::START, fits)
    }

    /// The rules that the client broke.
    pub fn violations(&self) -> Vec<String> {
        let broken = |event| {
            let Event::Violation(what) = event else {
                return None;
            };
            Some(what)
        };
        self.events().into_iter().filter_map(broken).collect()
    }

    /// The place behind the newest event.
    pub fn mark(&self) -> Mark {
        self.hub.journal.mark()
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
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

async fn accept(listener: TcpListener, hub: Arc<Hub>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((tcp, _)) = accepted else { continue };
                hub.journal.record(Event::Connected);
                connections.spawn(serve::connection(Arc::clone(&hub), tcp));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}
