//! The streams and connections of a source.
//!
//! Responsible for: ids, and which message starts or ends what, in V1, V2 and V3. No IO.

use std::collections::BTreeMap;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::service::Protocol;
use crate::wire::{Kind, Message};

/// What goes to one local TCP connection. Dropping it means: write out what is queued, then FIN.
pub(super) type ToLocal = mpsc::Sender<Bytes>;

/// Names one connection of one stream. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ConnectionKey {
    service: usize,
    stream: i32,
    connection: u32,
}

#[derive(Debug, Default)]
struct Stream {
    /// 0 while there is none. Counts up.
    current: i32,
    newest: i32,
    highest_connection: u32,
    connections: BTreeMap<u32, ToLocal>,
}

/// All streams of a source, by the place of the service in its options.
#[derive(Debug)]
pub(super) struct Streams {
    version: Protocol,
    services: Vec<String>,
    streams: Vec<Stream>,
}

impl Streams {
    pub(super) fn new(version: Protocol, services: Vec<String>) -> Self {
        let streams = services.iter().map(|_| Stream::default()).collect();
        Self {
            version,
            services,
            streams,
        }
    }

    /// A local TCP connection was accepted: the message that starts it. In V1 and V2 it replaces the one before.
    pub(super) fn accept(&mut self, service: usize, local: ToLocal) -> (ConnectionKey, Message) {
        let name = self.name(service);
        let stream = &mut self.streams[service];
        let multiplexed = self.version == Protocol::V3;
        let further = multiplexed && stream.current != 0;
        if !further {
            stream.newest += 1;
            stream.current = stream.newest;
            stream.highest_connection = 0;
            stream.connections.clear();
        }
        if multiplexed {
            stream.highest_connection += 1;
        }
        let connection = stream.highest_connection;
        stream.connections.insert(connection, local);
        let kind = if further {
            Kind::ConnectionStart
        } else {
            Kind::StreamStart
        };
        let key = ConnectionKey {
            service,
            stream: stream.current,
            connection,
        };
        (key, Message::new(kind, key.stream, &name, connection))
    }

    /// Bytes of a local connection, if it is still part of a stream.
    pub(super) fn data(&self, key: ConnectionKey, payload: Bytes) -> Option<Message> {
        self.is_live(key)
            .then(|| Message::data(key.stream, &self.name(key.service), key.connection, payload))
    }

    /// A local connection ended: the message that says so, if the other side does not know already. V1 and V2 end
    /// the stream; in V3 the stream lives on, even without a connection.
    pub(super) fn local_ended(&mut self, key: ConnectionKey) -> Option<Message> {
        if !self.is_live(key) {
            return None;
        }
        let name = self.name(key.service);
        let stream = &mut self.streams[key.service];
        stream.connections.remove(&key.connection);
        if self.version == Protocol::V3 {
            return Some(Message::connection_reset(key.stream, &name, key.connection));
        }
        stream.current = 0;
        Some(Message::stream_reset(key.stream, &name))
    }

    /// A message came: where its bytes go, if anywhere. Stale ids are ignored.
    pub(super) fn receive(&mut self, message: &Message) -> Option<ToLocal> {
        match message.kind() {
            Ok(Kind::SessionReset) => {
                self.end_all();
                None
            }
            Ok(Kind::StreamReset) => {
                let stream = self.current(message)?;
                stream.current = 0;
                stream.connections.clear();
                None
            }
            Ok(Kind::ConnectionReset) => {
                let stream = self.current(message)?;
                stream.connections.remove(&message.connection_id);
                None
            }
            Ok(Kind::Data) => {
                let stream = self.current(message)?;
                stream.connections.get(&message.connection_id).cloned()
            }
            Ok(Kind::StreamStart | Kind::ConnectionStart | Kind::ServiceIds | Kind::Unknown)
            | Err(_) => None,
        }
    }

    /// Every stream is over: the WebSocket was lost, or the service said so.
    pub(super) fn end_all(&mut self) {
        for stream in &mut self.streams {
            stream.current = 0;
            stream.connections.clear();
        }
    }

    fn current(&mut self, message: &Message) -> Option<&mut Stream> {
        let service = match self.version {
            Protocol::V1 => 0,
            Protocol::V2 | Protocol::V3 => self
                .services
                .iter()
                .position(|name| *name == message.service_id)?,
        };
        let stream = self.streams.get_mut(service)?;
        (stream.current != 0 && stream.current == message.stream_id).then_some(stream)
    }

    fn is_live(&self, key: ConnectionKey) -> bool {
        let stream = &self.streams[key.service];
        stream.current == key.stream && stream.connections.contains_key(&key.connection)
    }

    fn name(&self, service: usize) -> String {
        match self.version {
            Protocol::V1 => String::new(),
            Protocol::V2 | Protocol::V3 => self.services[service].clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streams(version: Protocol) -> Streams {
        Streams::new(version, vec!["robot1".to_owned(), "robot2".to_owned()])
    }

    fn local() -> ToLocal {
        mpsc::channel(1).0
    }

    #[test]
    fn v3_starts_a_stream_and_then_connections() {
        let mut streams = streams(Protocol::V3);
        let (first, start) = streams.accept(0, local());
        assert_eq!(start, Message::stream_start(1, "robot1", 1));
        let (second, start) = streams.accept(0, local());
        assert_eq!(start, Message::connection_start(1, "robot1", 2));
        assert_eq!(
            streams.local_ended(first),
            Some(Message::connection_reset(1, "robot1", 1))
        );
        assert_eq!(
            streams.local_ended(second),
            Some(Message::connection_reset(1, "robot1", 2))
        );
        // The stream outlives its connections, until it is reset.
        let (third, start) = streams.accept(0, local());
        assert_eq!(start, Message::connection_start(1, "robot1", 3));
        streams.receive(&Message::stream_reset(1, "robot1"));
        assert_eq!(streams.local_ended(third), None);
        assert_eq!(
            streams.accept(0, local()).1,
            Message::stream_start(2, "robot1", 1)
        );
    }

    #[test]
    fn v2_has_one_connection_and_v1_no_names() {
        let mut streams = streams(Protocol::V2);
        let (first, start) = streams.accept(1, local());
        assert_eq!(start, Message::stream_start(1, "robot2", 0));
        let (second, start) = streams.accept(1, local());
        assert_eq!(start, Message::stream_start(2, "robot2", 0));
        assert_eq!(streams.local_ended(first), None);
        assert_eq!(
            streams.local_ended(second),
            Some(Message::stream_reset(2, "robot2"))
        );

        let mut streams = Streams::new(Protocol::V1, vec!["robot1".to_owned()]);
        let (first, start) = streams.accept(0, local());
        assert_eq!(start, Message::stream_start(1, "", 0));
        assert!(streams.receive(&Message::data(1, "", 0, "x")).is_some());
        assert_eq!(
            streams.local_ended(first),
            Some(Message::stream_reset(1, ""))
        );
    }

    #[test]
    fn stale_messages_are_ignored() {
        let mut streams = streams(Protocol::V3);
        let (key, _) = streams.accept(0, local());
        for stale in [
            Message::data(9, "robot1", 1, "x"),
            Message::data(1, "robot2", 1, "x"),
            Message::data(1, "robot1", 9, "x"),
            Message::stream_reset(9, "robot1"),
            Message::connection_reset(1, "robot1", 9),
        ] {
            assert!(streams.receive(&stale).is_none());
        }
        assert!(streams.data(key, Bytes::from_static(b"x")).is_some());
        streams.receive(&Message::session_reset());
        assert!(streams.data(key, Bytes::from_static(b"x")).is_none());
    }
}
