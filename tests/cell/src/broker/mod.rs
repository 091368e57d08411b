//! An MQTT broker as strict as that of AWS IoT, inside the test.
//!
//! Responsible for: TLS with a client certificate on two ports (`connection`), MQTT 3.1.1 and 5 (`packet`), a persistent
//! session of each device (`session`), and the rules of AWS IoT: SNI, the ALPN name on the second port, the thing's name
//! as client id, its own notifications as the only topic, QoS 0 and 1, 1.5 times the keep-alive. Who breaks one is
//! disconnected, and it is an [`Event::Violation`]. What a test can turn is in [`Switches`].

mod connection;
mod event;
mod packet;
mod session;
mod switches;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

pub use event::{Ending, Event, NotConnected, Violation, Way};
pub use packet::{MAX_PACKET, MAX_PAYLOAD, Version};
pub use switches::Switches;

pub use crate::mosquitto::ALPN;

use crate::agent::Folder;
use crate::certs::{Authority, DeviceFiles, Identity};
use crate::held::{HeldPort, bound, close};
use crate::journal::{Entry, Journal, Mark, WaitTimeout};
use packet::Connect;
use session::{Message, Session};

/// What a connection is told.
#[derive(Debug)]
enum Command {
    /// There is something in its session.
    Deliver,
    /// Send again what was not acknowledged.
    Resend,
    /// Send any bytes.
    Bytes(Vec<u8>),
    Disconnect(u8),
    TakenOver,
    /// End by RST.
    Kill,
}

/// A connection that was accepted.
struct Seat {
    number: u64,
    /// Whether the session stays when it goes.
    persistent: bool,
    commands: mpsc::UnboundedSender<Command>,
}

#[derive(Default)]
struct State {
    /// The thing of each certificate.
    devices: HashMap<Vec<u8>, String>,
    sessions: HashMap<String, Session>,
    seats: HashMap<String, Seat>,
}

/// What all connections share.
struct Hub {
    plain: Arc<ServerConfig>,
    alpn: Arc<ServerConfig>,
    journal: Journal<Event>,
    switches: watch::Sender<Switches>,
    numbers: AtomicU64,
    state: Mutex<State>,
}

impl Hub {
    fn tls(&self, way: Way) -> &Arc<ServerConfig> {
        match way {
            Way::Plain => &self.plain,
            Way::Alpn => &self.alpn,
        }
    }

    fn thing_of(&self, certificate: &CertificateDer<'_>) -> Option<String> {
        self.state().devices.get(certificate.as_ref()).cloned()
    }

    /// Seats a device and throws out whoever sat there. Gives the seat's number and whether there was a session.
    fn enter(
        &self,
        thing: &str,
        connect: &Connect,
        commands: mpsc::UnboundedSender<Command>,
    ) -> (u64, bool) {
        let mut state = self.state();
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let seat = Seat {
            number,
            persistent: connect.persistent,
            commands,
        };
        if let Some(first) = state.seats.insert(thing.to_owned(), seat) {
            // One that is over already needs no word.
            let _ = first.commands.send(Command::TakenOver);
            if !first.persistent {
                state.sessions.remove(thing);
            }
        }
        if connect.clean_start {
            state.sessions.remove(thing);
        }
        let present = state.sessions.contains_key(thing);
        state.sessions.entry(thing.to_owned()).or_default();
        (number, present)
    }

    fn leave(&self, thing: &str, number: u64) {
        let mut state = self.state();
        let ours = state.seats.get(thing).filter(|seat| seat.number == number);
        let Some(persistent) = ours.map(|seat| seat.persistent) else {
            return;
        };
        state.seats.remove(thing);
        if !persistent {
            state.sessions.remove(thing);
        }
    }

