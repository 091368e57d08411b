//! The session of a device: what it subscribed to, what waits for it, and what it has not acknowledged.

use std::collections::VecDeque;

use bytes::Bytes;

/// A message to a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) topic: String,
    pub(super) payload: Bytes,
}

/// Outlives the connection if the device asked for that.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// The topic filter and the QoS granted.
    pub(super) subscription: Option<(String, u8)>,
    queue: VecDeque<Message>,
    unacknowledged: Vec<(u16, Message)>,
    last_id: u16,
}

impl Session {
    /// Takes a message, if the device is subscribed to its topic. Tells whether it is.
    pub(super) fn offer(&mut self, message: &Message) -> bool {
        let wanted = self
            .subscription
            .as_ref()
            .is_some_and(|(filter, _)| *filter == message.topic);
        if wanted {
            self.queue.push_back(message.clone());
        }
        wanted
    }

    /// The next message to send, and its packet id (QoS 1), if the device takes one more unacknowledged.
    pub(super) fn next(&mut self, receive_maximum: usize) -> Option<(Option<u16>, Message)> {
        if self.unacknowledged.len() >= receive_maximum {
            return None;
        }
        let message = self.queue.pop_front()?;
        if self.subscription.as_ref().is_some_and(|(_, qos)| *qos == 0) {
            return Some((None, message));
        }
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        self.unacknowledged.push((self.last_id, message.clone()));
        Some((Some(self.last_id), message))
    }

    /// What was sent and not acknowledged, oldest first.
    pub(super) fn unacknowledged(&self) -> Vec<(u16, Message)> {
        self.unacknowledged.clone()
    }

    /// Whether such a message was there.
    pub(super) fn acknowledge(&mut self, id: u16) -> bool {
        let before = self.unacknowledged.len();
        self.unacknowledged.retain(|(known, _)| *known != id);
        self.unacknowledged.len() < before
    }
}
