//! `connections = 1` holds for the robot, whichever tunnel somebody comes by.

use cell::service::ServiceOptions;
use cell::target::{Behaviour, Target};
use cell::wire::{Kind, Message};

use crate::site::{Plan, name_of};
use crate::stage::{LIMIT, is};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_robot_is_exclusive_across_tunnels() {
    let robot = Target::start(Behaviour::Echo).expect("a free port");
    let plan = Plan::new(ServiceOptions::default()).await;
    let site = plan
        .route("robot1", robot.address(), "connections = 1")
        .start()
        .await;
    let one = site.service.open_tunnel(&["robot1"]);
    let two = site.service.open_tunnel(&["robot1"]);
    site.open_up(&one).await;
    site.open_up(&two).await;
    let mut first = site.raw(&one).await;
    let mut second = site.raw(&two).await;
    let start = |stream| {
        [
            Message::stream_start(stream, "robot1", 1),
            Message::data(stream, "robot1", 1, "mine?"),
        ]
    };
    first.send_many(&start(1)).await.expect("connected");
    first.expect(is(Kind::Data), LIMIT).await.expect("an echo");

    second.send_many(&start(5)).await.expect("connected");
    let no = second
        .expect(is(Kind::StreamReset), LIMIT)
        .await
        .expect("it is taken");
    assert_eq!((no.stream_id, no.service_id.as_str()), (5, "robot1"));
    let refused = site
        .gateway
        .wait_audit(|line| line["event"] == "stream-refused", LIMIT)
        .await
        .expect("it is audited");
    assert_eq!(refused["tunnel"], name_of(&two));
    assert_eq!(
        (&refused["service"], &refused["stream"]),
        (&"robot1".into(), &5.into())
    );
    let reason = refused["reason"].as_str().unwrap_or_default();
    assert!(
        reason.contains("the route is exclusive (connections = 1)"),
        "{reason}"
    );
    first
        .send(Message::data(1, "robot1", 1, "still?"))
        .await
        .expect("connected");
    let echo = first
        .expect(is(Kind::Data), LIMIT)
        .await
        .expect("the first goes on");
    assert_eq!(&echo.payload[..], b"still?");
    assert_eq!(
        robot.connections().len(),
        1,
        "the robot never saw the second"
    );

    first
        .send(Message::stream_reset(1, "robot1"))
        .await
        .expect("connected");
    robot.wait_ended(0, LIMIT).await.expect("the first goes");
    second.send_many(&start(6)).await.expect("connected");
    let echo = second
        .expect(is(Kind::Data), LIMIT)
        .await
        .expect("its turn");
    assert_eq!(echo.stream_id, 6);
    site.end(&[&one, &two]);
}
