//! An engineer and a Kawasaki controller, with service, source and the real agent between them.

#[path = "../stage/client.rs"]
mod client;
#[path = "../stage/mod.rs"]
mod stage;

mod faults;

use std::time::Duration;

use cell::controller::{Controller, ControllerOptions, End};
use cell::engineer::{Engineer, EngineerOptions, chunk};
use cell::program::Program;
use cell::service::{Fragments, Kill, Protocol, Switches};
use cell::source::Source;
use tokio::sync::mpsc;

use crate::stage::{LIMIT, Stage};

/// The size of a program, bytes.
const SIZE: usize = 100 * 1024;

async fn controller(name: &str) -> Controller {
    let options = ControllerOptions {
        name: name.into(),
        ..ControllerOptions::default()
    };
    Controller::start(options).await.expect("a free port")
}

/// An engineer who waits for the answers of a slow way.
async fn engineer(source: &Source, robot: &str) -> Engineer {
    let options = EngineerOptions {
        patience: LIMIT,
        ..EngineerOptions::default()
    };
    Engineer::connect_with(source.address(robot), options)
        .await
        .expect("the login goes through the tunnel")
}

/// LOADs a program in blocks of KRterm, SAVEs it back, and compares every byte that crossed.
async fn there_and_back(source: &Source, robot: &Controller, seed: u64, size: usize) {
    let program = Program::generate(seed, size);
    let mut engineer = engineer(source, robot.name()).await;
    let name = format!("{}_{seed}", program.name);
    let loaded = engineer
        .load(&name, &program.text, chunk::KRTERM, |_| {})
        .await
        .expect("LOAD");
    assert_eq!(loaded.bytes, size);
    assert!(
        robot
            .program(&name)
            .is_some_and(|stored| stored == program.text),
        "the robot has another program"
    );
    let saved = engineer.save(&name).await.expect("SAVE");
    assert!(saved == program.text, "SAVE gave another program");
    let (sent, received) = engineer.tapes();
    let (sent, received) = (sent.clone(), received.clone());
    let place = robot.connections().len() - 1;
    engineer.close().await.expect("an orderly end");
    let records = robot
        .wait_for(LIMIT, |records| records[place].end.is_some())
        .await
        .expect("it ends");
    // Not only the programs: every byte of both directions, the telnet opening and each prompt.
    let record = &records[place];
    assert_eq!(
        record.received, sent,
        "what the engineer sent is not what the robot received"
    );
    assert_eq!(
        record.sent, received,
        "what the robot sent is not what the engineer received"
    );
    assert_eq!(record.faults, Vec::<String>::new());
    assert_eq!(records[place].end, Some(End::PeerFin));
    assert!(!robot.in_progress());
}

