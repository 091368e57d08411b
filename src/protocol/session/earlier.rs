//! Streams that the source started before this WebSocket was up, to an agent that crashed since, say.
//!
//! Nobody here knows them, and the source, which may not have been told, would wait for their answers for ever.
//! What comes of one is answered by a reset, but not on the first WebSocket of a tunnel, before which there was
//! nothing: there it is dropped silently, as protocol.md wants of what is stale. Where a stream of the service was
//! started on this WebSocket there are no such streams any more: what is not of the current one is late, and of no
//! interest.

use heapless::Vec;

use super::{Command, Note, Session};
use crate::limits::DECLARED_MAX;
use crate::protocol::ids::{ServiceId, StreamId};
use crate::protocol::message::{Address, Message};

/// What the source can still believe in of a service.
enum Belief {
    /// It knows of this end.
    Told(StreamId),
    /// It has started a stream since.
    Renewed,
}

/// What was seen of each service on this WebSocket; one that is missing was not seen. With more services than the
/// table has places the others are as if renewed.
#[derive(Default)]
pub(super) struct Earlier {
    /// A service of none is that of a V1 source.
    services: Vec<(Option<ServiceId>, Belief), { DECLARED_MAX + 1 }>,
    /// There can be none.
    none: bool,
}

impl Earlier {
    /// For the first WebSocket of a tunnel.
    pub(super) fn none() -> Earlier {
        Earlier {
            none: true,
            ..Earlier::default()
        }
    }

    /// The source starts a stream of the service.
    pub(super) fn renew(&mut self, service: Option<&ServiceId>) {
        self.set(service, Belief::Renewed);
    }

    /// Whether the source must be told that this stream, which is not current, is gone. Once.
    pub(super) fn must_tell(&mut self, service: Option<&ServiceId>, stream: StreamId) -> bool {
        let known = self.services.iter().find(|(of, _)| of.as_ref() == service);
        match known {
            Some((_, Belief::Renewed)) => false,
            Some((_, Belief::Told(told))) if *told == stream => false,
            Some((_, Belief::Told(_))) | None => self.set(service, Belief::Told(stream)),
        }
    }

    /// Tells whether there was a place.
    fn set(&mut self, service: Option<&ServiceId>, belief: Belief) -> bool {
        if let Some((_, known)) = self
            .services
            .iter_mut()
            .find(|(of, _)| of.as_ref() == service)
        {
            *known = belief;
            return true;
        }
        self.services.push((service.cloned(), belief)).is_ok()
    }
}

impl Session {
    /// The source is told by other means that this stream, of before this WebSocket, is gone.
    pub fn handle_gone(&mut self, address: &Address) {
        self.earlier
            .must_tell(address.service.as_ref(), address.stream);
    }

    /// For what belongs to no live connection: late, or of a stream that only the source believes in.
    pub(super) fn tell_that_it_is_gone(&mut self, message: &Message) -> Option<Command> {
        let address = Address {
            stream: StreamId::new(message.stream_id)?,
            service: self.service_of(message).ok()?,
            connection: None,
        };
        let service = address.service.as_ref();
        if self.earlier.none
            || !self.is_declared(service)
            || !self.earlier.must_tell(service, address.stream)
        {
            return None;
        }
        self.push(Command::Note(Note::Earlier(address.clone())));
        Some(Command::Send(address.stream_reset()))
    }
}
