//! What a destination does with each message, for V1, V2 and V3 sources.
//!
//! Input: bytes of WebSocket messages ([`Session::handle_bytes`]) and what became of the TCP connections
//! (`handle_…`). Output: [`Command`]s ([`Session::poll_command`]), one at a time, so that the shell can stop
//! taking them while a controller is slow, and nothing piles up.

mod command;
mod earlier;
#[cfg(test)]
mod model;
mod note;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use heapless::{Deque, Vec};
use prost::Message as _;

pub use self::command::{Command, Ending};
use self::earlier::Earlier;
pub use self::note::{Note, Violation};
use super::frame::Assembler;
use super::ids::{ConnectionId, ServiceId, StreamId, Version};
use super::message::{Address, Kind, Message};
use super::streams::{Peer, Slot, Stream, StreamIndex, Streams};
use crate::limits::{CONNECTIONS_MAX, DECLARED_MAX, SERVICES_MAX};

/// The rules of one tunnel over one WebSocket.
pub struct Session {
    version: Version,
    /// The services of SERVICE_IDS; none until it came (a V1 service never sends it).
    declared: Option<Vec<ServiceId, DECLARED_MAX>>,
    streams: Streams,
    earlier: Earlier,
    assembler: Assembler,
    /// The rest of what one input asks for: a stream's connections to finish, and one thing more.
    queue: Deque<Command, { CONNECTIONS_MAX + SERVICES_MAX + 2 }>,
}

impl Session {
    /// For a WebSocket on which the service chose `version`.
    pub fn new(version: Version) -> Session {
        Session {
            version,
            declared: None,
            streams: Streams::default(),
            earlier: Earlier::default(),
            assembler: Assembler::default(),
            queue: Deque::new(),
        }
    }

    /// With at most `connections` at the same time, and never more than
    /// [`CONNECTIONS_MAX`].
    pub fn with_connections(mut self, connections: usize) -> Session {
        self.streams = Streams::limited(connections);
        self
    }

    /// On the first WebSocket of a tunnel nothing was started before it: what belongs to no stream is dropped silently.
    pub fn without_past(mut self) -> Session {
        self.earlier = Earlier::none();
        self
    }

    /// The services that the tunnel declares, once SERVICE_IDS came.
    pub fn declared(&self) -> Option<&[ServiceId]> {
        self.declared.as_deref()
    }

    /// Where a live connection belongs; nothing once it is over.
    pub fn address(&self, slot: Slot) -> Option<&Address> {
        self.streams.address(slot)
    }

    /// The bytes of one binary WebSocket message. Ask [`poll_command`](Self::poll_command) until it gives
    /// nothing before the next.
    pub fn handle_bytes(&mut self, message: Bytes) {
        self.assembler.push(message);
    }

    /// The next thing that an input other than bytes asked for. Unlike [`poll_command`](Self::poll_command)
    /// it looks at no more bytes, so that it can be asked while a controller is slow.
    pub fn poll_answer(&mut self) -> Option<Command> {
        self.queue.pop_front()
    }

    /// The next thing to do; nothing when the bytes so far are dealt with.
    pub fn poll_command(&mut self) -> Result<Option<Command>, Violation> {
        loop {
            if let Some(command) = self.queue.pop_front() {
                return Ok(Some(command));
            }
            let Some(frame) = self.assembler.next_frame() else {
                return Ok(None);
            };
            let length = frame.len();
            let message = Message::decode(frame)
                .map_err(|reason| Violation::Unparsable { length, reason })?;
            if let Some(command) = self.handle_message(message)? {
                return Ok(Some(command));
            }
        }
    }

    fn handle_message(&mut self, message: Message) -> Result<Option<Command>, Violation> {
        let Some(kind) = Kind::from_wire(message.kind) else {
            let note = Command::Note(Note::UnknownKind(message.kind));
            return Ok((!message.ignorable).then_some(note));
        };
        match kind {
            Kind::Data => Ok(self.data(message)),
            Kind::StreamStart => self.stream_start(&message),
            Kind::ConnectionStart => self.connection_start(&message),
            Kind::ConnectionReset => Ok(self.connection_reset(&message)),
            Kind::StreamReset => {
                if let Some(stream) = self.current(&message) {
                    self.end_stream(stream, Ending::SourceReset);
                }
                Ok(None)
            }
            Kind::SessionReset => {
                self.end_all(Ending::SessionReset);
                Ok(None)
            }
            Kind::ServiceIds => {
                let declared = self.service_ids(&message);
                self.push(declared);
                Ok(None)
            }
        }
    }

    fn data(&mut self, message: Message) -> Option<Command> {
        let Some(slot) = self.live(&message) else {
            return self.tell_that_it_is_gone(&message);
        };
        (!message.payload.is_empty()).then_some(Command::Deliver(slot, message.payload))
    }

