//! What the service remembers of a tunnel's streams.

use std::collections::{BTreeMap, BTreeSet};

use crate::wire::{Kind, Message, Violation};

/// The streams of one tunnel, by service; the service of a V1 source is the empty name.
#[derive(Debug, Default)]
pub(super) struct Streams {
    active: BTreeMap<String, i32>,
    started: BTreeSet<String>,
    /// Bytes that the service did not look at went to the destination: what was started is not known any more.
    unknown: bool,
}

impl Streams {
    /// Notes a message that keeps all other rules, on its way through the tunnel.
    ///
    /// # Errors
    /// When it belongs to a service that no stream was ever started for: the service disconnects such a client
    /// (V2 and V3 protocol guides, "End to end data transfer over the tunnel").
    pub(super) fn note(&mut self, message: &Message) -> Result<(), Violation> {
        match message.kind() {
            Ok(Kind::StreamStart) => {
                self.active
                    .insert(message.service_id.clone(), message.stream_id);
                self.started.insert(message.service_id.clone());
                return Ok(());
            }
            Ok(Kind::SessionReset) => {
                self.active.clear();
                return Ok(());
            }
            Ok(Kind::ServiceIds | Kind::Unknown) | Err(_) => return Ok(()),
            Ok(Kind::StreamReset) => {
                if self.active.get(&message.service_id) == Some(&message.stream_id) {
                    self.active.remove(&message.service_id);
                }
            }
            Ok(Kind::Data | Kind::ConnectionStart | Kind::ConnectionReset) => {}
        }
        if self.unknown || self.started.contains(&message.service_id) {
            Ok(())
        } else {
            Err(Violation::ServiceNotStarted(message.service_id.clone()))
        }
    }

    /// Notes that bytes went to the destination that nobody looked at.
    pub(super) fn lose_track(&mut self) {
        self.unknown = true;
    }

    /// Ends every stream, and gives the resets that say so.
    pub(super) fn reset_all(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.active)
            .into_iter()
            .map(|(service, stream)| Message::stream_reset(stream, &service))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_must_have_been_started_once() {
        let mut streams = Streams::default();
        let data = Message::data(1, "robot1", 1, "x");
        assert_eq!(
            streams.note(&data),
            Err(Violation::ServiceNotStarted("robot1".to_owned()))
        );
        streams
            .note(&Message::stream_start(1, "robot1", 1))
            .expect("a start");
        streams.note(&data).expect("started");
        streams
            .note(&Message::stream_reset(1, "robot1"))
            .expect("started");
        streams
            .note(&data)
            .expect("a stream that was active before");
        // A V1 source named no service; nor may the answers.
        let mut streams = Streams::default();
        streams
            .note(&Message::stream_start(1, "", 0))
            .expect("a start");
        streams
            .note(&Message::data(1, "", 0, "x"))
            .expect("started");
        assert!(streams.note(&data).is_err());
    }

    #[test]
    fn only_active_streams_are_reset() {
        let mut streams = Streams::default();
        for (stream, service) in [(1, "robot1"), (2, "robot2"), (3, "robot2")] {
            streams
                .note(&Message::stream_start(stream, service, 1))
                .expect("a start");
        }
        streams
            .note(&Message::stream_reset(2, "robot2"))
            .expect("stale, but allowed");
        streams
            .note(&Message::stream_reset(1, "robot1"))
            .expect("started");
        assert_eq!(streams.reset_all(), [Message::stream_reset(3, "robot2")]);
        assert!(streams.reset_all().is_empty());
    }
}
