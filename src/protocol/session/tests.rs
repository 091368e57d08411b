//! Each row of the protocol, on the session alone: no socket, no clock.

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

// ---- SERVICE_IDS --------------------------------------------------------------------------------

#[test]
fn services_are_remembered_and_may_be_none() {
    let mut bench = Bench::new(Version::V3);
    assert!(bench.session.declared().is_none());
    bench.one(service_ids(&["ssh", "web"]));
    let names: Vec<&str> = bench
        .session
        .declared()
        .expect("declared")
        .iter()
        .map(ServiceId::as_str)
        .collect();
    assert_eq!(names, ["ssh", "web"]);
    bench.one(service_ids(&[]));
    assert_eq!(bench.session.declared().map(<[ServiceId]>::len), Some(0));
}

#[test]
fn more_services_than_the_table_holds_are_told() {
    let names: Vec<String> = (0..=DECLARED_MAX).map(|n| format!("s{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut bench = Bench::new(Version::V3);
    let all = bench.one(service_ids(&names));
    assert!(
        all.contains(&Said::Note) && all.contains(&Said::Declared),
        "{all:?}"
    );
}

#[test]
fn an_odd_service_id_costs_a_note_and_not_the_tunnel() {
    let mut bench = Bench::new(Version::V3);
    let long = "x".repeat(129);
    let many: Vec<&str> = std::iter::repeat_n("", 1000).collect();
    assert_eq!(
        bench.one(service_ids(&["", &long, "ssh"])),
        [Said::Note, Said::Note, Said::Declared]
    );
    assert_eq!(bench.session.declared().map(<[ServiceId]>::len), Some(1));
    assert!(bench.one(service_ids(&many)).contains(&Said::Declared));
}

// ---- STREAM_START -------------------------------------------------------------------------------

#[test]
fn stream_id_zero_is_ignored_and_told() {
    let mut bench = Bench::v3();
    assert_eq!(bench.one(stream_start(0, "ssh", 1)), [Said::Note]);
    assert_eq!(bench.one(connection_start(0, "ssh", 1)), [Said::Note]);
    assert_eq!(bench.one(data(0, "ssh", 1, b"x")), []);
}

#[test]
fn answers_carry_what_the_peer_understands() {
    for (service, connection, reset) in [
        ("ssh", 4, Said::ConnectionReset(9, "ssh", 4)),
        ("ssh", 0, Said::StreamReset(9, "ssh", 0)),
        ("", 0, Said::StreamReset(9, "", 0)),
        ("", 3, Said::StreamReset(9, "", 0)),
    ] {
        let mut bench = Bench::v3();
        assert_eq!(
            bench.one(stream_start(9, service, connection)),
            [Said::Connect(0)]
        );
        bench.connected(0);
        assert_eq!(
            bench.target_closed(0),
            [reset],
            "service {service:?}, connection {connection}"
        );
    }
}

#[test]
fn the_version_chosen_is_obeyed() {
    // V2: a connection ID means nothing, whatever the source writes there.
    let mut bench = Bench::new(Version::V2);
    assert_eq!(bench.one(stream_start(9, "ssh", 4)), [Said::Connect(0)]);
    assert_eq!(
        bench.one(data(9, "ssh", 4, b"a")),
        [Said::Deliver(0, b"a".to_vec())]
    );
    assert_eq!(bench.one(connection_start(9, "ssh", 5)), [Said::Note]);
    assert_eq!(
        bench.one(data(9, "ssh", 5, b"b")),
        [],
        "never into the first connection"
    );
    assert_eq!(bench.target_closed(0), [Said::StreamReset(9, "ssh", 0)]);
    // V1: nor does a service ID.
    let mut bench = Bench::new(Version::V1);
    assert_eq!(bench.one(stream_start(9, "ssh", 4)), [Said::Connect(0)]);
    assert_eq!(
        bench.one(data(9, "", 0, b"a")),
        [Said::Deliver(0, b"a".to_vec())]
    );
    assert_eq!(bench.target_closed(0), [Said::StreamReset(9, "", 0)]);
}

#[test]
fn a_new_stream_replaces_what_the_service_had_and_only_that() {
    let mut bench = Bench::v3();
    let started = bench.glued(&[
        stream_start(1, "ssh", 1),
        connection_start(1, "ssh", 2),
        stream_start(1, "web", 1),
    ]);
    assert_eq!(
        started,
        [Said::Connect(0), Said::Connect(1), Said::Connect(2)]
    );
    let mut replaced = bench.one(stream_start(2, "ssh", 1));
    let connect = replaced.pop();
    assert_eq!(replaced.len(), 2);
    for index in [0, 1] {
        assert!(replaced.contains(&Said::Finish(index, Ending::Replaced)));
    }
    assert_eq!(connect, Some(Said::Connect(0)));
    // The old stream is stale, the new one and the other service's are not.
    assert_eq!(bench.one(data(1, "ssh", 1, b"old")), []);
    assert_eq!(
        bench.one(data(2, "ssh", 1, b"new")),
        [Said::Deliver(0, b"new".to_vec())]
    );
    assert_eq!(
        bench.one(data(1, "web", 1, b"web")),
        [Said::Deliver(2, b"web".to_vec())]
    );
}

#[test]
fn a_start_with_the_same_stream_id_is_a_new_stream() {
    let mut bench = Bench::v3();
    bench.one(stream_start(1, "ssh", 1));
    let old = bench.slot(0);
    assert_eq!(
        bench.one(stream_start(1, "ssh", 1)),
        [Said::Finish(0, Ending::Replaced), Said::Connect(0)]
    );
    // A late word of the old connection does not touch the new one.
    bench.session.handle_target_closed(old);
    bench.session.handle_connect_failed(old);
    assert_eq!(bench.drain(), []);
    assert_eq!(
        bench.one(data(1, "ssh", 1, b"x")),
        [Said::Deliver(0, b"x".to_vec())]
    );
}

#[test]
fn an_undeclared_service_gets_no_answer() {
    let mut bench = Bench::v3();
    assert_eq!(bench.one(stream_start(1, "ftp", 1)), [Said::Note]);
    assert_eq!(bench.one(connection_start(1, "ftp", 2)), [Said::Note]);
}

#[test]
fn starts_beyond_the_table_are_refused() {
    let mut bench = Bench::v3();
    bench.one(stream_start(1, "ssh", 1));
    let last = u32::try_from(CONNECTIONS_MAX).expect("small");
    for id in 2..=last {
        assert!(matches!(
            bench.one(connection_start(1, "ssh", id))[..],
            [Said::Connect(_)]
        ));
    }
    assert_eq!(
        bench.one(connection_start(1, "ssh", last + 1)),
        [Said::ConnectionReset(1, "ssh", last + 1), Said::Note]
    );
    assert_eq!(
        bench.one(stream_start(5, "web", 1)),
        [Said::StreamReset(5, "web", 0), Said::Note]
    );
}

// ---- CONNECTION_START ---------------------------------------------------------------------------

#[test]
fn a_connection_id_that_is_live_is_refused_and_the_live_one_stays() {
    let mut bench = Bench::v3();
    bench.one(stream_start(1, "ssh", 1));
    bench.connected(0);
    assert_eq!(
        bench.one(connection_start(1, "ssh", 1)),
        [Said::ConnectionReset(1, "ssh", 1), Said::Note]
    );
    assert_eq!(
        bench.one(data(1, "ssh", 1, b"x")),
        [Said::Deliver(0, b"x".to_vec())]
    );
}

#[test]
fn a_connection_start_needs_the_current_stream() {
    let mut bench = Bench::v3();
    assert_eq!(
        bench.one(connection_start(1, "ssh", 2)),
        [Said::StreamReset(1, "ssh", 0), Said::Note],
        "only this makes the source start a stream"
    );
    bench.one(stream_start(5, "ssh", 1));
    assert_eq!(
        bench.one(connection_start(4, "ssh", 2)),
        [Said::StreamReset(4, "ssh", 0), Said::Note]
    );
}

#[test]
fn a_source_without_connection_ids_has_one_connection() {
    let mut bench = Bench::v3();
    bench.one(stream_start(1, "ssh", 0));
    assert_eq!(
        bench.one(connection_start(1, "ssh", 2)),
        [Said::ConnectionReset(1, "ssh", 2), Said::Note]
    );
    assert_eq!(
        bench.one(data(1, "ssh", 2, b"x")),
        [],
        "never into the first connection"
    );
    assert_eq!(
        bench.one(data(1, "ssh", 1, b"x")),
        [Said::Deliver(0, b"x".to_vec())]
    );
    assert_eq!(bench.one(connection_start(1, "ssh", 0)), [Said::Note]);
}

#[test]
fn a_stream_lives_on_without_connections() {
    let mut bench = Bench::v3();
    bench.one(stream_start(1, "ssh", 1));
    bench.connected(0);
    assert_eq!(bench.target_closed(0), [Said::ConnectionReset(1, "ssh", 1)]);
    assert_eq!(bench.one(connection_start(1, "ssh", 2)), [Said::Connect(0)]);
    assert_eq!(bench.one(connection_start(1, "ssh", 1)), [Said::Connect(1)]);
}

// ---- DATA ---------------------------------------------------------------------------------------

#[test]
fn data_goes_in_order_to_its_own_connection_also_before_it_is_connected() {
    let mut bench = Bench::v3();
    let all = bench.glued(&[
        stream_start(1, "ssh", 1),
        data(1, "ssh", 1, b"a"),
        connection_start(1, "ssh", 2),
        data(1, "ssh", 2, b"b"),
        stream_start(7, "web", 1),
        data(7, "web", 1, b"c"),
        data(1, "ssh", 1, b"d"),
    ]);
    assert_eq!(
        all,
        [
            Said::Connect(0),
            Said::Deliver(0, b"a".to_vec()),
            Said::Connect(1),
            Said::Deliver(1, b"b".to_vec()),
            Said::Connect(2),
            Said::Deliver(2, b"c".to_vec()),
            Said::Deliver(0, b"d".to_vec()),
        ]
    );
}

#[test]
fn stale_and_empty_data_is_dropped_silently() {
    let mut bench = Bench::v3();
    bench.one(stream_start(1, "ssh", 1));
    for stale in [
        data(2, "ssh", 1, b"x"),
        data(1, "web", 1, b"x"),
        data(1, "ssh", 2, b"x"),
        data(1, "", 1, b"x"),
        data(1, "ssh", 1, b""),
    ] {
        assert_eq!(bench.one(stale), []);
    }
}

#[test]
fn a_missing_connection_id_means_the_first() {
    let mut bench = Bench::v3();
    bench.one(stream_start(1, "ssh", 1));
    assert_eq!(
        bench.one(data(1, "ssh", 0, b"x")),
        [Said::Deliver(0, b"x".to_vec())]
    );
}

// ---- resets from the source ---------------------------------------------------------------------

#[test]
fn a_connection_reset_ends_one_connection() {
    let mut bench = Bench::v3();
    bench.glued(&[stream_start(1, "ssh", 1), connection_start(1, "ssh", 2)]);
    assert_eq!(
        bench.one(connection_reset(1, "ssh", 2)),
        [Said::Finish(1, Ending::SourceReset)]
    );
    assert_eq!(bench.one(connection_reset(1, "ssh", 2)), [], "once");
    assert_eq!(bench.one(connection_reset(2, "ssh", 1)), [], "stale stream");
    assert_eq!(
        bench.one(data(1, "ssh", 1, b"x")),
        [Said::Deliver(0, b"x".to_vec())]
    );
}

#[test]
fn a_stream_reset_ends_every_connection_of_its_service() {
    let mut bench = Bench::v3();
    bench.glued(&[
        stream_start(1, "ssh", 1),
        connection_start(1, "ssh", 2),
        stream_start(1, "web", 1),
    ]);
    assert_eq!(bench.one(stream_reset(2, "ssh")), [], "stale");
    let ended = bench.one(stream_reset(1, "ssh"));
    assert_eq!(ended.len(), 2);
    assert_eq!(bench.one(data(1, "ssh", 1, b"x")), []);
    assert_eq!(
        bench.one(data(1, "web", 1, b"x")),
        [Said::Deliver(2, b"x".to_vec())]
    );
    assert_eq!(bench.one(stream_reset(1, "ssh")), [], "once");
}

#[test]
fn bytes_before_a_reset_come_before_it() {
    let mut bench = Bench::v3();
    let all = bench.glued(&[
        stream_start(1, "ssh", 1),
        data(1, "ssh", 1, b"last words"),
        stream_reset(1, "ssh"),
        stream_start(2, "ssh", 1),
    ]);
    assert_eq!(
        all,
        [
            Said::Connect(0),
            Said::Deliver(0, b"last words".to_vec()),
            Said::Finish(0, Ending::SourceReset),
            Said::Connect(0),
        ]
    );
}

#[test]
fn a_session_reset_ends_everything_and_the_session_goes_on() {
    let mut bench = Bench::v3();
    bench.glued(&[stream_start(1, "ssh", 1), stream_start(1, "web", 0)]);
    assert_eq!(
        bench.one(session_reset()),
        [
            Said::Finish(0, Ending::SessionReset),
            Said::Finish(1, Ending::SessionReset)
        ]
    );
    assert_eq!(bench.one(session_reset()), []);
    assert_eq!(bench.one(stream_start(2, "ssh", 1)), [Said::Connect(0)]);
}

// ---- unknown and broken -------------------------------------------------------------------------

#[test]
fn unknown_kinds_are_passed_over() {
    let mut bench = Bench::v3();
    for kind in [0, 8, 99, -1, i32::MAX] {
        let mut unknown = message(kind, 1, "ssh", 1, b"x");
        assert_eq!(bench.one(unknown.clone()), [Said::Note], "kind {kind}");
        unknown.ignorable = true;
        assert_eq!(bench.one(unknown), [], "ignorable kind {kind}");
    }
}

#[test]
fn bytes_that_do_not_parse_are_a_violation() {
    for broken in [
        &b"\x00\x03\xff\xff\xff"[..],
        &b"\x00\x02\x22\x7f"[..],
        &b"\x00\x01\x08"[..],
    ] {
        let mut session = Session::new(Version::V3);
        session.handle_bytes(Bytes::copy_from_slice(broken));
        assert!(session.poll_command().is_err(), "{broken:?}");
    }
    let mut session = Session::new(Version::V3);
    let mut nameless = stream_start(1, "ssh", 1);
    nameless.service_id = Bytes::from_static(b"\xff\xfe");
    session.handle_bytes(framed(&[nameless]));
    assert!(
        session.poll_command().is_err(),
        "a service ID that is no text"
    );
}

#[test]
fn unknown_fields_are_passed_over() {
    let mut frame = BytesMut::new();
    let mut body = stream_start(1, "ssh", 1).encode_to_vec();
    body.extend_from_slice(b"\x7a\x03abc");
    frame.put_u16(u16::try_from(body.len()).expect("short"));
    frame.put_slice(&body);
    let mut bench = Bench::v3();
    bench.session.handle_bytes(frame.freeze());
    assert_eq!(bench.drain(), [Said::Connect(0)]);
}

// ---- what becomes of the targets ----------------------------------------------------------------

#[test]
fn a_failed_first_connect_ends_the_stream() {
    let mut bench = Bench::v3();
    bench.glued(&[stream_start(1, "ssh", 1), connection_start(1, "ssh", 2)]);
    assert_eq!(
        bench.connect_failed(0),
        [
            Said::Finish(1, Ending::StreamFailed),
            Said::StreamReset(1, "ssh", 0)
        ]
    );
    assert_eq!(bench.one(data(1, "ssh", 1, b"x")), []);
    assert_eq!(bench.one(stream_start(2, "ssh", 1)), [Said::Connect(0)]);
}

#[test]
fn a_failed_later_connect_ends_that_connection_alone() {
    let mut bench = Bench::v3();
    bench.glued(&[stream_start(1, "ssh", 1), connection_start(1, "ssh", 2)]);
    bench.connected(0);
    assert_eq!(
        bench.connect_failed(1),
        [Said::ConnectionReset(1, "ssh", 2)]
    );
    assert_eq!(
        bench.one(data(1, "ssh", 1, b"x")),
        [Said::Deliver(0, b"x".to_vec())]
    );
}

#[test]
fn a_failed_first_connect_spares_a_stream_that_others_use() {
    let mut bench = Bench::v3();
    bench.glued(&[stream_start(1, "ssh", 1), connection_start(1, "ssh", 2)]);
    bench.connected(1);
    assert_eq!(
        bench.connect_failed(0),
        [Said::ConnectionReset(1, "ssh", 1)]
    );
    assert_eq!(
        bench.one(data(1, "ssh", 2, b"x")),
        [Said::Deliver(1, b"x".to_vec())]
    );
}

#[test]
fn a_failed_connect_of_an_older_peer_ends_its_stream() {
    for service in ["ssh", ""] {
        let mut bench = Bench::v3();
        bench.one(stream_start(1, service, 0));
        assert_eq!(bench.connect_failed(0).len(), 1);
        assert_eq!(bench.one(data(1, service, 0, b"x")), []);
    }
}

// ---- the ends -----------------------------------------------------------------------------------

#[test]
fn a_stop_resets_every_stream() {
    let mut bench = Bench::v3();
    bench.glued(&[
        stream_start(1, "ssh", 1),
        connection_start(1, "ssh", 2),
        stream_start(3, "web", 0),
        stream_start(4, "", 0),
    ]);
    bench.session.handle_stop();
    let all = bench.drain();
    for reset in [
        Said::StreamReset(1, "ssh", 0),
        Said::StreamReset(3, "web", 0),
        Said::StreamReset(4, "", 0),
    ] {
        assert!(all.contains(&reset), "{all:?} lacks {reset:?}");
    }
    let finished = |said: &&Said| matches!(said, Said::Finish(_, Ending::Stopping));
    assert_eq!(all.iter().filter(finished).count(), 4);
}

#[test]
fn a_stop_of_a_full_table_forgets_nobody() {
    let mut bench = Bench::new(Version::V3);
    for service in 0..SERVICES_MAX {
        let name = format!("s{service}");
        bench.one(stream_start(1, &name, 1));
        let share = u32::try_from(CONNECTIONS_MAX / SERVICES_MAX).expect("small");
        for connection in 2..=share {
            bench.one(connection_start(1, &name, connection));
        }
    }
    bench.session.handle_stop();
    let mut commands = Vec::new();
    while let Some(command) = bench.session.poll_answer() {
        commands.push(command);
    }
    let count = |wanted: fn(&Command) -> bool| commands.iter().filter(|c| wanted(c)).count();
    assert_eq!(count(|c| matches!(c, Command::Finish(..))), CONNECTIONS_MAX);
    assert_eq!(count(|c| matches!(c, Command::Send(_))), SERVICES_MAX);
}

#[test]
fn a_lost_link_finishes_everything_and_tells_nobody() {
    let mut bench = Bench::v3();
    bench.glued(&[stream_start(1, "ssh", 1), stream_start(1, "web", 1)]);
    bench.session.handle_link_lost();
    assert_eq!(
        bench.drain(),
        [
            Said::Finish(0, Ending::LinkLost),
            Said::Finish(1, Ending::LinkLost)
        ]
    );
}
