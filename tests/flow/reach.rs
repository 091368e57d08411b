//! How a target is named, and where the agent's connections come from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use cell::pattern::pattern;
use cell::service::{Protocol, ServiceOptions};
use cell::target::{Behaviour, Target};
use cell::wire::{Kind, Mode};
use tokio::net::TcpSocket;

use crate::client::{connect, echo, ended, from_text};
use crate::stage::{LIMIT, Stage, has_ipv6};

async fn stage(services: &[&str], routes: &str) -> Stage {
    Stage::with(ServiceOptions::default(), services, |service, tunnel| {
        from_text(service, tunnel, routes)
    })
    .await
}

async fn is_reached(routes: &str) -> Stage {
    let stage = stage(&["robot1"], routes).await;
    let source = stage.source(Protocol::V3).await;
    let mut client = connect(&source, "robot1").await;
    echo(&mut client, &pattern(1, 10_000)).await;
    stage
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_source_address_of_a_route_is_used() {
    let robot = Target::start(Behaviour::Echo).expect("a free port");
    let port = robot.address().port();
    let stage = is_reached(&format!(
        "[routes.robot1]\ntarget = \"127.0.0.1:{port}\"\nsource = \"127.0.0.2\"\n"
    ))
    .await;
    assert_eq!(
        robot.connections()[0].peer.ip(),
        IpAddr::from([127, 0, 0, 2])
    );
    stage.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_interface_of_a_route_is_used() {
    let robot = Target::start(Behaviour::Echo).expect("a free port");
    let port = robot.address().port();
    let route = |source: &str| {
        format!("[routes.robot1]\ntarget = \"127.0.0.1:{port}\"\nsource = \"{source}\"\n")
    };
    is_reached(&route("lo")).await.end();

    // That it is really used shows on one that this machine has not.
    let stage = stage(&["robot1"], &route("cell9")).await;
    let source = stage.source(Protocol::V3).await;
    ended(&mut connect(&source, "robot1").await).await;
    let line = stage
        .agent
        .wait_line(|line| line.contains("cannot reach the target"), LIMIT)
        .await
        .expect("the log says so");
    assert!(line.contains("service robot1 "), "{line}");
    assert_eq!(robot.connections().len(), 1);
    stage.end();
}

/// A target on one loopback, and on the same port of the other one a socket that refuses: another test's target there
/// would be reached in its place. Needs both.
fn on_one_loopback(ip: IpAddr) -> (Target, TcpSocket) {
    loop {
        let robot = Target::start_at((ip, 0).into(), Behaviour::Echo).expect("a free port");
        let port = robot.address().port();
        let (socket, other) = match ip {
            IpAddr::V4(_) => (TcpSocket::new_v6(), IpAddr::from(Ipv6Addr::LOCALHOST)),
            IpAddr::V6(_) => (TcpSocket::new_v4(), IpAddr::from(Ipv4Addr::LOCALHOST)),
        };
        let socket = socket.expect("a socket");
        if socket.bind((other, port).into()).is_ok() {
            return (robot, socket);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn localhost_is_either_loopback() {
    if !has_ipv6("localhost_is_either_loopback") {
        return;
    }
    for ip in [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::from(Ipv6Addr::LOCALHOST),
    ] {
        let (robot, _other) = on_one_loopback(ip);
        let port = robot.address().port();
        let stage = is_reached(&format!("[routes.robot1]\ntarget = \"localhost:{port}\"\n")).await;
        assert_eq!(robot.connections().len(), 1);
        stage.end();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ipv6_target_stands_in_brackets() {
    if !has_ipv6("an_ipv6_target_stands_in_brackets") {
        return;
    }
    let robot =
        Target::start_at((Ipv6Addr::LOCALHOST, 0).into(), Behaviour::Echo).expect("a free port");
    let port = robot.address().port();
    is_reached(&format!("[routes.robot1]\ntarget = \"[::1]:{port}\"\n"))
        .await
        .end();
    assert_eq!(
        robot.connections()[0].peer.ip(),
        IpAddr::from(Ipv6Addr::LOCALHOST)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_does_not_resolve_ends_in_a_reset_and_holds_nobody_up() {
    let robot = Target::start(Behaviour::Echo).expect("a free port");
    let routes = format!(
        "[routes.robot1]\ntarget = \"no-such-controller.invalid:23\"\n[routes.robot2]\ntarget = \"{}\"\n",
        robot.address()
    );
    let stage = stage(&["robot1", "robot2"], &routes).await;
    let source = stage.source(Protocol::V3).await;
    let mut live = connect(&source, "robot2").await;
    let start = Instant::now();
    let mut lost = connect(&source, "robot1").await;
    let reset = tokio::spawn(async move {
        ended(&mut lost).await;
        start.elapsed()
    });
    let mut longest = Duration::ZERO;
    while !reset.is_finished() {
        let start = Instant::now();
        echo(&mut live, &pattern(2, 512)).await;
        longest = longest.max(start.elapsed());
    }
    let after = reset.await.expect("no panic");
    assert!(
        after < Duration::from_secs(10),
        "the source was told only after {after:?}"
    );
    assert!(
        longest < Duration::from_secs(1),
        "robot2 was held up for {longest:?}"
    );
    let told =
        |event: &cell::service::Event| event.is_message(Mode::Destination, Kind::StreamReset);
    stage
        .tunnel
        .wait_event(told, LIMIT)
        .await
        .expect("a first connect that failed ends the stream");
    let line = stage
        .agent
        .wait_line(|line| line.contains("cannot reach the target"), LIMIT)
        .await
        .expect("the log says so");
    for part in [
        "service robot1 ",
        "no-such-controller.invalid:23",
        "resolve",
    ] {
        assert!(line.contains(part), "{part:?} is missing in {line:?}");
    }
    stage.end();
}
