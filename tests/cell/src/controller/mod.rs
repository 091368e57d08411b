//! A simulated Kawasaki E controller, and nothing of the tunnel.
//!
//! It is responsible for: the telnet opening, the login, the AS monitor with its echo and prompt, LOAD and SAVE with
//! their block framing, the program memory, and the misbehaviour a gateway meets in the field. It keeps a record of
//! every connection, so that a test can compare what reached the robot with what the engineer sent.
//!
//! The rooms: [`Controller`] starts it and holds its switches; `terminal` is one person logged in; `monitor` holds
//! the commands; `transfer` holds LOAD and SAVE; `connection` is the only one that touches the socket.
//!
//! # How much of it is known
//!
//! Confirmed by the sources of two or more open clients: login and prompt, 8-bit text with echo, the framing of LOAD
//! and SAVE byte for byte, "SAVE/LOAD in progress" (P2076) that outlives a lost connection, two terminals at once.
//! Told by one source: the telnet opening, a second terminal named AUX2, E1145 for a taken channel, dropped
//! characters, a telnet NOP that shows up as "ñ". Guessed: the wording of E1145 and of all error messages but P2076,
//! what a wrong name gets, a LOAD that fails in the middle, the layout of ID, WHERE and DIRECTORY, bytes above 7F
//! inside blocks taken raw. Not like a real one: it keeps the file that LOAD brought, so that SAVE of the same name
//! gives it back byte for byte; it does not check the AS language.

pub(crate) mod block;
mod channel;
mod connection;
mod listener;
mod memory;
mod monitor;
mod record;
mod state;
mod switches;
mod tape;
pub(crate) mod telnet;
mod terminal;
mod transfer;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

pub use record::{ConnectionRecord, End};
pub use switches::{DropBeyond, Faults, Jam, Negotiation, Stall};
pub use tape::Tape;

use state::Shared;

/// What a controller is when it is switched on.
#[derive(Clone, Debug)]
pub struct ControllerOptions {
    /// The name in messages and in `ID`, such as `robot1`.
    pub name: String,
    /// How many people may be logged in at once; two are confirmed in the field, the true maximum is unknown.
    pub terminals: usize,
    /// What ends the hazard "SAVE/LOAD in progress" after a connection was lost in the middle of a transfer.
    pub jam: Jam,
    /// The misbehaviour of connections.
    pub faults: Faults,
    /// The size in bytes of what `SAVE/ROB` gives; about 70 KB on a real controller.
    pub robot_data: usize,
    /// The time between two pictures of the `WHERE 10` stream.
    pub where_interval: Duration,
    /// The kernel's receive buffer in bytes (the kernel doubles it); small ones make a slow controller felt early.
    /// None leaves the system's own.
    pub receive_buffer: Option<u32>,
}

impl Default for ControllerOptions {
    fn default() -> Self {
        Self {
            name: "robot1".into(),
            terminals: 2,
            jam: Jam::UntilReboot,
            faults: Faults::default(),
            robot_data: 70_000,
            where_interval: Duration::from_millis(100),
            receive_buffer: None,
        }
    }
}

/// A running controller on a loopback port. Dropping it ends the listener and every connection.
pub struct Controller {
    address: SocketAddr,
    shared: Arc<Shared>,
    orders: mpsc::Sender<listener::Order>,
    listener: JoinHandle<()>,
}

impl Controller {
    /// Switches a controller on, at a free port of 127.0.0.1.
    ///
    /// # Errors
    /// The system refuses the socket.
    pub async fn start(options: ControllerOptions) -> io::Result<Self> {
        let listener = listener::Listener::bind(options.receive_buffer)?;
        let address = listener.address();
        let shared = Arc::new(Shared::new(options));
        let (orders, incoming) = mpsc::channel(1);
        let listener = tokio::spawn(listener.run(Arc::clone(&shared), incoming));
        Ok(Self {
            address,
            shared,
            orders,
            listener,
        })
    }

    /// The name it was started with.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.options.name
    }

    /// Where it listens; the same for its whole life, also while it refuses.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Refuses new connections with ECONNREFUSED (`true`) or accepts them again. Open ones stay.
    ///
    /// # Errors
    /// The system refuses the socket, or the listener has ended.
    pub async fn refuse(&self, refuse: bool) -> io::Result<()> {
        let (done, answer) = oneshot::channel();
        let order = listener::Order { refuse, done };
        let ended = || io::Error::other("the controller's listener has ended");
        self.orders.send(order).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }

    /// Switches the controller off and on: connections are cut with RST, "SAVE/LOAD in progress" is gone, the program
    /// memory stays (it is battery-backed in a real one).
    pub fn reboot(&self) {
        self.shared.clear_jam();
        self.shared.hang_up(End::Rebooted);
    }

    /// Ends every open connection from the robot's side with FIN, after what was to be sent.
    pub fn hang_up(&self) {
        self.shared.hang_up(End::HungUp);
    }

    /// Whether LOAD and SAVE are refused now with P2076, because one runs or because one was cut off.
    #[must_use]
    pub fn in_progress(&self) -> bool {
        self.shared.in_progress()
    }

    /// Puts a program file into the memory, as LOAD of `name` would.
    pub fn put(&self, name: &str, text: &[u8]) {
        self.shared
            .lock()
            .memory
            .store(name, Bytes::copy_from_slice(text));
    }

    /// The program file that LOAD brought under `name`, byte for byte.
    #[must_use]
    pub fn program(&self, name: &str) -> Option<Bytes> {
        self.shared.lock().memory.file(name)
    }

    /// The names of the programs in memory, as `DIRECTORY` lists them.
    #[must_use]
    pub fn programs(&self) -> Vec<String> {
        self.shared.lock().memory.programs()
    }

    /// The records of all connections since the start, in the order of their acceptance.
    #[must_use]
    pub fn connections(&self) -> Vec<ConnectionRecord> {
        self.shared.records()
    }

    /// Waits until `done` holds for the records, and gives them.
    ///
    /// # Errors
    /// The records as they stood when `limit` had passed.
    pub async fn wait_for(
        &self,
        limit: Duration,
        done: impl FnMut(&[ConnectionRecord]) -> bool,
    ) -> Result<Vec<ConnectionRecord>, Vec<ConnectionRecord>> {
        self.shared.wait_for(limit, done).await
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        self.listener.abort();
    }
}
