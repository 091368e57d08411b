//! What does not parse, what becomes of the targets, and the ends.

use super::*;

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
