//! What becomes of a message: a notification that is passed on, or one line in the log.

use std::rc::Rc;
use std::time::Instant;

use log::{debug, warn};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::board::Board;
use crate::limits::{ARRIVAL_LIMIT, NOTIFICATION_MAX, REFUSALS_MAX};
use crate::logging::flood::{Flood, Line};
use crate::protocol::notification::Notification;
use crate::supervise::heartbeat::Pulse;

/// Characters of a topic that is not ours that are repeated.
const TOPIC_SHOWN: usize = 80;

/// A notification on its way to whoever opens tunnels.
pub struct Told {
    /// What was told.
    pub notification: Notification,
    /// To be given when it was taken.
    pub receipt: Receipt,
}

/// What the broker waits for.
pub struct Receipt(oneshot::Sender<()>);

impl Receipt {
    /// It is in safe hands: what ends the agent now does not lose it, and the broker may forget it. One whose receipt
    /// is dropped comes again.
    pub fn give(self) {
        // Whoever waits for it may have given up.
        let _ = self.0.send(());
    }
}

/// Takes messages in, over all connections.
pub(super) struct Inbox {
    topic: String,
    arrivals: mpsc::Sender<Told>,
    board: Rc<Board>,
    refusals: Flood,
    pulse: Pulse,
}

impl Inbox {
    pub(super) fn new(
        topic: String,
        arrivals: mpsc::Sender<Told>,
        board: Rc<Board>,
        pulse: Pulse,
    ) -> Inbox {
        Inbox {
            topic,
            arrivals,
            board,
            refusals: Flood::new(REFUSALS_MAX),
            pulse,
        }
    }

    /// The topic of notifications.
    pub(super) fn topic(&self) -> &str {
        &self.topic
    }

    /// Takes a message in. Ends within [`ARRIVAL_LIMIT`], and then it may be acknowledged; or never, when nobody takes
    /// notifications any more.
    pub(super) async fn take(&mut self, topic: &str, payload: &[u8]) {
        if topic != self.topic {
            let shown: String = topic.chars().take(TOPIC_SHOWN).collect();
            return self.refuse(format_args!(
                "it came on the topic {shown:?}, to which nobody here subscribed; look into the broker"
            ));
        }
        let notification = match Notification::parse(payload) {
            Ok(notification) => notification,
            Err(error) => return self.refuse(format_args!("{error}")),
        };
        debug!("mqtt: a notification came");
        let (taken, is_taken) = oneshot::channel();
        let told = Told {
            notification,
            receipt: Receipt(taken),
        };
        let pass_on = async { self.arrivals.send(told).await.is_ok() && is_taken.await.is_ok() };
        match timeout(ARRIVAL_LIMIT, pass_on).await {
            Ok(true) => return self.board.count_taken(Instant::now()),
            // The agent stops. What is not acknowledged comes to the next one.
            Ok(false) => return std::future::pending().await,
            Err(_) => {}
        }
        self.refuse(format_args!(
            "the agent has taken none for {} s; rotate the tunnel's tokens when it is less busy",
            ARRIVAL_LIMIT.as_secs()
        ));
    }

    /// A message was passed over for its length.
    pub(super) fn passed_over(&mut self, bytes: usize) {
        self.refuse(format_args!(
            "it was passed over unread for its {bytes} bytes, expected at most {NOTIFICATION_MAX}; only AWS should \
             write it: look who else does"
        ));
    }

    /// Tells of refusals that had no line. To be called now and then.
    pub(super) fn turn(&mut self) {
        self.pulse.progress();
        if let Some(untold) = self.refusals.untold(Instant::now()) {
            warn!(
                "mqtt: {untold} more messages were refused in the last minutes; look who publishes on {}",
                self.topic
            );
        }
    }

    fn refuse(&mut self, why: std::fmt::Arguments<'_>) {
        self.turn();
        self.board.count_refused();
        match self.refusals.add(Instant::now()) {
            Line::Yes => warn!("mqtt: a message was refused: {why}"),
            Line::Last => {
                warn!(
                    "mqtt: a message was refused: {why} (further ones of this minute are counted)"
                );
            }
            Line::No => {}
        }
    }
}
