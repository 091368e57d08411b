//! What a session should do, told as simply as it can be: lists that are searched from the front.
//!
//! Source of the rules: the protocol guides of AWS, V1 to V3.

use cellgate::limits::{DECLARED_MAX, SERVICE_ID_MAX, SERVICES_MAX};
use cellgate::protocol::ids::Version;
use cellgate::protocol::message::{Kind, Message};

/// One connection from its start on.
#[derive(Default, Debug, PartialEq)]
pub struct Life {
    /// What the source sent for it.
    pub bytes: Vec<u8>,
    pub open: bool,
    pub over: bool,
}

/// A reset that a message or an event must lead to: kind, stream, service, connection.
pub type Reset = (i32, i32, Vec<u8>, u32);

/// What a service has now.
struct Current {
    service: Vec<u8>,
    id: i32,
    /// The connection ID of its start.
    first: u32,
    /// Its source knows connection IDs.
    several: bool,
    /// Connection IDs, and which life each has.
    live: Vec<(u32, usize)>,
}

/// The session as it should be.
pub struct Model {
    version: Version,
    limit: usize,
    declared: Option<Vec<Vec<u8>>>,
    services: [Option<Current>; SERVICES_MAX],
    /// Services that were seen on this WebSocket: which stream of before it the source knows to be gone; none where it
    /// has started one since.
    seen: Vec<(Vec<u8>, Option<i32>)>,
    pub lives: Vec<Life>,
    pub resets: Vec<Reset>,
}

/// What came is not the protocol.
#[derive(Debug, PartialEq)]
pub struct Violation;

impl Model {
    pub fn new(version: Version, limit: usize) -> Model {
        Model {
            version,
            limit,
            declared: None,
            services: [const { None }; SERVICES_MAX],
            seen: Vec::new(),
            lives: Vec::new(),
            resets: Vec::new(),
        }
    }

    /// Another WebSocket, with nothing but the lives of before.
    pub fn reconnect(&mut self, version: Version) {
        self.end_all();
        self.version = version;
        self.declared = None;
        self.seen.clear();
    }

    pub fn message(&mut self, message: &Message) -> Result<(), Violation> {
        let Some(kind) = Kind::from_wire(message.kind) else {
            return Ok(());
        };
        match kind {
            Kind::Data => {
                if let Some((place, id)) = self.meant(message) {
                    let life = self.life(place, id);
                    self.lives[life].bytes.extend_from_slice(&message.payload);
                } else {
                    self.gone(message);
                }
            }
            Kind::StreamStart => return self.stream_start(message),
            Kind::ConnectionStart => return self.connection_start(message),
            Kind::StreamReset => {
                if let Some(place) = self.current(message) {
                    self.end(place);
                }
            }
            Kind::ConnectionReset => {
                if let Some((place, id)) = self.meant(message) {
                    self.end_one(place, id);
                } else {
                    self.gone(message);
                }
            }
            Kind::SessionReset => self.end_all(),
            Kind::ServiceIds => {
                let ids = message.available_service_ids.iter().take(2 * DECLARED_MAX);
                let good = ids.filter(|id| !id.is_empty() && is_service(id));
                self.declared = Some(good.take(DECLARED_MAX).map(|id| id.to_vec()).collect());
            }
        }
        Ok(())
    }

    fn stream_start(&mut self, message: &Message) -> Result<(), Violation> {
        if message.stream_id == 0 {
            return Ok(());
        }
        let service = self.service(message)?;
        if !self.is_declared(&service) {
            return Ok(());
        }
        self.see(&service, None);
        let several =
            self.version == Version::V3 && !service.is_empty() && message.connection_id != 0;
        let connection = if several { message.connection_id } else { 1 };
        let taken = |slot: &Option<Current>| slot.as_ref().is_some_and(|c| c.service == service);
        if let Some(old) = self.services.iter().position(taken) {
            self.end(old);
        }
        // A free place, or else that of a stream without connections.
        let free = self.services.iter().position(Option::is_none);
        let idle = |slot: &Option<Current>| slot.as_ref().is_some_and(|c| c.live.is_empty());
        let place = free.or_else(|| self.services.iter().position(idle));
        let full = self.live() >= self.limit;
        if let Some(place) = place {
            self.services[place] = None;
        }
        let (Some(place), false) = (place, full) else {
            self.resets.push((3, message.stream_id, service, 0));
            return Ok(());
        };
        self.services[place] = Some(Current {
            service,
            id: message.stream_id,
            first: message.connection_id,
            several,
            live: Vec::new(),
        });
        self.begin(place, connection);
        Ok(())
    }

    fn connection_start(&mut self, message: &Message) -> Result<(), Violation> {
        if message.stream_id == 0 {
            return Ok(());
        }
        let service = self.service(message)?;
        if self.version != Version::V3 || message.connection_id == 0 || !self.is_declared(&service)
        {
            return Ok(());
        }
        let Some(place) = self.current(message) else {
            // Only the end of the stream makes the source start another.
            self.must_tell(&service, message.stream_id);
            self.resets.push((3, message.stream_id, service, 0));
            return Ok(());
        };
        let full = self.live() >= self.limit;
        let current = self.services[place].as_ref().expect("current");
        let known = current
            .live
            .iter()
            .any(|(id, _)| *id == message.connection_id);
        if !current.several || known || full {
            self.resets
                .push((7, message.stream_id, service, message.connection_id));
        } else {
            self.begin(place, message.connection_id);
        }
        Ok(())
    }

