//! What engineers send and fetch, and the comparison of every byte with the controller's record.

use std::time::Duration;

use cell::controller::{ConnectionRecord, Controller, End, Tape};
use cell::engineer::{Engineer, EngineerError, EngineerOptions, chunk};
use cell::program::Program;
use tokio::time::{Instant, sleep};

use crate::scene::Scene;
use crate::stage::LIMIT;

/// A program in bytes; with the words around it the whole fits into the head of a [`Tape`].
pub(crate) const SIZE: usize = 30 * 1024;

/// Longer than any wait in the matrix: it is the end of the connection that an engineer is to hear of.
const PATIENCE: Duration = Duration::from_secs(120);

/// How a transfer ended.
pub(crate) struct Transferred {
    pub(crate) outcome: Result<Vec<u8>, EngineerError>,
    sent: Tape,
    received: Tape,
}

/// Loads a fresh program, and compares every byte of the connection, each way.
pub(crate) async fn fresh(scene: &mut Scene, seed: u64) -> Result<(), EngineerError> {
    let program = Program::generate(seed, SIZE);
    let place = scene.robot.connections().len();
    let address = scene.source().await.address("robot1");
    let options = EngineerOptions {
        patience: Duration::from_secs(5),
        ..EngineerOptions::default()
    };
    let mut engineer = Engineer::connect_with(address, options).await?;
    let name = format!("fresh{seed}");
    let loaded = engineer.load(&name, &program.text, chunk::KRTERM, |_| {});
    loaded.await?;
    let done = finished(engineer, Ok(program.text.clone())).await;
    // An attempt before this one may have left a connection of its own behind.
    let ours = |record: &ConnectionRecord| record.end.is_some() && record.received == done.sent;
    let records = scene
        .robot
        .wait_for(LIMIT, |records| records[place..].iter().any(ours));
    let records = records.await.expect("the robot received what was sent");
    let record = records[place..].iter().find(|record| ours(record));
    whole(&done, record.expect("waited for"), &program);
    let stored = scene.robot.program(&name).expect("it is stored");
    assert!(stored == program.text, "the robot has another program");
    Ok(())
}

/// Tries to load a fresh program, until it works.
pub(crate) async fn works_again(scene: &mut Scene, seed: u64, limit: Duration) {
    let until = Instant::now() + limit;
    loop {
        match fresh(scene, seed).await {
            Ok(()) => break,
            Err(why) if Instant::now() > until => {
                panic!("no program was loaded within {limit:?} behind the fault: {why}")
            }
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
    let late = Instant::now().saturating_duration_since(until);
    assert!(
        late.is_zero(),
        "loaded {late:?} later than within {limit:?}"
    );
}

/// The program that was there before the fault, and the audit's line of it.
pub(crate) fn kept(scene: &Scene, seed: u64) -> Result<(), String> {
    let stored = scene.robot.program(&format!("fresh{seed}"));
    let program = Program::generate(seed, SIZE);
    if stored.is_none_or(|stored| stored != program.text) {
        return Err("the robot has another program".to_owned());
    }
    let record = &scene.robot.connections()[0];
    let (down, up) = (record.received.total(), record.sent.total());
    let audit = std::fs::read_to_string(&scene.audit).unwrap_or_default();
    let figures = format!("\"down\":{down},\"up\":{up},");
    let is_there = |line: &str| {
        let robot = line.contains("\"stream-ended\"") && line.contains("\"robot1\"");
        robot && line.contains(&figures)
    };
    if audit.lines().any(is_there) {
        Ok(())
    } else {
        Err(format!("no line with {figures}: {audit}"))
    }
}

pub(crate) fn patient() -> EngineerOptions {
    EngineerOptions {
        patience: PATIENCE,
        ..EngineerOptions::default()
    }
}

pub(crate) async fn login(scene: &mut Scene) -> Engineer {
    let address = scene.source().await.address("robot1");
    let engineer = Engineer::connect_with(address, patient()).await;
    engineer.expect("the login goes through the tunnel")
}

pub(crate) async fn finished(
    engineer: Engineer,
    outcome: Result<Vec<u8>, EngineerError>,
) -> Transferred {
    let (sent, received) = engineer.tapes();
    let (sent, received) = (sent.clone(), received.clone());
    if outcome.is_ok() {
        engineer.close().await.expect("an orderly end");
    }
    Transferred {
        outcome,
        sent,
        received,
    }
}

/// The record of the robot's first connection, when it has ended.
pub(crate) async fn record(robot: &Controller, limit: Duration) -> ConnectionRecord {
    let ended = |records: &[ConnectionRecord]| {
        let record = records.first();
        record.is_some_and(|record| record.end.is_some())
    };
    let records = robot.wait_for(limit, ended).await;
    let mut records = records.expect("the robot hears of the end");
    records.swap_remove(0)
}

/// Not only the program: every byte of both directions.
pub(crate) fn whole(done: &Transferred, record: &ConnectionRecord, program: &Program) {
    match &done.outcome {
        Ok(bytes) => assert!(*bytes == program.text, "another program came"),
        Err(why) => panic!("the transfer failed: {why}"),
    }
    assert_eq!(record.received, done.sent, "what the robot received");
    assert_eq!(record.sent, done.received, "what the engineer received");
    assert_eq!(record.faults, Vec::<String>::new());
    assert_eq!(record.end, Some(End::PeerFin));
}

/// Each side received the beginning of what the other sent. What the robot asked the next block for, it has.
pub(crate) fn cut(done: &Transferred, record: &ConnectionRecord, by_fin: bool) {
    assert!(
        done.outcome.is_err(),
        "the transfer that was to end went on"
    );
    let ways = [
        (&done.sent, &record.received),
        (&record.sent, &done.received),
    ];
    for (sent, received) in ways {
        assert!(received.total() <= Tape::HEAD as u64, "all of it is kept");
        let right = sent.head().starts_with(received.head());
        assert!(right, "bytes that nobody sent:\n{sent:?}\n{received:?}");
    }
    if by_fin {
        let in_order = matches!(record.end, Some(End::PeerFin | End::HungUp));
        assert!(in_order, "{:?}", record.end);
        // LOAD is stop and wait.
        let lost = done.sent.total() - record.received.total();
        assert!(
            lost <= 600,
            "more than the block on its way was lost: {lost}"
        );
    }
}
