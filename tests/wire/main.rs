//! What goes over the wire between the service and the agent, message by message.
//!
//! The source here is a bare WebSocket, and where a source could not send what a test needs, the service itself
//! sends it. Each row of the protocol's table "What a destination does" is here or in `versions`.

#[path = "../stage/mod.rs"]
mod stage;

mod framing;
mod log;
mod resets;
mod rules;
mod starts;
mod targets;
mod waits;

use cell::service::Protocol;
use cell::source::RawSource;
use cell::target::{Behaviour, Target};
use cell::wire::Message;

use crate::stage::{Stage, receive};

/// Two echoing targets as robot1 and robot2, and a bare V3 source.
async fn two_robots() -> (Stage, RawSource, [Target; 2]) {
    let targets = [echo(), echo()];
    let [one, two] = &targets;
    let routes = [("robot1", one.address()), ("robot2", two.address())];
    let stage = Stage::up(&routes).await;
    let raw = stage.raw(Protocol::V3).await;
    (stage, raw, targets)
}

/// One target as robot1, and a bare V3 source.
async fn one_robot(behaviour: Behaviour) -> (Stage, RawSource, Target) {
    let target = Target::start(behaviour).expect("a target");
    let stage = Stage::up(&[("robot1", target.address())]).await;
    let raw = stage.raw(Protocol::V3).await;
    (stage, raw, target)
}

fn echo() -> Target {
    Target::start(Behaviour::Echo).expect("a target")
}

/// A round trip on a live connection to an echoing target. Everything sent before it has then been dealt with, and
/// nothing was answered but this.
async fn round_trip(raw: &mut RawSource, stream: i32, service: &str, connection: u32) {
    let text = format!("round trip of {service} stream {stream} connection {connection}");
    let data = Message::data(stream, service, connection, text.clone());
    raw.send(data.clone()).await.expect("connected");
    assert_eq!(receive(raw, &data, text.len()).await, text.as_bytes());
}

/// Starts a stream with its first connection, and makes a round trip.
async fn start(raw: &mut RawSource, stream: i32, service: &str, connection: u32) {
    raw.send(Message::stream_start(stream, service, connection))
        .await
        .expect("connected");
    round_trip(raw, stream, service, connection).await;
}
