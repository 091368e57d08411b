//! What becomes of a message: a notification that is passed on, or one line in the log.

use std::rc::Rc;
use std::time::Instant;

use log::{debug, warn};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::board::Board;
use super::refusals::{Line, Refusals};
use crate::limits::{ARRIVAL_LIMIT, NOTIFICATION_MAX};
use crate::protocol::notification::Notification;
use crate::supervise::heartbeat::Pulse;

/// Characters of a topic that is not ours that are repeated.
const TOPIC_SHOWN: usize = 80;

/// Takes messages in, over all connections.
pub(super) struct Inbox {
    topic: String,
    arrivals: mpsc::Sender<Notification>,
    board: Rc<Board>,
    refusals: Refusals,
    pulse: Pulse,
}

impl Inbox {
    pub(super) fn new(
        topic: String,
        arrivals: mpsc::Sender<Notification>,
        board: Rc<Board>,
        pulse: Pulse,
    ) -> Inbox {
        Inbox {
            topic,
            arrivals,
            board,
            refusals: Refusals::new(),
            pulse,
        }
    }

    /// The topic of notifications.
    pub(super) fn topic(&self) -> &str {
        &self.topic
    }

    /// Takes a message in. Ends within [`ARRIVAL_LIMIT`]; then it may be acknowledged.
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
        if let Ok(Ok(place)) = timeout(ARRIVAL_LIMIT, self.arrivals.reserve()).await {
            debug!("mqtt: a notification came");
            place.send(notification);
            self.board.count_taken(Instant::now());
            return;
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