    /// What belongs to no live connection: of a stream of before, perhaps, and the source must hear once that it is gone.
    fn gone(&mut self, message: &Message) {
        let Ok(service) = self.service(message) else {
            return;
        };
        let stream = message.stream_id;
        if stream != 0 && self.is_declared(&service) && self.must_tell(&service, stream) {
            self.resets.push((3, stream, service, 0));
        }
    }

    fn must_tell(&mut self, service: &[u8], stream: i32) -> bool {
        match self.seen.iter().find(|(name, _)| name == service) {
            Some((_, None)) => false,
            Some((_, Some(told))) if *told == stream => false,
            Some(_) | None => self.see(service, Some(stream)),
        }
    }

    /// Tells whether there was a place for it.
    fn see(&mut self, service: &[u8], told: Option<i32>) -> bool {
        self.seen.retain(|(name, _)| name != service);
        let room = self.seen.len() <= DECLARED_MAX;
        if room {
            self.seen.push((service.to_vec(), told));
        }
        room
    }

    pub fn connected(&mut self, life: usize) {
        if self.owner(life).is_some() {
            self.lives[life].open = true;
        }
    }

    pub fn connect_failed(&mut self, life: usize) {
        let Some((place, id)) = self.owner(life) else {
            return;
        };
        let current = self.services[place].as_ref().expect("it owns one");
        let began_it = !current.several || current.first == id;
        let used = current.live.iter().any(|(_, life)| self.lives[*life].open);
        if began_it && !used {
            self.resets
                .push((3, current.id, current.service.clone(), 0));
            self.end(place);
        } else {
            self.target_closed(life);
        }
    }

    pub fn target_closed(&mut self, life: usize) {
        let Some((place, id)) = self.owner(life) else {
            return;
        };
        let current = self.services[place].as_ref().expect("it owns one");
        let (kind, connection) = if current.several { (7, id) } else { (3, 0) };
        self.resets
            .push((kind, current.id, current.service.clone(), connection));
        self.end_one(place, id);
    }

    pub fn stop(&mut self) {
        for place in 0..SERVICES_MAX {
            if let Some(current) = &self.services[place] {
                self.resets
                    .push((3, current.id, current.service.clone(), 0));
                self.end(place);
            }
        }
    }

    fn begin(&mut self, place: usize, connection: u32) {
        let life = self.lives.len();
        self.lives.push(Life::default());
        let current = self.services[place].as_mut().expect("there is a stream");
        current.live.push((connection, life));
    }

    fn end(&mut self, place: usize) {
        let current = self.services[place].take();
        for (_, life) in current.into_iter().flat_map(|current| current.live) {
            self.lives[life].over = true;
        }
    }

    fn end_one(&mut self, place: usize, connection: u32) {
        let life = self.life(place, connection);
        self.lives[life].over = true;
        let current = self.services[place].as_mut().expect("current");
        current.live.retain(|(id, _)| *id != connection);
        if !current.several {
            self.end(place);
        }
    }

    fn end_all(&mut self) {
        (0..SERVICES_MAX).for_each(|place| self.end(place));
    }

    /// The stream that a message means, if it is the current one of its service.
    fn current(&self, message: &Message) -> Option<usize> {
        let service: &[u8] = if self.version == Version::V1 {
            b""
        } else {
            &message.service_id
        };
        self.services.iter().position(|slot| {
            slot.as_ref()
                .is_some_and(|c| c.service == service && c.id == message.stream_id)
        })
    }

    /// The stream and the connection that a message means.
    fn meant(&self, message: &Message) -> Option<(usize, u32)> {
        let place = self.current(message)?;
        let current = self.services[place].as_ref()?;
        let id = match message.connection_id {
            0 => 1,
            id if current.several => id,
            id if id == 1 || id == current.first => 1,
            _ => return None,
        };
        current
            .live
            .iter()
            .any(|(live, _)| *live == id)
            .then_some((place, id))
    }

    fn life(&self, place: usize, connection: u32) -> usize {
        let live = &self.services[place].as_ref().expect("current").live;
        live.iter()
            .find(|(id, _)| *id == connection)
            .expect("live")
            .1
    }

    fn owner(&self, life: usize) -> Option<(usize, u32)> {
        (0..SERVICES_MAX).find_map(|place| {
            let live = &self.services[place].as_ref()?.live;
            live.iter()
                .find(|(_, index)| *index == life)
                .map(|(id, _)| (place, *id))
        })
    }

    pub fn live(&self) -> usize {
        self.services
            .iter()
            .flatten()
            .map(|current| current.live.len())
            .sum()
    }

    fn service(&self, message: &Message) -> Result<Vec<u8>, Violation> {
        match self.version {
            Version::V1 => Ok(Vec::new()),
            Version::V2 | Version::V3 if is_service(&message.service_id) => {
                Ok(message.service_id.to_vec())
            }
            Version::V2 | Version::V3 => Err(Violation),
        }
    }

    fn is_declared(&self, service: &[u8]) -> bool {
        let declared = self.declared.as_ref();
        service.is_empty() || declared.is_none_or(|ids| ids.iter().any(|id| id == service))
    }
}

fn is_service(id: &[u8]) -> bool {
    id.len() <= SERVICE_ID_MAX && std::str::from_utf8(id).is_ok()
}