    fn stream_start(&mut self, message: &Message) -> Result<Option<Command>, Violation> {
        let Some(id) = StreamId::new(message.stream_id) else {
            return Ok(Some(Command::Note(Note::StreamZero)));
        };
        let service = self.service_of(message)?;
        let connection = match self.version {
            Version::V3 => ConnectionId::new(message.connection_id),
            Version::V1 | Version::V2 => None,
        };
        let peer = match (&service, connection) {
            (None, _) => Peer::V1,
            (Some(_), None) => Peer::V2,
            (Some(_), Some(_)) => Peer::V3,
        };
        let address = Address {
            stream: id,
            service: service.clone(),
            connection: connection.filter(|_| peer == Peer::V3),
        };
        if !self.is_declared(service.as_ref()) {
            // Not even a reset: the service closes the WebSocket on an undeclared service ID.
            return Ok(Some(Command::Note(Note::Undeclared(address))));
        }
        self.earlier.renew(service.as_ref());
        let name = service.as_ref().map_or("", ServiceId::as_str);
        if let Some(old) = self.streams.find(name.as_bytes()) {
            self.end_stream(old, Ending::Replaced);
        }
        let started = self.streams.start(Stream {
            service,
            id,
            peer,
            first: message.connection_id,
        });
        let opened = started.and_then(|stream| {
            let slot = self
                .streams
                .open(stream, first_connection(peer, connection));
            if slot.is_none() {
                self.streams.end(stream);
            }
            slot
        });
        match opened {
            Some(slot) => self.push(Command::Connect(slot)),
            None => {
                self.push(Command::Send(address.stream_reset()));
                self.push(Command::Note(Note::TableFull(address)));
            }
        }
        Ok(None)
    }

    fn connection_start(&mut self, message: &Message) -> Result<Option<Command>, Violation> {
        let Some(stream_id) = StreamId::new(message.stream_id) else {
            return Ok(Some(Command::Note(Note::StreamZero)));
        };
        let service = self.service_of(message)?;
        let connection = ConnectionId::new(message.connection_id);
        let address = Address {
            stream: stream_id,
            service,
            connection,
        };
        let (Version::V3, Some(connection)) = (self.version, connection) else {
            return Ok(Some(Command::Note(Note::NotMultiplexed(address))));
        };
        if !self.is_declared(address.service.as_ref()) {
            return Ok(Some(Command::Note(Note::Undeclared(address))));
        }
        let refusal = match self.current(message) {
            None => {
                // What comes of the same stream behind this is answered by the same reset.
                self.earlier.must_tell(address.service.as_ref(), stream_id);
                Note::NoStream(address)
            }
            Some(stream)
                if self
                    .streams
                    .stream(stream)
                    .is_none_or(|s| s.peer != Peer::V3) =>
            {
                Note::NotMultiplexed(address)
            }
            Some(stream) if self.streams.slot(stream, connection).is_some() => {
                Note::ConnectionTaken(address)
            }
            Some(stream) => match self.streams.open(stream, connection) {
                Some(slot) => return Ok(Some(Command::Connect(slot))),
                None => Note::TableFull(address),
            },
        };
        // Whoever asks for a connection that there will not be must hear so, or its client waits for ever.
        let reset = match &refusal {
            // The source believes in a stream that is gone; only this makes it start another.
            Note::NoStream(at) => Some(at.stream_reset()),
            Note::NotMultiplexed(at) | Note::ConnectionTaken(at) | Note::TableFull(at) => {
                Some(at.connection_reset())
            }
            Note::StreamZero
            | Note::Undeclared(_)
            | Note::Earlier(_)
            | Note::TooManyServices(_)
            | Note::OddServiceId(_)
            | Note::UnknownKind(_) => None,
        };
        if let Some(reset) = reset {
            self.push(Command::Send(reset));
        }
        self.push(Command::Note(refusal));
        Ok(None)
    }

    fn connection_reset(&mut self, message: &Message) -> Option<Command> {
        let Some(slot) = self.live(message) else {
            return self.tell_that_it_is_gone(message);
        };
        let (stream, _) = self.streams.owner(slot)?;
        self.streams.close(slot);
        // A V1 or V2 stream is its connection; a V3 stream waits for the next.
        if self
            .streams
            .stream(stream)
            .is_some_and(|s| s.peer != Peer::V3)
        {
            self.streams.end(stream);
        }
        Some(Command::Finish(slot, Ending::SourceReset))
    }

    fn service_ids(&mut self, message: &Message) -> Command {
        let mut declared = Vec::new();
        for id in &message.available_service_ids {
            let Ok(Some(id)) = service_id(id) else {
                // Not worth the tunnel: the service would say the same again on the next WebSocket.
                self.push(Command::Note(Note::OddServiceId(id.len())));
                continue;
            };
            if declared.push(id).is_err() {
                let count = message.available_service_ids.len() + message.more_service_ids;
                self.push(Command::Note(Note::TooManyServices(count)));
                break;
            }
        }
        self.declared = Some(declared);
        Command::Declared
    }

    /// The target of a connection is connected.
    pub fn handle_connected(&mut self, slot: Slot) {
        self.streams.set_open(slot);
    }

