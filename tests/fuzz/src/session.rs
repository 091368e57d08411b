//! A session, the rings of its connections and the clock of its link, with a virtual clock and slow controllers, beside
//! a naive model.
//!
//! What must hold at each step: the connections and resets are those of the model; what a controller has is a beginning
//! of what the source sent for it, and all of it in the end unless it was cut; no slot ever means two connections; no
//! block of the pool is lost or made up, no share is passed; and nothing takes more memory than the limits allow.

mod shell;

use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use bytes::{BufMut, Bytes, BytesMut};
use cellgate::limits::{CONNECTIONS_MAX, PAYLOAD_MAX};
use cellgate::protocol::ids::Version;
use cellgate::protocol::message::Message;
use prost::Message as _;

use self::shell::Shell;

/// Steps of one input: enough to fill every place twice.
const STEPS: usize = 400;

/// Bytes of payload of one input, so that none takes long.
const PAYLOAD_OF_ALL: usize = 1 << 20;

#[derive(Arbitrary, Debug)]
enum Step {
    /// A message of the service that is well formed.
    Message(Sent),
    /// Several connections at once, to fill the places.
    Connections {
        stream: u8,
        service: u8,
        from: u8,
        count: u8,
    },
    /// What stands here, as bytes of the service.
    Bytes(Vec<u8>),
    /// From here on WebSocket messages have at most so many bytes.
    Cut(u16),
    Connected(u8),
    ConnectFailed(u8),
    TargetClosed(u8),
    /// A controller takes so many bytes.
    Takes(u8, u16),
    /// Time goes by, in tenths of a second.
    Time(u8),
    LinkLost(u8),
    Stop,
}

#[derive(Arbitrary, Debug)]
struct Sent {
    kind: u8,
    stream: i8,
    service: u8,
    connection: u8,
    length: u16,
    odd: u8,
}

/// The first bytes are the version, the places and the blocks of the pool; then come the steps.
pub fn run(input: &[u8]) {
    let mut input = Unstructured::new(input);
    let Ok((version, limit, blocks)) = input.arbitrary::<(u8, u8, u8)>() else {
        return;
    };
    let limit = 1 + usize::from(limit) % CONNECTIONS_MAX;
    let mut shell = Shell::new(version_of(version), limit, 1 + usize::from(blocks) % 32);
    let mut left = PAYLOAD_OF_ALL;
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        let Ok(step) = input.arbitrary::<Step>() else {
            break;
        };
        carry_out(&mut shell, step, &mut left);
        shell.check();
    }
    shell.end();
}

fn version_of(pick: u8) -> Version {
    // Most of the rules are those of V3.
    match pick % 4 {
        0 => Version::V1,
        1 => Version::V2,
        _ => Version::V3,
    }
}

fn carry_out(shell: &mut Shell, step: Step, left: &mut usize) {
    match step {
        Step::Message(sent) => shell.receive(&[message(&sent, left)]),
        Step::Connections {
            stream,
            service,
            from,
            count,
        } => {
            let start = |number: u8| Sent {
                kind: if number == 0 { 2 } else { 6 },
                stream: i8::from_le_bytes([stream % 4]),
                service,
                connection: from.wrapping_add(number),
                length: 0,
                odd: 0,
            };
            let starts: Vec<Message> = (0..count % 70)
                .map(|number| message(&start(number), left))
                .collect();
            shell.receive(&starts);
        }
        Step::Bytes(bytes) => shell.receive_bytes(&bytes),
        Step::Cut(cut) => shell.cut = 1 + usize::from(cut),
        Step::Connected(pick) => shell.connected(pick),
        Step::ConnectFailed(pick) => shell.connect_failed(pick),
        Step::TargetClosed(pick) => shell.target_closed(pick),
        Step::Takes(pick, count) => shell.takes(pick, usize::from(count)),
        Step::Time(tenths) => shell.pass(Duration::from_millis(100 * u64::from(tenths))),
        Step::LinkLost(version) => shell.link_lost(version_of(version)),
        Step::Stop => shell.stop(),
    }
}

fn message(sent: &Sent, left: &mut usize) -> Message {
    let kind = match sent.kind % 16 {
        0 => i32::from(sent.odd),
        1..=5 => 1,
        kind @ 6..=10 => i32::from(kind) - 4,
        11 | 12 => 6,
        13 => 7,
        _ => 2,
    };
    let length = match kind {
        1 => usize::from(sent.length).min(PAYLOAD_MAX).min(*left),
        _ => usize::from(sent.length % 4),
    };
    *left = left.saturating_sub(length);
    let many = if kind == 5 {
        usize::from(sent.length % 1024)
    } else {
        0
    };
    Message {
        kind,
        stream_id: i32::from(sent.stream % 6),
        ignorable: sent.odd & 1 == 1,
        payload: pattern(sent, length),
        service_id: service(sent.service, sent.odd),
        available_service_ids: (0..many)
            .map(|id| service(sent.service.wrapping_add(id as u8), 0))
            .collect(),
        connection_id: match sent.connection {
            255 => u32::MAX,
            id => u32::from(id % 100),
        },
        ..Message::default()
    }
}

/// Bytes that tell from which message they are.
fn pattern(sent: &Sent, length: usize) -> Bytes {
    let seed =
        u32::from(sent.connection) << 16 | u32::from(sent.service) << 8 | u32::from(sent.odd);
    (0u32..)
        .take(length)
        .map(|at| (at ^ seed).wrapping_mul(0x9e37_79b1).to_be_bytes()[0])
        .collect()
}

/// More names than there are places for services; some of them odd.
fn service(pick: u8, odd: u8) -> Bytes {
    match (pick, odd) {
        (_, 251) => Bytes::from(vec![b'x'; 129]),
        (_, 252) => Bytes::from_static(b"\xff\xfe"),
        (_, 253) => Bytes::from(vec![b'x'; 128]),
        _ if pick % 13 == 0 => Bytes::new(),
        _ => Bytes::from(format!("robot{}", pick % 13)),
    }
}

/// Messages as the service sends them, each with its length before it.
fn framed(messages: &[Message]) -> Bytes {
    let mut bytes = BytesMut::new();
    for message in messages {
        bytes.put_u16(u16::try_from(message.encoded_len()).expect("it fits a frame"));
        message.encode(&mut bytes).expect("there is room");
    }
    bytes.freeze()
}