    fn session<T>(&self, thing: &str, act: impl FnOnce(&mut Session) -> T) -> T {
        act(self.state().sessions.entry(thing.to_owned()).or_default())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A broker, running or stopped. Dropping it ends every connection.
pub struct Broker {
    hub: Arc<Hub>,
    authority: Authority,
    folder: Folder,
    port: u16,
    alpn_port: u16,
    /// Both ports, while it is stopped too.
    held: Vec<HeldPort>,
    running: Option<Running>,
}

struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Broker {
    /// Starts one on two free ports of the loopback.
    ///
    /// # Errors
    /// When no certificate can be made or no port is free.
    pub fn start() -> io::Result<Self> {
        Self::start_on(0)
    }

    /// The same with this port for ALPN, such as 443, which is root's.
    ///
    /// # Errors
    /// As [`start`](Self::start); `PermissionDenied` or `AddrInUse` when the port cannot be had.
    pub fn start_on(alpn_port: u16) -> io::Result<Self> {
        let authority = Authority::new()?;
        let hub = Arc::new(Hub {
            plain: authority.mutual_server_config(None)?,
            alpn: authority.mutual_server_config(Some(ALPN))?,
            journal: Journal::default(),
            switches: watch::Sender::default(),
            numbers: AtomicU64::new(1),
            state: Mutex::default(),
        });
        let mut broker = Self {
            hub,
            authority,
            folder: Folder::new("cell-broker")?,
            port: 0,
            alpn_port,
            held: Vec::new(),
            running: None,
        };
        broker.start_again()?;
        Ok(broker)
    }

    /// Starts it again, on the same ports, with its sessions.
    ///
    /// # Errors
    /// When it runs, or somebody else has a port.
    pub fn start_again(&mut self) -> io::Result<()> {
        if self.running.is_some() {
            return Err(io::Error::other("the broker runs already"));
        }
        let (plain, alpn) = (listen(self.port)?, listen(self.alpn_port)?);
        self.port = plain.local_addr()?.port();
        self.alpn_port = alpn.local_addr()?.port();
        if self.held.is_empty() {
            self.held.push(HeldPort::new(plain.local_addr()?)?);
            self.held.push(HeldPort::new(alpn.local_addr()?)?);
        }
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(run(Arc::clone(&self.hub), plain, alpn, stopped));
        self.running = Some(Running { stop, task });
        Ok(())
    }

    /// Stops listening and ends every connection without a word. Sessions that are to stay, stay.
    pub async fn stop(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        let _ = running.stop.send(());
        let _ = running.task.await;
        let seats: Vec<(String, u64)> = {
            let state = self.hub.state();
            state
                .seats
                .iter()
                .map(|(thing, seat)| (thing.clone(), seat.number))
                .collect()
        };
        for (thing, number) in seats {
            self.hub.leave(&thing, number);
            self.hub.journal.record(Event::Disconnected {
                thing,
                ending: Ending::Killed,
            });
        }
    }

    /// [`stop`](Self::stop) and [`start_again`](Self::start_again).
    ///
    /// # Errors
    /// When somebody else has taken a port.
    pub async fn restart(&mut self) -> io::Result<()> {
        self.stop().await;
        self.start_again()
    }

    /// The port of mutual TLS, as 8883 of AWS IoT.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port that demands the ALPN name as well, as 443 of AWS IoT.
    pub fn alpn_port(&self) -> u16 {
        self.alpn_port
    }

    /// Its authority, for wrong certificates.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Makes a thing with a certificate and writes its files.
    ///
    /// # Errors
    /// When no key can be made or a file cannot be written.
    pub fn device(&self, thing: &str) -> io::Result<DeviceFiles> {
        let identity: Identity = self.authority.device(thing)?;
        let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes())
            .map_err(io::Error::other)?;
        self.hub
            .state()
            .devices
            .insert(certificate.to_vec(), thing.to_owned());
        DeviceFiles::write(
            self.folder.path(),
            thing,
            &self.authority.ca_pem(),
            &identity,
        )
    }

    /// Publishes with QoS 1 to every session that is subscribed, there or away; not retained. Tells how many took it.
    ///
    /// # Errors
    /// When the payload is larger than AWS IoT takes.
    pub fn publish(&self, topic: &str, payload: &[u8]) -> io::Result<usize> {
        if payload.len() > MAX_PAYLOAD {
            return Err(io::Error::other(format!(
                "a payload of {} bytes; AWS IoT takes {MAX_PAYLOAD}",
                payload.len()
            )));
        }
        let message = Message {
            topic: topic.to_owned(),
            payload: Bytes::copy_from_slice(payload),
        };
        let mut state = self.hub.state();
        let mut took = 0;
        let State {
            sessions, seats, ..
        } = &mut *state;
        for (thing, session) in sessions {
            took += usize::from(session.offer(&message));
            if let Some(seat) = seats.get(thing) {
                let _ = seat.commands.send(Command::Deliver);
            }
        }
        Ok(took)
    }

    /// Publishes a notification to a thing. See [`crate::notification::payload`].
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    pub fn notify(&self, thing: &str, payload: &[u8]) -> io::Result<usize> {
        self.publish(&crate::notification::topic(thing), payload)
    }

    /// Turns switches: `broker.switch(|s| s.no_pingresp = true)`.
    pub fn switch(&self, turn: impl FnOnce(&mut Switches)) {
        self.hub.switches.send_modify(turn);
    }

    /// Ends the connection of a thing by a RST.
    ///
    /// # Errors
    /// When it is not connected.
    pub fn kill(&self, thing: &str) -> Result<(), NotConnected> {
        self.command(thing, Command::Kill)
    }

    /// Sends DISCONNECT with a reason code and ends the connection; MQTT 3.1.1 gets the end alone.
    ///
    /// # Errors
    /// When it is not connected.
    pub fn disconnect(&self, thing: &str, reason: u8) -> Result<(), NotConnected> {
        self.command(thing, Command::Disconnect(reason))
    }

    /// Sends all that was not acknowledged once more, with DUP.
    ///
    /// # Errors
    /// When it is not connected.
    pub fn resend(&self, thing: &str) -> Result<(), NotConnected> {
        self.command(thing, Command::Resend)
    }

    /// Sends any bytes.
    ///
    /// # Errors
    /// When it is not connected.
    pub fn send_bytes(&self, thing: &str, bytes: &[u8]) -> Result<(), NotConnected> {
        self.command(thing, Command::Bytes(bytes.to_vec()))
    }

    /// Whether a thing is connected.
    pub fn is_connected(&self, thing: &str) -> bool {
        self.hub.state().seats.contains_key(thing)
    }

    /// Forgets every session, as after a week without the device.
    pub fn forget_sessions(&self) {
        let mut state = self.hub.state();
        let State {
            sessions, seats, ..
        } = &mut *state;
        sessions.retain(|thing, _| seats.contains_key(thing));
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

    /// Every violation so far, for the last line of a test.
    pub fn violations(&self) -> Vec<Event> {
        let events = self.events().into_iter().map(|entry| entry.what);
        events.filter(Event::is_violation).collect()
    }

    fn command(&self, thing: &str, command: Command) -> Result<(), NotConnected> {
        let state = self.hub.state();
        let seat = state.seats.get(thing);
        let seat = seat.ok_or_else(|| NotConnected(thing.to_owned()))?;
        seat.commands
            .send(command)
            .map_err(|_| NotConnected(thing.to_owned()))
    }
}

/// Accepts until it is told to stop, and then ends every connection.
async fn run(
    hub: Arc<Hub>,
    plain: TcpListener,
    alpn: TcpListener,
    mut stopped: oneshot::Receiver<()>,
) {
    let mut connections = JoinSet::new();
    loop {
        let (accepted, way) = tokio::select! {
            accepted = plain.accept() => (accepted, Way::Plain),
            accepted = alpn.accept() => (accepted, Way::Alpn),
            Some(_) = connections.join_next() => continue,
            _ = &mut stopped => break,
        };
        if let Ok((tcp, _)) = accepted {
            connections.spawn(connection::serve(Arc::clone(&hub), tcp, way));
        }
    }
    close(plain);
    close(alpn);
    connections.shutdown().await;
}

fn listen(port: u16) -> io::Result<TcpListener> {
    bound((Ipv4Addr::LOCALHOST, port).into())?.listen(64)
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.task.abort();
        }
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker")
            .field("port", &self.port)
            .field("alpn_port", &self.alpn_port)
            .finish_non_exhaustive()
    }
}
