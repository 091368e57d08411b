//! A source with listening TCP ports.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tokio::time::sleep;

use super::connection::{self, Shared};
use super::dial::{ConnectError, SourceOptions, WebSocket, connect};
use super::pump;
use super::streams::Streams;
use crate::journal::{Journal, Mark, WaitTimeout};
use crate::wire::{Message, Mode};

/// Messages that wait for the WebSocket, at most; with 63 KiB each that is 1 MB.
const OUTGOING: usize = 16;

/// Pieces that wait for a local connection, at most.
const TO_LOCAL: usize = 16;

/// Between two tries to connect again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(250);

/// What a source saw.
#[derive(Debug, Clone, PartialEq)]
pub enum SourceEvent {
    /// The WebSocket is up, for the first time or again.
    Connected,
    /// A message other than DATA came.
    Message(Message),
    /// The WebSocket is over.
    Lost(String),
    /// The service refused, or did not answer, when the source tried to connect again.
    NotConnected(String),
}

/// A connected source. Each service has a TCP port on 127.0.0.1. Dropping it ends everything at once.
pub struct Source {
    ports: Vec<(String, u16)>,
    journal: Journal<SourceEvent>,
    task: JoinHandle<()>,
    listeners: Vec<AbortHandle>,
}

impl Source {
    /// Connects and listens.
    ///
    /// # Errors
    /// Why there is no WebSocket, or that no port is free.
    pub async fn connect(options: SourceOptions) -> Result<Self, ConnectError> {
        let socket = connect(Mode::Source, &options).await?;
        let journal = Journal::default();
        journal.record(SourceEvent::Connected);
        let (outgoing, to_send) = mpsc::channel(OUTGOING);
        let streams = Streams::new(options.version, options.services.clone());
        let shared = Shared {
            streams: Arc::new(Mutex::new(streams)),
            outgoing,
        };
        let (up_sender, up) = watch::channel(true);

        let mut ports = Vec::new();
        let mut bound = Vec::new();
        for name in &options.services {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            ports.push((name.clone(), listener.local_addr()?.port()));
            bound.push(listener);
        }
        let listeners = bound
            .into_iter()
            .enumerate()
            .map(|(service, listener)| {
                tokio::spawn(listen(shared.clone(), service, listener, up.clone())).abort_handle()
            })
            .collect();
        let keeper = Keeper {
            options,
            shared,
            journal: journal.clone(),
            up: up_sender,
        };
        let task = tokio::spawn(keeper.run(socket, to_send));
        Ok(Self {
            ports,
            journal,
            task,
            listeners,
        })
    }

    /// The address to connect to for a service.
    ///
    /// # Panics
    /// When the source was not started with this service: a mistake in a test.
    pub fn address(&self, service: &str) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port(service)).into()
    }

    /// The local port of a service.
    ///
    /// # Panics
    /// When the source was not started with this service: a mistake in a test.
    pub fn port(&self, service: &str) -> u16 {
        self.ports
            .iter()
            .find_map(|(name, port)| (name == service).then_some(*port))
            .unwrap_or_else(|| {
                panic!(
                    "the source has no service {service:?}, only {:?}",
                    self.ports
                )
            })
    }

    /// Waits for an event, also one that has happened already.
    ///
    /// # Errors
    /// When none that fits happened within `limit`.
    pub async fn wait_event(
        &self,
        fits: impl Fn(&SourceEvent) -> bool,
        limit: Duration,
    ) -> Result<SourceEvent, WaitTimeout> {
        Ok(self.wait_event_after(Mark::START, fits, limit).await?.0)
    }

    /// Waits for an event behind a mark, and gives the mark behind it.
    ///
    /// # Errors
    /// When none that fits happened within `limit`.
    pub async fn wait_event_after(
        &self,
        mark: Mark,
        fits: impl Fn(&SourceEvent) -> bool,
        limit: Duration,
    ) -> Result<(SourceEvent, Mark), WaitTimeout> {
        let (entry, mark) = self.journal.wait(mark, fits, limit).await?;
        Ok((entry.what, mark))
    }

    /// The place behind the newest event.
    pub fn mark(&self) -> Mark {
        self.journal.mark()
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.task.abort();
        for listener in &self.listeners {
            listener.abort();
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("ports", &self.ports)
            .finish_non_exhaustive()
    }
}

/// Accepts for one service; its connections end with it.
async fn listen(shared: Shared, service: usize, listener: TcpListener, up: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let Ok((socket, _)) = accepted else { continue };
        // Without a tunnel there is nobody to talk to.
        if !*up.borrow() || socket.set_nodelay(true).is_err() {
            continue;
        }
        let (to_local, from_tunnel) = mpsc::channel(TO_LOCAL);
        let (key, start) = shared.with(|streams| streams.accept(service, to_local));
        // Before the connection runs: its bytes must come behind its start.
        if shared.outgoing.send(start).await.is_err() {
            return;
        }
        connections.spawn(connection::run(shared.clone(), key, socket, from_tunnel));
    }
}

/// Keeps the WebSocket up.
struct Keeper {
    options: SourceOptions,
    shared: Shared,
    journal: Journal<SourceEvent>,
    up: watch::Sender<bool>,
}

impl Keeper {
    async fn run(self, socket: WebSocket, mut outgoing: mpsc::Receiver<Message>) {
        let mut socket = Some(socket);
        while let Some(current) = socket {
            let why = pump::run(current, &mut outgoing, &self.shared, &self.journal).await;
            self.up.send_replace(false);
            self.shared.with(Streams::end_all);
            self.journal.record(SourceEvent::Lost(why));
            socket = self.reconnect(&mut outgoing).await;
            if socket.is_some() {
                self.journal.record(SourceEvent::Connected);
                self.up.send_replace(true);
            }
        }
    }

    /// A new WebSocket; `None` when there shall be none or the service will not have it.
    async fn reconnect(&self, outgoing: &mut mpsc::Receiver<Message>) -> Option<WebSocket> {
        if !self.options.reconnect {
            // Whoever sends must not wait for a WebSocket that never comes.
            outgoing.close();
            return None;
        }
        loop {
            // What is left belongs to streams that are over.
            while outgoing.try_recv().is_ok() {}
            match connect(Mode::Source, &self.options).await {
                Ok(socket) => return Some(socket),
                Err(error) => {
                    self.journal
                        .record(SourceEvent::NotConnected(error.to_string()));
                    if matches!(
                        error,
                        ConnectError::Refused {
                            status: 400..500,
                            ..
                        }
                    ) {
                        outgoing.close();
                        return None;
                    }
                }
            }
            sleep(RECONNECT_PAUSE).await;
        }
    }
}
