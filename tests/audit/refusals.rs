//! Who wanted in and did not get in.

use cell::service::ServiceOptions;
use cell::target::{Behaviour, RefusingPort, Target};
use cell::wire::{Kind, Message};
use serde_json::Value;

use crate::site::{Plan, name_of};
use crate::stage::{LIMIT, is};
use crate::tape::{agreed, fields};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_without_a_route_is_written_down() {
    let plan = Plan::new(ServiceOptions::default()).await;
    let plan = plan.table("routes.robot1", "target = \"127.0.0.1:9\"");
    let site = plan.start().await;
    let tunnel = site.service.open_tunnel(&["robot1", "robot9"]);
    site.open_up(&tunnel).await;
    let mut source = site.raw(&tunnel).await;
    let start = Message::stream_start(4, "robot9", 1);
    source.send(start).await.expect("connected");
    source
        .expect(is(Kind::StreamReset), LIMIT)
        .await
        .expect("no way");
    let lines = agreed(&site).await;
    let line = lines.last().expect("a line");
    assert_eq!(line["event"], "stream-refused");
    assert_eq!(
        fields(line),
        [
            "connection",
            "event",
            "reason",
            "service",
            "stream",
            "time",
            "tunnel"
        ]
    );
    assert_eq!(line["tunnel"], name_of(&tunnel));
    assert_eq!(
        (&line["service"], &line["stream"]),
        (&"robot9".into(), &4.into())
    );
    let reason = line["reason"].as_str().unwrap_or_default();
    assert!(
        reason.contains("no route has this service's name"),
        "{reason}"
    );
    site.end(&[&tunnel]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controller_that_refuses_is_written_down() {
    let nobody = RefusingPort::new().expect("a free port");
    let plan = Plan::new(ServiceOptions::default()).await;
    let site = plan.route("robot1", nobody.address(), "").start().await;
    let tunnel = site.service.open_tunnel(&["robot1"]);
    site.open_up(&tunnel).await;
    let mut source = site.raw(&tunnel).await;
    source
        .send_many(&[
            Message::stream_start(4, "robot1", 1),
            Message::data(4, "robot1", 1, "early"),
        ])
        .await
        .expect("connected");
    let ended = |line: &Value| line["event"] == "stream-ended";
    let line = site
        .gateway
        .wait_audit(ended, LIMIT)
        .await
        .expect("it is audited");
    assert_eq!((&line["down"], &line["up"]), (&0.into(), &0.into()));
    let reason = line["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("it refuses the connection"), "{reason}");
    assert_eq!(line["target"], nobody.address().to_string());
    let lines = agreed(&site).await;
    assert!(lines.iter().all(|line| line["event"] != "first-byte"));
    site.end(&[&tunnel]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tunnel_without_a_place_is_written_down() {
    let robot = Target::start(Behaviour::Echo).expect("a free port");
    let plan = Plan::new(ServiceOptions::default()).await;
    let plan = plan.table("places", "tunnels = 1");
    let site = plan.route("robot1", robot.address(), "").start().await;
    let one = site.service.open_tunnel(&["robot1"]);
    let two = site.service.open_tunnel(&["robot1"]);
    site.open_up(&one).await;
    let answer = site.hand_over(&two).await;
    let told = answer["refused"].as_str().unwrap_or_default().to_owned();
    assert!(told.contains(&name_of(&two)), "{answer}");
    let lines = agreed(&site).await;
    let line = lines.last().expect("a line");
    assert_eq!(line["event"], "tunnel-refused");
    assert_eq!(fields(line), ["by", "event", "reason", "time", "tunnel"]);
    assert_eq!(
        (&line["tunnel"], &line["by"]),
        (&name_of(&two).into(), &"cellgate open".into())
    );
    let reason = line["reason"].as_str().unwrap_or_default();
    assert!(reason.starts_with("all 1 places are taken"), "{reason}");
    assert!(told.ends_with(reason), "who asked hears the same: {told}");
    assert_eq!(two.events().len(), 0, "nothing was dialled");
    assert!(one.destination.is_connected(), "the first stays");
    site.end(&[&one, &two]);
}
