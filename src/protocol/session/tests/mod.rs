//! Each row of the protocol, on the session alone: no socket, no clock.

mod earlier;
mod ends;
mod starts;
mod streams;

// Not the bounded one of the session.
use std::vec::Vec;

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message as _;

use super::*;

/// A message from the service; what a source of the version would leave out stays empty.
fn message(kind: i32, stream: i32, service: &str, connection: u32, payload: &[u8]) -> Message {
    Message {
        kind,
        stream_id: stream,
        service_id: Bytes::copy_from_slice(service.as_bytes()),
        connection_id: connection,
        payload: Bytes::copy_from_slice(payload),
        ..Message::default()
    }
}

fn data(stream: i32, service: &str, connection: u32, payload: &[u8]) -> Message {
    message(1, stream, service, connection, payload)
}

fn stream_start(stream: i32, service: &str, connection: u32) -> Message {
    message(2, stream, service, connection, b"")
}

fn stream_reset(stream: i32, service: &str) -> Message {
    message(3, stream, service, 0, b"")
}

fn session_reset() -> Message {
    message(4, 0, "", 0, b"")
}

fn service_ids(services: &[&str]) -> Message {
    Message {
        kind: 5,
        available_service_ids: services
            .iter()
            .map(|service| Bytes::copy_from_slice(service.as_bytes()))
            .collect(),
        ..Message::default()
    }
}

fn connection_start(stream: i32, service: &str, connection: u32) -> Message {
    message(6, stream, service, connection, b"")
}

fn connection_reset(stream: i32, service: &str, connection: u32) -> Message {
    message(7, stream, service, connection, b"")
}

fn framed(messages: &[Message]) -> Bytes {
    let mut bytes = BytesMut::new();
    for message in messages {
        bytes.put_u16(u16::try_from(message.encoded_len()).expect("fits a frame"));
        bytes.put_slice(&message.encode_to_vec());
    }
    bytes.freeze()
}

/// What a command says, in a form that is short to compare.
#[derive(Debug, PartialEq, Clone)]
enum Said {
    Declared,
    Connect(usize),
    Deliver(usize, Vec<u8>),
    Finish(usize, Ending),
    StreamReset(i32, &'static str, u32),
    ConnectionReset(i32, &'static str, u32),
    Note,
}

fn said(command: &Command) -> Said {
    match command {
        Command::Declared => Said::Declared,
        Command::Connect(slot) => Said::Connect(slot.index()),
        Command::Deliver(slot, bytes) => Said::Deliver(slot.index(), bytes.to_vec()),
        Command::Finish(slot, why) => Said::Finish(slot.index(), *why),
        Command::Note(_) => Said::Note,
        Command::Send(frame) => {
            let message = Message::decode(&frame[2..]).expect("our own message parses");
            let service = match message.service_id.as_ref() {
                b"" => "",
                b"ssh" => "ssh",
                b"web" => "web",
                other => panic!("a service nobody named: {other:?}"),
            };
            let ids = (message.stream_id, service, message.connection_id);
            match message.kind {
                3 => Said::StreamReset(ids.0, ids.1, ids.2),
                7 => Said::ConnectionReset(ids.0, ids.1, ids.2),
                other => panic!("a destination never sends kind {other}"),
            }
        }
    }
}

struct Bench {
    session: Session,
    /// The newest slot at each place.
    slots: Vec<Option<Slot>>,
}

impl Bench {
    fn new(version: Version) -> Bench {
        Bench {
            session: Session::new(version),
            slots: vec![None; CONNECTIONS_MAX],
        }
    }

    /// V3, with the services declared.
    fn v3() -> Bench {
        let mut bench = Bench::new(Version::V3);
        assert_eq!(
            bench.glued(&[service_ids(&["ssh", "web"])]),
            [Said::Declared]
        );
        bench
    }

    /// All messages in one WebSocket message.
    fn glued(&mut self, messages: &[Message]) -> Vec<Said> {
        self.session.handle_bytes(framed(messages));
        self.drain()
    }

    fn one(&mut self, message: Message) -> Vec<Said> {
        self.glued(&[message])
    }

    fn drain(&mut self) -> Vec<Said> {
        let mut all = Vec::new();
        while let Some(command) = self.session.poll_command().expect("the bytes parse") {
            if let Command::Connect(slot) = command {
                self.slots[slot.index()] = Some(slot);
            }
            all.push(said(&command));
        }
        all
    }

    fn slot(&self, index: usize) -> Slot {
        self.slots[index].expect("connected before")
    }

    fn connected(&mut self, index: usize) {
        let slot = self.slot(index);
        self.session.handle_connected(slot);
    }

    fn connect_failed(&mut self, index: usize) -> Vec<Said> {
        let slot = self.slot(index);
        self.session.handle_connect_failed(slot);
        self.drain()
    }

    fn target_closed(&mut self, index: usize) -> Vec<Said> {
        let slot = self.slot(index);
        self.session.handle_target_closed(slot);
        self.drain()
    }
}
