//! The connection to the MQTT broker, on which AWS tells of tunnels.
//!
//! Is responsible for: being subscribed whenever there is a network, for taking notifications in and passing
//! them on, and for a reason in the log whenever it is not so. Knows nothing of tunnels: what it takes in goes
//! to whoever holds the other end of [`Setup::arrivals`].

pub mod board;

use std::rc::Rc;

use tokio::sync::mpsc;

use crate::config::Notify;
use crate::protocol::notification::Notification;
use board::Board;

/// What the connection needs.
pub struct Setup {
    /// The thing's name, which is the client ID too.
    pub thing: String,
    /// The broker, and who we are there.
    pub notify: Notify,
    /// Where notifications go. A message is acknowledged to the broker when its notification was taken here.
    pub arrivals: mpsc::Sender<Notification>,
    /// Told of everything that happens.
    pub board: Rc<Board>,
}

/// Takes notifications in for ever.
pub async fn run(setup: Setup) {
    setup.board.enter(board::State::Connecting, std::time::Instant::now());
    std::future::pending().await
}
