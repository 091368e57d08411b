//! The table of a tunnel: service -> stream -> connection -> slot.
//!
//! A service has at most one current stream; a stream has connections; each live connection has a slot,
//! which is where the shell keeps its TCP socket. Slots are counted by generation, so that a late event
//! of a connection that is gone never reaches its successor in the same place.

use heapless::index_map::FnvIndexMap;

use super::ids::{ConnectionId, ServiceId, StreamId};
use super::message::Address;
use crate::limits::{CONNECTIONS_MAX, SERVICES_MAX};

/// The place of one live connection, with its generation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slot {
    index: u8,
    generation: u32,
}

impl Slot {
    /// The place, below [`CONNECTIONS_MAX`].
    pub fn index(self) -> usize {
        usize::from(self.index)
    }
}

/// What the source of a stream understands, as its STREAM_START told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Peer {
    /// No service ID, no connection ID.
    V1,
    /// A service ID, no connection ID: one connection a stream.
    V2,
    /// Both: several connections a stream.
    V3,
}

/// The current stream of a service.
pub struct Stream {
    /// The service; none for a V1 peer, of whom there can be one stream.
    pub service: Option<ServiceId>,
    /// The number the source gave it.
    pub id: StreamId,
    /// What the source understands.
    pub peer: Peer,
    /// The connection ID of its STREAM_START, as it came; 0 if none.
    pub first: u32,
}

/// The place of a stream in the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct StreamIndex(u8);

/// A live connection, as its slot knows it.
struct Place {
    stream: StreamIndex,
    connection: ConnectionId,
    open: bool,
    address: Address,
}

/// The streams and connections of one tunnel.
pub struct Streams {
    streams: [Option<Stream>; SERVICES_MAX],
    places: [Option<Place>; CONNECTIONS_MAX],
    generations: [u32; CONNECTIONS_MAX],
    by_id: FnvIndexMap<(StreamIndex, ConnectionId), Slot, CONNECTIONS_MAX>,
    limit: usize,
}

impl Default for Streams {
    fn default() -> Streams {
        Streams::limited(CONNECTIONS_MAX)
    }
}

impl Streams {
    /// A table that holds no more than `limit` connections, at most [`CONNECTIONS_MAX`].
    pub fn limited(limit: usize) -> Streams {
        Streams {
            limit,
            streams: [const { None }; SERVICES_MAX],
            places: [const { None }; CONNECTIONS_MAX],
            generations: [0; CONNECTIONS_MAX],
            by_id: FnvIndexMap::new(),
        }
    }

    /// The current stream of a service, by its name as it is on the wire; empty for a V1 peer.
    pub fn find(&self, service: &[u8]) -> Option<StreamIndex> {
        self.indices().find(|index| {
            self.stream(*index)
                .is_some_and(|stream| match &stream.service {
                    Some(name) => name.as_str().as_bytes() == service,
                    None => service.is_empty(),
                })
        })
    }

    /// Makes a stream current. A service that had one must have been [`end`](Self::end)ed. Nothing if
    /// [`SERVICES_MAX`] other services have connections; a stream without any gives its place.
    pub fn start(&mut self, stream: Stream) -> Option<StreamIndex> {
        let free = self
            .indices()
            .find(|index| self.stream(*index).is_none())
            .or_else(|| {
                self.indices()
                    .find(|index| self.slots(*index).next().is_none())
            })?;
        self.streams[usize::from(free.0)] = Some(stream);
        Some(free)
    }

    /// The stream in a place of the table.
    pub fn stream(&self, index: StreamIndex) -> Option<&Stream> {
        self.streams[usize::from(index.0)].as_ref()
    }

    /// Ends a stream whose connections were all [`close`](Self::close)d.
    pub fn end(&mut self, index: StreamIndex) {
        self.streams[usize::from(index.0)] = None;
    }

