//! The session against a naive model: whatever a service and the controllers do, in whatever pieces it comes, each
//! connection gets exactly its own bytes in order, begins once and ends once.

use std::collections::HashMap;
use std::vec::Vec;

use bytes::{BufMut, Bytes, BytesMut};
use proptest::prelude::*;
use prost::Message as _;

use super::*;

/// Something that happens to a session.
#[derive(Clone, Debug)]
enum Step {
    /// A message of the service: kind, stream ID, service, connection ID, payload length.
    Message(i32, i32, u8, u32, usize),
    Connected(usize),
    ConnectFailed(usize),
    TargetClosed(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let message = |kind| {
        (Just(kind), 1..3, 0u8..3, 0u32..4, 1usize..20).prop_map(
            |(kind, stream, service, connection, length)| {
                Step::Message(kind, stream, service, connection, length)
            },
        )
    };
    prop_oneof![
        12 => message(1),
        4 => message(2),
        1 => message(3),
        1 => message(4),
        6 => message(6),
        2 => message(7),
        3 => any::<usize>().prop_map(Step::Connected),
        1 => any::<usize>().prop_map(Step::ConnectFailed),
        2 => any::<usize>().prop_map(Step::TargetClosed),
    ]
}

/// One connection from its start on.
#[derive(Clone, Debug, Default, PartialEq)]
struct Life {
    bytes: Vec<u8>,
    open: bool,
    over: bool,
}

/// What a service has now, in the model.
struct Current {
    id: i32,
    /// The connection ID of its start; 0 from a V2 source.
    first: u32,
    /// Connection ID to the index of its life.
    live: HashMap<u32, usize>,
}

#[derive(Default)]
struct Model {
    services: HashMap<u8, Current>,
    lives: Vec<Life>,
}

impl Model {
    fn begin(&mut self, service: u8, connection: u32) {
        let index = self.lives.len();
        self.lives.push(Life::default());
        if let Some(current) = self.services.get_mut(&service) {
            current.live.insert(connection, index);
        }
    }

    fn end(&mut self, service: u8) {
        let Some(current) = self.services.remove(&service) else {
            return;
        };
        for index in current.live.into_values() {
            self.lives[index].over = true;
        }
    }

    fn end_one(&mut self, service: u8, connection: u32) {
        let Some(current) = self.services.get_mut(&service) else {
            return;
        };
        if let Some(index) = current.live.remove(&connection) {
            self.lives[index].over = true;
            if current.first == 0 {
                self.end(service);
            }
        }
    }

    /// The connection that an ID in a message means.
    fn meant(&self, stream: i32, service: u8, connection: u32) -> Option<(u32, usize)> {
        let current = self.services.get(&service).filter(|c| c.id == stream)?;
        let id = match connection {
            0 => 1,
            id if current.first != 0 || id == 1 => id,
            _ => return None,
        };
        current.live.get(&id).map(|index| (id, *index))
    }

    fn message(&mut self, kind: i32, stream: i32, service: u8, connection: u32, payload: &[u8]) {
        let meant = self.meant(stream, service, connection);
        let current = self.services.get(&service).filter(|c| c.id == stream);
        match kind {
            1 => {
                if let Some((_, index)) = meant {
                    self.lives[index].bytes.extend_from_slice(payload);
                }
            }
            2 => {
                self.end(service);
                let started = Current {
                    id: stream,
                    first: connection,
                    live: HashMap::new(),
                };
                self.services.insert(service, started);
                self.begin(service, connection.max(1));
            }
            3 if current.is_some() => self.end(service),
            4 => (0..3).for_each(|service| self.end(service)),
            6 if connection != 0
                && current.is_some_and(|c| c.first != 0 && !c.live.contains_key(&connection)) =>
            {
                self.begin(service, connection);
            }
            7 => {
                if let Some((id, _)) = meant {
                    self.end_one(service, id);
                }
            }
            _ => {}
        }
    }

    fn connect_failed(&mut self, life: usize) {
        let Some((service, id)) = self.owner(life) else {
            return;
        };
        let current = &self.services[&service];
        let began_it = current.first == 0 || current.first == id;
        let used = current.live.values().any(|index| self.lives[*index].open);
        if began_it && !used {
            self.end(service);
        } else {
            self.end_one(service, id);
        }
    }

