//! A controller that takes no byte: it alone is reset, after its stall time, and everybody else goes on.

use std::time::Duration;

use cell::pattern::pattern;
use cell::service::Protocol;
use cell::target::{Behaviour, End, Target};
use cell::wire::{Kind, Mode};
use tokio::io::AsyncWriteExt as _;

use crate::client::{connect, echo};
use crate::stage::{LIMIT, Stage};

/// More than service, source and kernels hold on the way, so that the push really stands still.
const PUSHED: usize = 12 << 20;

/// A stall is found at most an eighth of its time late; the rest is for a machine that runs other tests beside.
const LATE: Duration = Duration::from_secs(2);

/// Pushes into a target that never reads, and checks that it is reset after `stall` and nobody else is touched.
async fn never_reads(lines: &str, stall: Duration) {
    let silent = Target::start(Behaviour::Silent).expect("a free port");
    let lively = Target::start(Behaviour::Echo).expect("a free port");
    let stage = Stage::configured(&[
        ("robot1", silent.address(), lines),
        ("robot2", lively.address(), ""),
    ])
    .await;
    let source = stage.source(Protocol::V3).await;
    // One connection of robot2 lives before, during and behind the stall.
    let mut live = connect(&source, "robot2").await;
    echo(&mut live, &pattern(1, 1_000)).await;

    let mut stuck = connect(&source, "robot1").await;
    let push = async {
        // Ends with an error when the connection does.
        let _ = stuck.write_all(&pattern(2, PUSHED)).await;
    };
    let bulk = pattern(3, 1_000_000);
    let go_on = async {
        silent
            .wait_open(0, LIMIT)
            .await
            .expect("robot1 is connected");
        echo(&mut live, &bulk).await;
    };
    let verdict = async {
        let ended = silent
            .wait_ended(0, stall + LIMIT)
            .await
            .expect("it is ended");
        let (how, at) = ended.ended.expect("waited for");
        assert!(
            matches!(how, End::Reset(_)),
            "a controller that stands still gets its terminal back at once: {how:?}"
        );
        let after = at.duration_since(ended.opened);
        assert!(after >= stall, "cut after {after:?}, before its stall time");
        assert!(
            after <= stall + stall / 8 + LATE,
            "cut only after {after:?}"
        );
    };
    tokio::join!(push, go_on, verdict);

    let reset =
        |event: &cell::service::Event| event.is_message(Mode::Destination, Kind::ConnectionReset);
    stage
        .tunnel
        .wait_event(reset, LIMIT)
        .await
        .expect("the source is told");
    assert_eq!(
        stage
            .service
            .count_events(cell::journal::Mark::START, reset),
        1,
        "only robot1 is reset"
    );
    let target = silent.address().to_string();
    let line = stage
        .agent
        .wait_line(|line| line.contains("the controller took no byte"), LIMIT)
        .await
        .expect("the log says why");
    for part in [
        "tunnel ",
        "service robot1 ",
        "connection 1",
        &target,
        &format!("for {} s", stall.as_secs()),
    ] {
        assert!(line.contains(part), "{part:?} is missing in {line:?}");
    }

    // The connection that lived goes on, and the one that was reset can be had again.
    echo(&mut live, &pattern(4, 100_000)).await;
    assert_eq!(lively.connections().len(), 1);
    silent.resume();
    let mut again = connect(&source, "robot1").await;
    again.write_all(b"once more").await.expect("connected");
    silent
        .wait_received(1, 9, LIMIT)
        .await
        .expect("it takes bytes again");
    stage.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_never_reads_is_reset_alone() {
    never_reads("stall = \"2s\"", Duration::from_secs(2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_word_in_the_file_it_has_ten_seconds() {
    never_reads("", Duration::from_secs(10)).await;
}

/// When the source has closed, the kernel may still hold bytes. A controller that takes none of them must not keep its
/// place on an exclusive route until the kernel loses patience.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn also_behind_the_end_of_its_connection() {
    let silent = Target::start(Behaviour::Silent).expect("a free port");
    let stage = Stage::configured(&[("robot1", silent.address(), "stall = \"2s\"")]).await;
    let source = stage.source(Protocol::V3).await;
    let mut client = connect(&source, "robot1").await;
    // More than the target's window, less than what the kernel takes on our side.
    client
        .write_all(&pattern(4, 150_000))
        .await
        .expect("the source takes it");
    drop(client);
    let ended = silent.wait_ended(0, LIMIT).await.expect("it is ended");
    let (how, at) = ended.ended.expect("waited for");
    assert!(matches!(how, End::Reset(_)), "{how:?}");
    let after = at.duration_since(ended.opened);
    let limit = Duration::from_secs(2) * 9 / 8 + LATE;
    assert!(after <= limit, "cut only after {after:?}");
    let told = |line: &str| line.contains("service robot1 ") && line.contains("lost");
    let said = stage.agent.wait_line(told, LIMIT).await;
    said.expect("the log says that bytes are lost");
    stage.end();
}
