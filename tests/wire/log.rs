//! What the log tells about a stream: each stage on its own, and on each line which stream it is about.

use cell::target::Behaviour;
use cell::wire::Message;

use crate::stage::{LIMIT, Stage};
use crate::{one_robot, start};

/// Waits for a line that holds all of `parts`.
async fn told(stage: &Stage, parts: &[&str]) {
    let fits = |line: &str| parts.iter().all(|part| line.contains(part));
    let line = stage.agent.wait_line(fits, LIMIT).await;
    line.unwrap_or_else(|why| panic!("{parts:?}: {why}"));
}

#[tokio::test]
async fn each_stage_of_a_stream_is_told() {
    let (stage, mut raw, target) = one_robot(Behaviour::Echo).await;
    told(&stage, &["WebSocket up", "protocol", "channel-id"]).await;
    start(&mut raw, 12, "robot1", 7).await;
    raw.send(Message::connection_reset(12, "robot1", 7))
        .await
        .expect("connected");
    target.wait_ended(0, LIMIT).await.expect("an end");

    let address = target.address().to_string();
    let who = ["tunnel ", "service robot1", "connection 7", &address];
    for what in [
        &["started by the source"][..],
        &["TCP connected", " ms"],
        &["first byte to the controller", " ms"],
        &["first byte from the controller", " ms"],
        // Reason, bytes each way, duration.
        &[
            "ended: the source closed it",
            "43 bytes to the controller",
            "43 from it",
            " s",
        ],
    ] {
        told(&stage, &[&who[..], what].concat()).await;
    }
    stage.end();
}

#[tokio::test]
async fn an_end_at_the_controller_is_told() {
    let (stage, mut raw, target) = one_robot(Behaviour::CloseAfter { bytes: 3 }).await;
    raw.send_many(&[
        Message::stream_start(1, "robot1", 1),
        Message::data(1, "robot1", 1, "bye"),
    ])
    .await
    .expect("connected");
    let address = target.address().to_string();
    let parts = [
        "service robot1",
        "connection 1",
        &address,
        "ended",
        "the controller closed",
    ];
    told(&stage, &parts).await;
    stage.end();
}

#[tokio::test]
async fn a_lost_websocket_is_told_and_so_is_the_next_try() {
    let (stage, mut raw, _target) = one_robot(Behaviour::Echo).await;
    start(&mut raw, 1, "robot1", 1).await;
    let mark = stage.tunnel.mark();
    let killed = stage.tunnel.destination.kill(cell::service::Kill::Reset);
    killed.expect("there");
    told(&stage, &["tunnel ", "WebSocket lost after"]).await;
    told(
        &stage,
        &[
            "service robot1",
            "connection 1",
            "the link to the service is lost",
        ],
    )
    .await;
    told(&stage, &["tunnel ", "next attempt"]).await;
    stage.connected_after(mark).await;
    stage.end();
}

#[tokio::test]
async fn a_flood_of_odd_frames_is_no_flood_of_lines() {
    let (stage, mut raw, _target) = one_robot(Behaviour::Echo).await;
    let zero = Message::stream_start(0, "robot1", 1);
    let flood = vec![zero; 1_000];
    stage.tunnel.destination.send_many(&flood).expect("there");
    start(&mut raw, 1, "robot1", 1).await;
    let lines = stage.agent.log();
    let odd = lines.iter().filter(|line| line.contains("stream ID 0"));
    assert_eq!(odd.count(), 30);
    stage.end();
}
