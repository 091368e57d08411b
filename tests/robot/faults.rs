//! Controllers that misbehave as those in the field do, behind the real agent.

use std::time::Duration;

use cell::controller::{
    Controller, ControllerOptions, DropBeyond, End, Faults, Negotiation, Stall,
};
use cell::engineer::{Cause, Engineer, EngineerOptions, Stage as Step, chunk};
use cell::program::Program;
use cell::service::Protocol;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

use crate::client::connect;
use crate::stage::{LIMIT, Stage};
use crate::there_and_back;

/// The size of a program, bytes.
const SIZE: usize = 30 * 1024;

/// A controller with these faults, and an agent whose exclusive route to it has these lines.
async fn with(faults: Faults, receive_buffer: Option<u32>, lines: &str) -> (Controller, Stage) {
    let options = ControllerOptions {
        faults,
        receive_buffer,
        ..ControllerOptions::default()
    };
    let robot = Controller::start(options).await.expect("a free port");
    let lines = format!("connections = 1\n{lines}");
    let stage = Stage::configured(&[("robot1", robot.address(), &lines)]).await;
    (robot, stage)
}

/// A program there and back, every byte compared.
async fn survives(faults: Faults, lines: &str) -> Controller {
    let (robot, stage) = with(faults, None, lines).await;
    let source = stage.source(Protocol::V3).await;
    there_and_back(&source, &robot, 1, SIZE).await;
    stage.end();
    robot
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fragments_of_1_to_16_bytes_behind_an_odd_negotiation() {
    let faults = Faults {
        negotiation: Negotiation::Odd,
        fragments: Some(16),
        ..Faults::default()
    };
    survives(faults, "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn single_bytes_without_any_negotiation() {
    let faults = Faults {
        negotiation: Negotiation::None,
        fragments: Some(1),
        ..Faults::default()
    };
    survives(faults, "").await;
}

/// It stops reading in the middle of the upload, for less than the route's stall time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_in_reading_costs_time_and_no_byte() {
    let lasts = Duration::from_millis(1_500);
    let faults = Faults {
        stall: Some(Stall {
            after: 5_000,
            lasts,
        }),
        ..Faults::default()
    };
    let start = Instant::now();
    survives(faults, "stall = \"3s\"").await;
    assert!(start.elapsed() > lasts, "there was no pause");
}

/// Not a byte comes back, yet the controller reads: nothing for the agent to cut. The person gives up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mute_controller_is_left_to_the_engineer() {
    let faults = Faults {
        mute_after: Some(0),
        ..Faults::default()
    };
    let (robot, stage) = with(faults, None, "stall = \"1s\"").await;
    let source = stage.source(Protocol::V3).await;
    let options = EngineerOptions {
        // Longer than the stall time.
        patience: Duration::from_secs(2),
        ..EngineerOptions::default()
    };
    let error = Engineer::connect_with(source.address("robot1"), options)
        .await
        .expect_err("it says nothing");
    assert_eq!(error.stage, Step::Opening, "{error}");
    assert!(matches!(error.cause, Cause::Silent { .. }), "{error}");
    let records = robot
        .wait_for(LIMIT, |records| {
            records.first().is_some_and(|record| record.end.is_some())
        })
        .await
        .expect("the engineer's end reaches the robot");
    assert_eq!(records[0].end, Some(End::PeerFin));
    stage.end();
}

/// What a controller keeps up with that drops the rest (kawasaki.md, hazard 4).
fn drops() -> Faults {
    Faults {
        drop_beyond: Some(DropBeyond {
            bytes_per_second: 20_000,
            burst: 2_048,
        }),
        ..Faults::default()
    }
}

/// The proof that the next test needs its pace.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_pace_a_controller_loses_characters() {
    let (robot, stage) = with(drops(), None, "").await;
    let source = stage.source(Protocol::V3).await;
    let options = EngineerOptions {
        patience: Duration::from_secs(2),
        ..EngineerOptions::default()
    };
    let mut engineer = Engineer::connect_with(source.address("robot1"), options)
        .await
        .expect("a login is short enough");
    let program = Program::generate(1, SIZE);
    let loaded = engineer
        .load("gripper", &program.text, chunk::KRTERM, |_| {})
        .await;
    let error = loaded.expect_err("a chunk lacks its end");
    println!("the engineer is told: {error}");
    assert!(robot.connections()[0].dropped > 0);
    assert_eq!(robot.program("gripper"), None);
    stage.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_pace_it_gets_every_character() {
    let start = Instant::now();
    let robot = survives(drops(), "pace = 12000").await;
    assert_eq!(robot.connections()[0].dropped, 0);
    let took = start.elapsed();
    let least = Duration::from_secs_f64(SIZE as f64 / 12_000.0);
    assert!(took > least * 9 / 10, "{took:?} is no pace of 12 kB/s");
}

/// More than the kernels hold, so that the agent waits: here for the controller, at first for its own pace.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_for_a_slow_controller_costs_no_processor_time() {
    waits_idly(40_000, 100_000).await;
}

/// And here for the pace alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_for_the_pace_costs_no_processor_time() {
    waits_idly(1_000_000, 80_000).await;
}

/// Pushes into a controller that reads so many bytes a second, over a route with this pace, and looks at the clock
/// of the agent meanwhile.
async fn waits_idly(read_rate: u32, pace: u32) {
    let faults = Faults {
        read_rate: Some(read_rate),
        ..Faults::default()
    };
    let (robot, stage) = with(faults, Some(4_096), &format!("pace = {pace}")).await;
    let source = stage.source(Protocol::V3).await;
    let client = connect(&source, "robot1").await;
    let (mut reader, mut writer) = client.into_split();
    // The echo must not be what holds the controller up.
    let echo = tokio::spawn(async move {
        let mut piece = [0; 4_096];
        while matches!(reader.read(&mut piece).await, Ok(1..)) {}
    });
    let bytes = 350_000;
    let (start, before) = (Instant::now(), stage.agent.cpu().expect("it runs"));
    writer
        .write_all(&vec![b'a'; bytes])
        .await
        .expect("connected");
    let all = |records: &[cell::controller::ConnectionRecord]| {
        records
            .first()
            .is_some_and(|record| record.received.total() == bytes as u64)
    };
    robot.wait_for(LIMIT, all).await.expect("all of it arrives");
    let (took, cpu) = (
        start.elapsed(),
        stage.agent.cpu().expect("it runs") - before,
    );
    println!("{bytes} bytes in {took:?}, {cpu:?} of the processor");
    assert!(took > Duration::from_secs(3), "too fast to prove anything");
    assert!(cpu < took / 10, "{cpu:?} of the processor in {took:?}");
    drop(writer);
    echo.await.expect("the connection ends");
    stage.end();
}