    /// All streams that are current.
    pub fn current(&self) -> impl Iterator<Item = StreamIndex> + '_ {
        self.indices().filter(|index| self.stream(*index).is_some())
    }

    fn indices(&self) -> impl Iterator<Item = StreamIndex> + use<> {
        (0u8..).take(SERVICES_MAX).map(StreamIndex)
    }

    /// Gives a connection a slot. Nothing if all places are taken, or the stream is gone.
    pub fn open(&mut self, index: StreamIndex, connection: ConnectionId) -> Option<Slot> {
        let stream = self.stream(index)?;
        let address = Address {
            stream: stream.id,
            service: stream.service.clone(),
            connection: (stream.peer == Peer::V3).then_some(connection),
        };
        let (place, free) = (0u8..)
            .zip(&self.places)
            .take(self.limit)
            .find(|(_, place)| place.is_none())?;
        debug_assert!(free.is_none());
        let slot = Slot {
            index: place,
            generation: self.generations[usize::from(place)],
        };
        self.by_id.insert((index, connection), slot).ok()?;
        self.places[slot.index()] = Some(Place {
            stream: index,
            connection,
            open: false,
            address,
        });
        Some(slot)
    }

    /// The live connection of a stream by its ID.
    pub fn slot(&self, index: StreamIndex, connection: ConnectionId) -> Option<Slot> {
        self.by_id.get(&(index, connection)).copied()
    }

    /// The live connections of a stream.
    pub fn slots(&self, index: StreamIndex) -> impl Iterator<Item = Slot> + '_ {
        self.by_id
            .iter()
            .filter(move |((stream, _), _)| *stream == index)
            .map(|(_, slot)| *slot)
    }

    /// Where a live connection's messages belong.
    pub fn address(&self, slot: Slot) -> Option<&Address> {
        self.place(slot).map(|place| &place.address)
    }

    /// The stream and ID of a live connection.
    pub fn owner(&self, slot: Slot) -> Option<(StreamIndex, ConnectionId)> {
        self.place(slot)
            .map(|place| (place.stream, place.connection))
    }

    /// Whether a live connection's target is connected.
    pub fn is_open(&self, slot: Slot) -> bool {
        self.place(slot).is_some_and(|place| place.open)
    }

    /// The target of a live connection is connected.
    pub fn set_open(&mut self, slot: Slot) {
        if self.place(slot).is_some()
            && let Some(place) = &mut self.places[slot.index()]
        {
            place.open = true;
        }
    }

    /// Takes a connection out of the table; from now on its slot means nothing. Tells whether it was there.
    pub fn close(&mut self, slot: Slot) -> bool {
        let Some((stream, connection)) = self.owner(slot) else {
            return false;
        };
        self.by_id.remove(&(stream, connection));
        self.places[slot.index()] = None;
        self.generations[slot.index()] = slot.generation.wrapping_add(1);
        true
    }

    fn place(&self, slot: Slot) -> Option<&Place> {
        if self.generations[slot.index()] != slot.generation {
            return None;
        }
        self.places[slot.index()].as_ref()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn stream(service: &str) -> Stream {
        Stream {
            service: ServiceId::new(service),
            id: StreamId::new(1).expect("not 0"),
            peer: Peer::V3,
            first: 1,
        }
    }

    fn connection(id: u32) -> ConnectionId {
        ConnectionId::new(id).expect("not 0")
    }

    #[test]
    fn a_late_event_never_reaches_the_successor() {
        let mut table = Streams::default();
        let ssh = table.start(stream("ssh")).expect("room");
        let old = table.open(ssh, connection(1)).expect("room");
        assert!(table.close(old));
        let new = table.open(ssh, connection(2)).expect("room");
        assert_eq!(old.index(), new.index(), "the place is used again");
        assert!(table.address(old).is_none() && !table.close(old));
        table.set_open(old);
        assert!(!table.is_open(new));
        assert!(table.close(new));
    }

    #[test]
    fn every_slot_can_be_taken_and_no_more() {
        let mut table = Streams::default();
        let ssh = table.start(stream("ssh")).expect("room");
        let last = u32::try_from(CONNECTIONS_MAX).expect("small");
        let slots: Vec<Slot> = (1..=last)
            .map(|id| table.open(ssh, connection(id)).expect("room"))
            .collect();
        assert!(table.open(ssh, connection(last + 1)).is_none());
        assert_eq!(table.slots(ssh).count(), CONNECTIONS_MAX);
        for slot in slots {
            assert!(table.close(slot));
        }
        assert_eq!(table.slots(ssh).count(), 0);
        assert!(table.open(ssh, connection(last + 1)).is_some());
    }

    #[test]
    fn a_stream_without_connections_gives_its_place() {
        let mut table = Streams::default();
        for n in 0..SERVICES_MAX {
            let index = table.start(stream(&format!("s{n}"))).expect("room");
            table.open(index, connection(1)).expect("room");
        }
        assert!(table.start(stream("one-more")).is_none());
        let first = table.find(b"s0").expect("current");
        let slot = table.slot(first, connection(1)).expect("live");
        table.close(slot);
        assert!(table.start(stream("one-more")).is_some());
        assert!(table.find(b"s0").is_none());
    }

    /// What may happen to a table.
    #[derive(Clone, Debug)]
    enum Step {
        /// The source starts a stream for a service, with its first connection.
        Start { service: u8, first: u32 },
        /// The source starts a connection in the service's stream.
        Open { service: u8, connection: u32 },
        /// A connection ends; `late` says the same once more afterwards.
        Close { pick: usize, late: bool },
    }

    fn step() -> impl Strategy<Value = Step> {
        let services = 0..u8::try_from(SERVICES_MAX + 2).expect("small");
        prop_oneof![
            1 => (services.clone(), 1u32..4).prop_map(|(service, first)| Step::Start { service, first }),
            8 => (services, 1u32..40).prop_map(|(service, connection)| Step::Open { service, connection }),
            4 => (any::<usize>(), any::<bool>()).prop_map(|(pick, late)| Step::Close { pick, late }),
        ]
    }

    fn end_service(table: &mut Streams, name: &str) {
        if let Some(index) = table.find(name.as_bytes()) {
            let slots: Vec<Slot> = table.slots(index).collect();
            assert!(slots.into_iter().all(|slot| table.close(slot)));
            table.end(index);
        }
    }

    proptest! {
        /// The table against a map from service and connection to slot.
        #[test]
        fn the_table_is_a_map_with_bounds(steps in prop::collection::vec(step(), 1..200)) {
            let mut table = Streams::default();
            let mut model: HashMap<(String, u32), Slot> = HashMap::new();
            let mut gone: Vec<Slot> = Vec::new();
            for step in steps {
                match step {
                    Step::Start { service, first } => {
                        let name = format!("s{service}");
                        end_service(&mut table, &name);
                        gone.extend(model.extract_if(|(owner, _), _| *owner == name).map(|(_, slot)| slot));
                        let busy = model.keys().map(|(owner, _)| owner).collect::<std::collections::HashSet<_>>();
                        let started = table.start(stream(&name));
                        prop_assert_eq!(started.is_some(), busy.len() < SERVICES_MAX);
                        if let Some(slot) = started.and_then(|index| table.open(index, connection(first))) {
                            model.insert((name, first), slot);
                        }
                    }
                    Step::Open { service, connection: id } => {
                        let name = format!("s{service}");
                        let Some(index) = table.find(name.as_bytes()) else { continue };
                        if table.slot(index, connection(id)).is_some() {
                            prop_assert!(model.contains_key(&(name, id)));
                            continue;
                        }
                        let opened = table.open(index, connection(id));
                        prop_assert_eq!(opened.is_some(), model.len() < CONNECTIONS_MAX);
                        if let Some(slot) = opened {
                            prop_assert!(!gone.contains(&slot), "a slot that is gone never comes back");
                            model.insert((name, id), slot);
                        }
                    }
                    Step::Close { pick, late } => {
                        let Some(key) = model.keys().nth(pick.checked_rem(model.len()).unwrap_or(0)).cloned() else {
                            continue;
                        };
                        let slot = model.remove(&key).expect("picked from it");
                        prop_assert!(table.close(slot));
                        prop_assert!(!late || !table.close(slot));
                        gone.push(slot);
                    }
                }
                let mut places: Vec<usize> = model.values().map(|slot| slot.index()).collect();
                places.sort_unstable();
                places.dedup();
                prop_assert_eq!(places.len(), model.len(), "two connections never share a place");
                for ((name, id), slot) in &model {
                    let index = table.find(name.as_bytes()).expect("it has connections");
                    prop_assert_eq!(table.slot(index, connection(*id)), Some(*slot));
                    let address = table.address(*slot).expect("live");
                    prop_assert_eq!(address.connection, Some(connection(*id)));
                    prop_assert_eq!(address.service.as_ref().map(ServiceId::as_str), Some(name.as_str()));
                }
                prop_assert!(gone.iter().all(|slot| table.address(*slot).is_none()));
            }
        }
    }
}
