//! What the system tells the agent by signals.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use tokio::signal::unix::{self, SignalKind};

/// A wish of the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// SIGTERM or SIGINT: stop in order.
    Stop,
    /// SIGHUP: read the configuration again.
    Reload,
}

/// The signals of the process.
pub struct Signals {
    term: unix::Signal,
    int: unix::Signal,
    hup: unix::Signal,
}

impl Signals {
    /// Takes the signals over from the system's defaults.
    ///
    /// # Errors
    /// What the system says.
    pub fn listen() -> io::Result<Signals> {
        Ok(Signals {
            term: unix::signal(SignalKind::terminate())?,
            int: unix::signal(SignalKind::interrupt())?,
            hup: unix::signal(SignalKind::hangup())?,
        })
    }

    /// The next wish.
    pub async fn next(&mut self) -> Wish {
        poll_fn(|cx| {
            if self.term.poll_recv(cx).is_ready() || self.int.poll_recv(cx).is_ready() {
                return Poll::Ready(Wish::Stop);
            }
            self.hup.poll_recv(cx).map(|_| Wish::Reload)
        })
        .await
    }
}
