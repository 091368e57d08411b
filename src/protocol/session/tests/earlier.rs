//! Streams that the source started before this WebSocket was up.

use super::*;

#[test]
fn whatever_comes_of_an_earlier_stream_is_answered_by_one_reset() {
    for (first, rest) in [
        (data(5, "ssh", 1, b"x"), connection_reset(5, "ssh", 1)),
        (data(5, "ssh", 1, b""), data(5, "ssh", 1, b"x")),
        (connection_reset(5, "ssh", 1), data(5, "ssh", 2, b"x")),
    ] {
        let mut bench = Bench::v3();
        let told = bench.one(first);
        assert_eq!(told, [Said::StreamReset(5, "ssh", 0), Said::Note]);
        assert_eq!(bench.one(rest), [], "twice");
        assert_eq!(bench.one(stream_start(5, "ssh", 1)), [Said::Connect(0)]);
    }
}

#[test]
fn a_connection_start_in_an_earlier_stream_is_answered_once_for_its_bytes_too() {
    let mut bench = Bench::v3();
    let told = bench.glued(&[connection_start(5, "ssh", 2), data(5, "ssh", 2, b"x")]);
    assert_eq!(told, [Said::StreamReset(5, "ssh", 0), Said::Note]);
}

#[test]
fn each_service_and_each_number_has_its_own_answer() {
    let mut bench = Bench::v3();
    let all = bench.glued(&[
        data(5, "ssh", 1, b"x"),
        data(5, "web", 1, b"x"),
        data(6, "ssh", 1, b"x"),
        data(7, "", 0, b"x"),
    ]);
    let resets = [(5, "ssh"), (5, "web"), (6, "ssh"), (7, "")];
    let expected =
        resets.map(|(stream, service)| [Said::StreamReset(stream, service, 0), Said::Note]);
    assert_eq!(all, expected.concat());
}

#[test]
fn behind_a_start_on_this_websocket_the_rest_is_late_and_of_no_interest() {
    let mut bench = Bench::v3();
    bench.one(stream_start(2, "ssh", 1));
    assert_eq!(bench.one(data(1, "ssh", 1, b"x")), []);
    bench.one(stream_reset(2, "ssh"));
    assert_eq!(bench.one(data(2, "ssh", 1, b"x")), []);
    assert_eq!(bench.one(connection_reset(1, "ssh", 1)), []);
}

#[test]
fn what_the_source_is_told_anyway_is_not_said_again() {
    let mut bench = Bench::v3();
    bench.session.handle_gone(&Address {
        stream: StreamId::new(5).expect("not 0"),
        service: ServiceId::new("ssh"),
        connection: None,
    });
    assert_eq!(bench.one(data(5, "ssh", 1, b"x")), []);
    // The file was written before this one began.
    let told = bench.one(data(6, "ssh", 1, b"x"));
    assert_eq!(told, [Said::StreamReset(6, "ssh", 0), Said::Note]);
}

#[test]
fn resets_of_earlier_streams_need_no_answer() {
    let mut bench = Bench::v3();
    assert_eq!(bench.one(stream_reset(5, "ssh")), []);
    assert_eq!(bench.one(session_reset()), []);
}

#[test]
fn a_v1_tunnel_knows_no_services() {
    let mut bench = Bench::new(Version::V1);
    let told = bench.one(data(5, "", 0, b"x"));
    assert_eq!(told, [Said::StreamReset(5, "", 0), Said::Note]);
}

#[test]
fn more_services_than_there_is_room_for_cost_no_memory_and_no_answer() {
    let mut session = Session::new(Version::V3);
    let mut sent = 0;
    for service in 0..100 {
        session.handle_bytes(framed(&[data(1, &format!("s{service}"), 1, b"x")]));
        while let Some(command) = session.poll_command().expect("it parses") {
            sent += usize::from(matches!(command, Command::Send(_)));
        }
    }
    assert_eq!(sent, DECLARED_MAX + 1);
}