/// One upload through a tunnel whose service behaves like this towards the agent.
async fn uploads(version: Protocol, size: usize, turn: impl FnOnce(&mut Switches)) {
    let robot = controller("robot1").await;
    let stage = Stage::configured(&[("robot1", robot.address(), "connections = 1")]).await;
    stage.tunnel.destination.switch(turn);
    let source = stage.source(version).await;
    there_and_back(&source, &robot, 1, size).await;
    stage.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_from_a_v3_source() {
    uploads(Protocol::V3, SIZE, |_| {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_from_a_v2_source() {
    uploads(Protocol::V2, SIZE, |_| {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_from_a_v1_source() {
    uploads(Protocol::V1, SIZE, |_| {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_in_websocket_messages_of_one_byte() {
    uploads(Protocol::V3, SIZE, |switches| switches.cut = Some(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_in_fragments_with_pings_between() {
    let fragments = Some(Fragments {
        size: 7,
        ping_between: true,
    });
    uploads(Protocol::V3, SIZE, |switches| {
        switches.fragments = fragments
    })
    .await;
}

/// Stop and wait: every block costs a round trip of 40 ms, and nothing the agent adds to it may be felt.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_over_a_long_way() {
    let delay = Duration::from_millis(20);
    let size = 30 * 1024;
    let start = std::time::Instant::now();
    uploads(Protocol::V3, size, |switches| switches.delay = delay).await;
    let blocks = u32::try_from(size.div_ceil(chunk::KRTERM)).expect("sixty");
    // LOAD waits once a block; SAVE is one way, with a few waits around it.
    let waits = (blocks + 25) * delay * 2;
    println!(
        "{size} bytes over {delay:?} each way: {:?}, of which {waits:?} is the way itself",
        start.elapsed()
    );
    assert!(
        start.elapsed() < 2 * waits,
        "{:?} is twice what the way itself takes, {waits:?}",
        start.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_robots_at_once() {
    let robots = [controller("robot1").await, controller("robot2").await];
    let routes = robots
        .each_ref()
        .map(|robot| (robot.name(), robot.address(), ""));
    let stage = Stage::configured(&routes).await;
    let source = stage.source(Protocol::V3).await;
    tokio::join!(
        there_and_back(&source, &robots[0], 11, SIZE),
        there_and_back(&source, &robots[1], 22, SIZE),
    );
    stage.end();
}

/// The link is lost in the middle of an upload. The robot gets every byte that was on the way, then FIN and no RST;
/// "SAVE/LOAD in progress" stays behind, which no gateway can help, and ends with a reboot.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_lost_in_the_middle_of_an_upload() {
    let robot = controller("robot1").await;
    let stage = Stage::configured(&[("robot1", robot.address(), "connections = 1")]).await;
    let source = stage.source(Protocol::V3).await;
    let program = Program::generate(5, SIZE);
    let mut first = engineer(&source, "robot1").await;
    let (done, mut blocks) = mpsc::unbounded_channel();
    let upload = async {
        let loaded = first.load("gripper", &program.text, chunk::KRTERM, |progress| {
            let _ = done.send(progress.blocks);
        });
        loaded.await.expect_err("the link is lost")
    };
    let mark = stage.tunnel.mark();
    let lose = async {
        while let Some(block) = blocks.recv().await {
            if block == 40 {
                stage
                    .tunnel
                    .destination
                    .kill(Kill::Reset)
                    .expect("connected");
                return;
            }
        }
    };
    let (error, ()) = tokio::join!(upload, lose);
    println!("the engineer is told: {error}");
    let records = robot
        .wait_for(LIMIT, |records| records[0].end.is_some())
        .await
        .expect("it ends");
    assert_eq!(
        records[0].end,
        Some(End::PeerFin),
        "never an RST in the middle of an upload"
    );
    // Forty blocks and the words around them; what the robot got is the beginning of what was sent.
    let (sent, _) = first.tapes();
    let got = records[0].received.head();
    assert!(records[0].received.total() >= 40 * chunk::KRTERM as u64);
    assert!(
        sent.head().starts_with(got),
        "the robot received what nobody sent"
    );
    assert!(
        sent.total() - records[0].received.total() <= 600,
        "more than the block on its way was lost"
    );
    assert!(robot.in_progress(), "P2076");

    // The agent is back before the person is. The next upload hears the controller's own words.
    let connected =
        |event: &cell::service::Event| event.is_connected(cell::wire::Mode::Destination);
    stage
        .tunnel
        .wait_event_after(mark, connected, LIMIT)
        .await
        .expect("it comes back");
    let mut second = engineer(&source, "robot1").await;
    let refused = second
        .load("gripper", &program.text, chunk::KRTERM, |_| {})
        .await
        .expect_err("a refusal");
    assert!(
        refused
            .to_string()
            .contains("(P2076)SAVE/LOAD in progress."),
        "{refused}"
    );
    second.close().await.expect("an orderly end");
    robot.reboot();
    there_and_back(&source, &robot, 6, SIZE).await;
    stage.end();
}