    fn owner(&self, life: usize) -> Option<(u8, u32)> {
        self.services.iter().find_map(|(service, current)| {
            let found = current.live.iter().find(|(_, index)| **index == life);
            found.map(|(id, _)| (*service, *id))
        })
    }
}

/// The session, and what it made of its connections.
struct Shell {
    session: Session,
    slots: Vec<Slot>,
    lives: Vec<Life>,
}

impl Shell {
    fn take(&mut self, command: Command) {
        let life =
            |slot: Slot, slots: &[Slot]| slots.iter().position(|s| *s == slot).expect("begun");
        match command {
            Command::Connect(slot) => {
                assert!(!self.slots.contains(&slot), "a slot begins once");
                self.slots.push(slot);
                self.lives.push(Life::default());
            }
            Command::Deliver(slot, bytes) => {
                let life = &mut self.lives[life(slot, &self.slots)];
                assert!(!life.over, "bytes after the end");
                life.bytes.extend_from_slice(&bytes);
            }
            Command::Finish(slot, _) => {
                let life = &mut self.lives[life(slot, &self.slots)];
                assert!(!life.over, "a connection ends once");
                life.over = true;
            }
            Command::Send(frame) => assert!(frame.len() <= 200, "resets are small"),
            Command::Declared | Command::Note(_) => {}
        }
    }

    /// Bytes of the service, cut into WebSocket messages of at most `cut`.
    fn receive(&mut self, bytes: &Bytes, cut: usize) {
        for piece in bytes.chunks(cut) {
            self.session.handle_bytes(Bytes::copy_from_slice(piece));
            while let Some(command) = self.session.poll_command().expect("it parses") {
                self.take(command);
            }
        }
    }

    fn answers(&mut self) {
        while let Some(command) = self.session.poll_answer() {
            self.take(command);
        }
    }
}

proptest! {
    #[test]
    fn each_connection_gets_its_own_bytes(
        steps in prop::collection::vec(step(), 1..150),
        cut in 1usize..60,
    ) {
        let mut model = Model::default();
        let mut shell = Shell {
            session: Session::new(Version::V3),
            slots: Vec::new(),
            lives: Vec::new(),
        };
        let mut next = (0..=u8::MAX).cycle();
        for step in steps {
            let picked = |pick: usize| pick.checked_rem(shell.slots.len());
            match step {
                Step::Message(kind, stream, service, connection, length) => {
                    let length = if kind == 1 { length } else { 0 };
                    let payload: Vec<u8> = next.by_ref().take(length).collect();
                    model.message(kind, stream, service, connection, &payload);
                    let message = Message {
                        kind,
                        stream_id: stream,
                        service_id: Bytes::from(format!("s{service}")),
                        connection_id: connection,
                        payload: payload.into(),
                        ..Message::default()
                    };
                    let mut bytes = BytesMut::new();
                    bytes.put_u16(u16::try_from(message.encoded_len()).expect("small"));
                    bytes.put_slice(&message.encode_to_vec());
                    shell.receive(&bytes.freeze(), cut);
                }
                Step::Connected(pick) => if let Some(life) = picked(pick) {
                    // A late word of a connection that is over changes nothing.
                    shell.session.handle_connected(shell.slots[life]);
                    if !model.lives[life].over {
                        model.lives[life].open = true;
                        shell.lives[life].open = true;
                    }
                },
                Step::ConnectFailed(pick) => if let Some(life) = picked(pick)
                    && !model.lives[life].open
                {
                    shell.session.handle_connect_failed(shell.slots[life]);
                    // The shell knows of this end; it is not told again.
                    shell.lives[life].over = true;
                    model.connect_failed(life);
                    shell.answers();
                },
                Step::TargetClosed(pick) => if let Some(life) = picked(pick) {
                    shell.session.handle_target_closed(shell.slots[life]);
                    shell.lives[life].over = true;
                    if let Some((service, id)) = model.owner(life) {
                        model.end_one(service, id);
                    }
                    shell.answers();
                },
            }
            prop_assert_eq!(&shell.lives, &model.lives);
        }
    }
}