    /// The target cannot be reached, or may not be: the source is told by a reset of the stream, or of
    /// the connection where the stream lives on without it.
    pub fn handle_connect_failed(&mut self, slot: Slot) {
        let Some((stream, connection)) = self.streams.owner(slot) else {
            return;
        };
        let lives_on = self.streams.stream(stream).is_some_and(|s| {
            let began_it = ConnectionId::new(s.first) == Some(connection);
            s.peer == Peer::V3 && !began_it
        }) || self
            .streams
            .slots(stream)
            .any(|other| self.streams.is_open(other));
        if lives_on {
            self.handle_target_closed(slot);
            return;
        }
        if let Some(address) = self.streams.address(slot) {
            let reset = address.stream_reset();
            self.streams.close(slot);
            self.end_stream(stream, Ending::StreamFailed);
            self.push(Command::Send(reset));
        }
    }

    /// A connection is over on the side of its target (or by our own decision), and every byte read from
    /// it was sent: the source is told.
    pub fn handle_target_closed(&mut self, slot: Slot) {
        let Some((stream, _)) = self.streams.owner(slot) else {
            return;
        };
        let Some(address) = self.streams.address(slot) else {
            return;
        };
        let multiplexed = self
            .streams
            .stream(stream)
            .is_some_and(|s| s.peer == Peer::V3);
        let reset = if multiplexed {
            address.connection_reset()
        } else {
            address.stream_reset()
        };
        self.streams.close(slot);
        if !multiplexed {
            self.streams.end(stream);
        }
        self.push(Command::Send(reset));
    }

    /// The agent stops: every stream is reset, every connection finished.
    pub fn handle_stop(&mut self) {
        let current: Vec<StreamIndex, SERVICES_MAX> = self.streams.current().collect();
        for index in current {
            if let Some(stream) = self.streams.stream(index) {
                let address = Address {
                    stream: stream.id,
                    service: stream.service.clone(),
                    connection: None,
                };
                self.end_stream(index, Ending::Stopping);
                self.push(Command::Send(address.stream_reset()));
            }
        }
    }

    /// The link is lost: every connection is finished, nobody is told.
    pub fn handle_link_lost(&mut self) {
        self.assembler = Assembler::default();
        self.end_all(Ending::LinkLost);
    }

    fn end_all(&mut self, why: Ending) {
        let current: Vec<StreamIndex, SERVICES_MAX> = self.streams.current().collect();
        for stream in current {
            self.end_stream(stream, why);
        }
    }

    fn end_stream(&mut self, stream: StreamIndex, why: Ending) {
        let slots: Vec<Slot, CONNECTIONS_MAX> = self.streams.slots(stream).collect();
        for slot in slots {
            self.streams.close(slot);
            self.push(Command::Finish(slot, why));
        }
        self.streams.end(stream);
    }

    /// The stream a message means, if it is the current one of its service.
    fn current(&self, message: &Message) -> Option<StreamIndex> {
        let service: &[u8] = match self.version {
            Version::V1 => &[],
            Version::V2 | Version::V3 => &message.service_id,
        };
        let index = self.streams.find(service)?;
        let stream = self.streams.stream(index)?;
        (stream.id.as_i32() == message.stream_id).then_some(index)
    }

    /// The live connection a message means.
    fn live(&self, message: &Message) -> Option<Slot> {
        let index = self.current(message)?;
        let stream = self.streams.stream(index)?;
        let connection = match (stream.peer, message.connection_id) {
            // The guides: a missing connection ID means 1.
            (_, 0) => ConnectionId::FIRST,
            (Peer::V3, id) => ConnectionId::new(id)?,
            // A source that started without an ID must not send another one now: what would belong to
            // a second connection must never reach the first.
            (Peer::V1 | Peer::V2, id) if id == 1 || id == stream.first => ConnectionId::FIRST,
            (Peer::V1 | Peer::V2, _) => return None,
        };
        self.streams.slot(index, connection)
    }

    fn service_of(&self, message: &Message) -> Result<Option<ServiceId>, Violation> {
        match self.version {
            // A V1 message has no such field; what a newer source put there means nothing to a V1 tunnel.
            Version::V1 => Ok(None),
            Version::V2 | Version::V3 => service_id(&message.service_id),
        }
    }

    fn is_declared(&self, service: Option<&ServiceId>) -> bool {
        match (&self.declared, service) {
            (Some(declared), Some(service)) => declared.contains(service),
            (None, _) | (_, None) => true,
        }
    }

    fn push(&mut self, command: Command) {
        // One input asks for at most a Finish for each connection, a reset for each stream, and two commands more.
        let fits = self.queue.push_back(command).is_ok();
        debug_assert!(fits, "an input asked for more than the queue holds");
    }
}

/// The slot of a stream's first connection: V1 and V2 have only this one.
fn first_connection(peer: Peer, connection: Option<ConnectionId>) -> ConnectionId {
    match (peer, connection) {
        (Peer::V3, Some(id)) => id,
        (Peer::V1 | Peer::V2, _) | (Peer::V3, None) => ConnectionId::FIRST,
    }
}

fn service_id(bytes: &Bytes) -> Result<Option<ServiceId>, Violation> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let length = bytes.len();
    let text = std::str::from_utf8(bytes).ok();
    let id = text.and_then(ServiceId::new);
    id.map(Some).ok_or(Violation::ServiceId { length })
}
