//! DATA, and the resets of a source.

use super::*;

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
        data(1, "ssh", 2, b"x"),
        data(1, "other", 1, b"x"),
        data(0, "web", 1, b"x"),
        data(1, "ssh", 1, b""),
    ] {
        assert_eq!(bench.one(stale), []);
    }
}

#[test]
fn on_the_first_websocket_what_belongs_to_no_stream_is_dropped_silently() {
    let mut bench = Bench::v3();
    bench.session = Session::new(Version::V3).without_past();
    for started in [false, true] {
        if started {
            bench.one(stream_start(1, "ssh", 1));
        }
        for stale in [
            data(2, "ssh", 1, b"x"),
            data(1, "web", 1, b"x"),
            data(1, "", 1, b"x"),
            connection_reset(2, "web", 1),
            stream_reset(2, "web"),
        ] {
            assert_eq!(bench.one(stale), []);
        }
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
