//! The misbehaviour of a controller, each kind as an engineer meets it without a tunnel.

use std::time::{Duration, Instant};

use cell::controller::{Controller, ControllerOptions, DropBeyond, End, Faults, Jam, Stall};
use cell::engineer::{Cause, Engineer, EngineerOptions, Stage, chunk};
use cell::program::Program;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const LIMIT: Duration = Duration::from_secs(10);

async fn controller_with(faults: Faults) -> Controller {
    Controller::start(ControllerOptions {
        faults,
        ..ControllerOptions::default()
    })
    .await
    .expect("a free port")
}

async fn engineer(controller: &Controller) -> Engineer {
    Engineer::connect(controller.address())
        .await
        .expect("login as \"as\"")
}

/// Logs in and breaks off in the middle of a LOAD.
async fn cut_off_a_load(controller: &Controller) {
    let mut line = TcpStream::connect(controller.address())
        .await
        .expect("it listens");
    line.write_all(b"as\r\nLOAD x\r\n\x02\x41    0\x17\x02\x43    0abc\x17")
        .await
        .expect("it is open");
    until(&mut line, b"\x05\x02\x43\x17\x05\x02\x43\x17").await;
    assert!(controller.in_progress());
    drop(line);
    let number = controller.connections().len() - 1;
    controller
        .wait_for(LIMIT, |records| records[number].end.is_some())
        .await
        .expect("the controller sees the end");
}

async fn until(line: &mut TcpStream, end: &[u8]) {
    let mut got = Vec::new();
    while !got.ends_with(end) {
        let read = tokio::time::timeout(LIMIT, line.read_u8()).await;
        got.push(read.expect("in time").expect("it is open"));
    }
}

async fn load_error(engineer: &mut Engineer) -> String {
    let error = engineer
        .load("x", b"abc", chunk::KRTERM, |_| {})
        .await
        .expect_err("a refusal");
    assert!(matches!(error.cause, Cause::Refused(_)), "{error}");
    error.to_string()
}

#[tokio::test]
async fn a_lost_connection_leaves_the_transfer_in_progress_until_a_reboot() {
    let controller = controller_with(Faults::default()).await;
    cut_off_a_load(&controller).await;
    let mut second = engineer(&controller).await;
    let error = load_error(&mut second).await;
    assert!(error.contains("(P2076)SAVE/LOAD in progress."), "{error}");
    let error = second.save("x").await.expect_err("a refusal").to_string();
    assert!(error.contains("P2076"), "{error}");
    // Anything else works.
    second.command("ID").await.expect("a prompt");

    controller.reboot();
    let records = controller
        .wait_for(LIMIT, |records| records[1].end.is_some())
        .await
        .expect("a reboot cuts all connections");
    assert_eq!(records[1].end, Some(End::Rebooted));
    let error = second.command("ID").await.expect_err("it is cut");
    assert!(
        matches!(error.cause, Cause::Io(_) | Cause::Closed { .. }),
        "{error}"
    );
    let mut third = engineer(&controller).await;
    third
        .load("x", b"abc", chunk::KRTERM, |_| {})
        .await
        .expect("the jam is gone");
}

