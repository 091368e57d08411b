//! SERVICE_IDS, and how streams and connections begin.

use super::*;

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