#[tokio::test]
async fn a_jam_may_end_by_itself() {
    let controller = Controller::start(ControllerOptions {
        jam: Jam::For(Duration::from_millis(300)),
        ..ControllerOptions::default()
    })
    .await
    .expect("a free port");
    cut_off_a_load(&controller).await;
    let cut = Instant::now();
    let mut second = engineer(&controller).await;
    load_error(&mut second).await;
    while controller.in_progress() {
        assert!(cut.elapsed() < LIMIT);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(cut.elapsed() >= Duration::from_millis(250));
    second
        .load("x", b"abc", chunk::KRTERM, |_| {})
        .await
        .expect("the jam is gone");
}

#[tokio::test]
async fn the_third_person_finds_no_terminal() {
    let controller = controller_with(Faults::default()).await;
    let first = engineer(&controller).await;
    let second = engineer(&controller).await;
    assert_eq!((first.terminal(), second.terminal()), ("AUX1", "AUX2"));
    let error = Engineer::connect(controller.address())
        .await
        .expect_err("there are two");
    assert_eq!(error.stage, Stage::Opening);
    assert!(error.to_string().contains("E1145"), "{error}");
    let records = controller
        .wait_for(LIMIT, |records| records[2].end.is_some())
        .await
        .expect("it is closed");
    assert_eq!(records[2].end, Some(End::NoTerminal));
    assert_eq!(records[2].terminal, None);

    first.close().await.expect("an orderly end");
    assert_eq!(engineer(&controller).await.terminal(), "AUX1");
}

#[tokio::test]
async fn a_load_error_stores_nothing_and_frees_the_controller() {
    let controller = controller_with(Faults {
        load_error_at: Some(3),
        ..Faults::default()
    })
    .await;
    let mut engineer = engineer(&controller).await;
    let error = engineer
        .load("x", &[b'a'; 5000], chunk::KRTERM, |_| {})
        .await
        .expect_err("it fails at the third chunk");
    assert_eq!(
        error.to_string(),
        "LOAD x, behind block 1: the controller said: File load completed. (1 errors)"
    );
    assert_eq!(controller.program("x"), None);
    assert!(!controller.in_progress());
    assert!(controller.connections()[0].faults.is_empty());
    engineer.command("ID").await.expect("the terminal is free");
}

/// One wrong byte in each place of a chunk's framing.
#[tokio::test]
async fn a_wrong_byte_in_the_framing_is_a_load_error() {
    let good = b"\x02\x43    0abc\x17";
    for place in 0..7 {
        let controller = controller_with(Faults::default()).await;
        let mut line = TcpStream::connect(controller.address())
            .await
            .expect("it listens");
        let mut bad = good.to_vec();
        bad[place] ^= 0x40;
        line.write_all(b"as\r\nLOAD x\r\n\x02\x41    0\x17")
            .await
            .expect("it is open");
        line.write_all(&bad).await.expect("it is open");
        until(&mut line, b"\x05\x02\x45\x17").await;
        line.write_all(b"\x02\x43    0\x1A\x17\x02\x45    0\x17")
            .await
            .expect("it is open");
        until(&mut line, b"File load completed. (1 errors)\r\n>").await;
        assert_eq!(controller.program("x"), None);
        let faults = &controller.connections()[0].faults;
        assert_eq!(faults.len(), 1, "{faults:?}");
        let prefix = format!("block C, byte {place}: ");
        assert!(faults[0].starts_with(&prefix), "{faults:?}");
    }
}

/// The chunks were well and the end is not: "(1 errors)" must not leave a program behind.
#[tokio::test]
async fn a_wrong_byte_in_the_close_stores_nothing() {
    let controller = controller_with(Faults::default()).await;
    let mut line = TcpStream::connect(controller.address())
        .await
        .expect("it listens");
    line.write_all(b"as\r\nLOAD x\r\n\x02\x41    0\x17\x02\x43    0abc\x17\x02\x43    0\x1A\x17")
        .await
        .expect("it is open");
    until(&mut line, b"\x05\x02\x45\x17").await;
    line.write_all(b"\x02\x45    1\x17\x02\x45    0\x17")
        .await
        .expect("it is open");
    until(&mut line, b"File load completed. (1 errors)\r\n>").await;
    assert_eq!(controller.program("x"), None);
    assert_eq!(controller.connections()[0].faults.len(), 1);
    assert!(!controller.in_progress());
}

#[tokio::test]
async fn a_mute_controller_costs_the_patience_and_no_more() {
    let options = EngineerOptions {
        patience: Duration::from_millis(300),
        ..EngineerOptions::default()
    };
    // The opening has 17 + 37 + 2 + 7 bytes; the echo of the login and the welcome are 43 more.
    for (mute_after, stage) in [
        (0, Stage::Opening),
        (70, Stage::Login),
        (200, Stage::Command("WHERE".into())),
    ] {
        let controller = controller_with(Faults {
            mute_after: Some(mute_after),
            ..Faults::default()
        })
        .await;
        let start = Instant::now();
        let error = match Engineer::connect_with(controller.address(), options.clone()).await {
            Ok(mut engineer) => engineer.command("WHERE").await.expect_err("it is mute"),
            Err(error) => error,
        };
        assert_eq!(error.stage, stage, "{error}");
        assert!(matches!(error.cause, Cause::Silent { .. }), "{error}");
        assert!(start.elapsed() < Duration::from_secs(5));
        assert_eq!(controller.connections()[0].sent.total(), mute_after);
    }
}

#[tokio::test]
async fn a_refusing_controller_keeps_its_port() {
    let controller = controller_with(Faults::default()).await;
    let mut before = engineer(&controller).await;
    for _ in 0..2 {
        controller.refuse(true).await.expect("it obeys");
        controller.refuse(true).await.expect("it obeys twice");
        let error = Engineer::connect(controller.address())
            .await
            .expect_err("it refuses");
        assert!(
            matches!(&error.cause, Cause::Io(e) if e.kind() == std::io::ErrorKind::ConnectionRefused),
            "{error}"
        );
        before.command("ID").await.expect("open ones stay");
        controller.refuse(false).await.expect("it obeys");
        engineer(&controller)
            .await
            .close()
            .await
            .expect("it accepts again");
    }
}

#[tokio::test]
async fn characters_that_come_too_fast_are_dropped() {
    let controller = controller_with(Faults {
        drop_beyond: Some(DropBeyond {
            bytes_per_second: 1000,
            burst: 40,
        }),
        ..Faults::default()
    })
    .await;
    let options = EngineerOptions {
        patience: Duration::from_millis(500),
        ..EngineerOptions::default()
    };
    let mut engineer = Engineer::connect_with(controller.address(), options)
        .await
        .expect("a login is short enough");
    let error = engineer
        .command(&"TYPE gripper.delay ; ".repeat(10))
        .await
        .expect_err("not all of it arrives");
    assert!(matches!(error.cause, Cause::Silent { .. }), "{error}");
    assert!(controller.connections()[0].dropped > 100);

    // Who sends 20 bytes and then waits as long as they take loses nothing.
    let mut line = TcpStream::connect(controller.address())
        .await
        .expect("it listens");
    line.write_all(b"as\r\n").await.expect("it is open");
    until(&mut line, b"\r\n>").await;
    for _ in 0..10 {
        line.write_all(b"TYPE gripper.delay\r\n")
            .await
            .expect("it is open");
        until(&mut line, b"\r\n>").await;
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert_eq!(controller.connections()[1].dropped, 0);
}

#[tokio::test]
async fn a_stall_delays_and_loses_nothing() {
    let lasts = Duration::from_millis(400);
    let controller = controller_with(Faults {
        stall: Some(Stall { after: 5000, lasts }),
        ..Faults::default()
    })
    .await;
    let program = Program::generate(3, 10_000).text;
    let mut engineer = engineer(&controller).await;
    let start = Instant::now();
    engineer
        .load("x", &program, chunk::KRTERM, |_| {})
        .await
        .expect("it goes on");
    assert!(start.elapsed() >= lasts);
    assert_eq!(controller.program("x").expect("it is stored"), program);
}

#[tokio::test]
async fn a_slow_reader_loses_nothing() {
    let controller = Controller::start(ControllerOptions {
        faults: Faults {
            read_rate: Some(20_000),
            ..Faults::default()
        },
        receive_buffer: Some(4096),
        ..ControllerOptions::default()
    })
    .await
    .expect("a free port");
    let mut line = TcpStream::connect(controller.address())
        .await
        .expect("it listens");
    let start = Instant::now();
    line.write_all(&[b'a'; 10_000]).await.expect("it is open");
    line.shutdown().await.expect("it is open");
    let records = controller
        .wait_for(LIMIT, |records| {
            records.first().is_some_and(|r| r.end.is_some())
        })
        .await
        .expect("it reads all");
    assert_eq!(records[0].received.total(), 10_000);
    assert_eq!(records[0].end, Some(End::PeerFin));
    assert!(start.elapsed() >= Duration::from_millis(400));
}

#[tokio::test]
async fn the_record_tells_how_a_connection_ended() {
    let controller = controller_with(Faults::default()).await;
    engineer(&controller)
        .await
        .close()
        .await
        .expect("an orderly end");
    engineer(&controller).await.break_off();
    let mut third = engineer(&controller).await;
    controller.hang_up();
    let records = controller
        .wait_for(LIMIT, |records| records.iter().all(|r| r.end.is_some()))
        .await
        .expect("all are over");
    let ends: Vec<Option<End>> = records.iter().map(|record| record.end).collect();
    assert_eq!(
        ends,
        [Some(End::PeerFin), Some(End::PeerReset), Some(End::HungUp)]
    );
    let error = third.command("ID").await.expect_err("it hung up");
    assert!(
        matches!(error.cause, Cause::Closed { .. } | Cause::Io(_)),
        "{error}"
    );
}

/// A keepalive that is a telnet NOP ends up in the command line, as "ñ" in the field.
#[tokio::test]
async fn an_injected_nop_is_a_letter() {
    let controller = controller_with(Faults::default()).await;
    let mut line = TcpStream::connect(controller.address())
        .await
        .expect("it listens");
    line.write_all(b"as\r\nI\xFF\xF1D\r\n")
        .await
        .expect("it is open");
    until(&mut line, b"I\xF1D\r\n(P0100)Illegal input data.\r\n>").await;
}
