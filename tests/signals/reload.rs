//! SIGHUP.

use cell::agent::{AgentBuilder, Signal};
use cell::pattern::{Pattern, pattern};
use cell::service::{Event, Protocol, ServiceOptions};
use cell::target::{Behaviour, Target};
use cell::wire::{Kind, Mode};

use crate::client::{connect, echo, ended, file, from_text};
use crate::stage::{AGENT, LIMIT, Stage};

/// The lines of a route.
fn route(name: &str, target: &Target) -> String {
    format!("[routes.{name}]\ntarget = \"{}\"\n", target.address())
}

const ROBOTS: [&str; 3] = ["robot1", "robot2", "robot3"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sighup_reloads_the_routes() {
    let robots = ROBOTS.map(|_| Target::start(Behaviour::Echo).expect("a free port"));
    let before = route("robot1", &robots[0]) + &route("robot2", &robots[1]);
    let stage = Stage::with(ServiceOptions::default(), &ROBOTS, |service, tunnel| {
        from_text(service, tunnel, &before)
    })
    .await;
    let source = stage.source(Protocol::V3).await;
    let mut kept = connect(&source, "robot1").await;
    let mut removed = connect(&source, "robot2").await;
    echo(&mut kept, b"before").await;
    echo(&mut removed, b"before").await;
    // robot3 has no route yet.
    ended(&mut connect(&source, "robot3").await).await;

    // A live connection of a route that stays, busy before, during and behind the reload.
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let busy = tokio::spawn(async move {
        let mut row = Pattern::new(4);
        let mut piece = vec![0; 10_000];
        while stopped.is_empty() {
            row.fill(&mut piece);
            echo(&mut kept, &piece).await;
        }
        kept
    });
    let after = route("robot1", &robots[0]) + "pace = 1000000\n" + &route("robot3", &robots[2]);
    let text = file(&stage.service, stage.agent.folder(), &after);
    stage
        .agent
        .write_file("cellgate.toml", &text)
        .expect("a file");
    let mark = stage.tunnel.mark();
    stage.agent.signal(Signal::SIGHUP).expect("it runs");
    stage
        .agent
        .wait_line(|line| line.contains("routes read again"), LIMIT)
        .await
        .expect("it says so");

    // The route that is gone: a reset to the source, FIN to the controller, and why.
    assert!(ended(&mut removed).await, "the engineer gets FIN");
    let record = robots[1].wait_ended(0, LIMIT).await.expect("it ends");
    assert!(record.ended_by_fin(), "{:?}", record.ended);
    let reset = |event: &Event| {
        event.is_message(Mode::Destination, Kind::ConnectionReset)
            && matches!(event, Event::Message { service, .. } if service == "robot2")
    };
    stage
        .tunnel
        .wait_event_after(mark, reset, LIMIT)
        .await
        .expect("the source is told");
    let why =
        |line: &str| line.contains("service robot2 ") && line.contains("has its route no more");
    stage
        .agent
        .wait_line(why, LIMIT)
        .await
        .expect("the log says why");
    ended(&mut connect(&source, "robot2").await).await;
    assert_eq!(
        robots[1].connections().len(),
        1,
        "a removed route was dialled"
    );

    // The new route, and the kept one.
    echo(&mut connect(&source, "robot3").await, &pattern(5, 50_000)).await;
    stop.send(()).expect("it is busy");
    let mut kept = busy
        .await
        .expect("the kept connection goes on byte for byte");
    echo(&mut kept, b"behind").await;
    assert_eq!(robots[0].connections().len(), 1);
    assert_eq!(robots[0].connections()[0].ended, None);
    stage.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_file_changes_nothing() {
    let robots = [0, 1].map(|_| Target::start(Behaviour::Echo).expect("a free port"));
    let before = route("robot1", &robots[0]) + &route("robot2", &robots[1]);
    let stage = Stage::with(
        ServiceOptions::default(),
        &ROBOTS[..2],
        |service, tunnel| from_text(service, tunnel, &before),
    )
    .await;
    let source = stage.source(Protocol::V3).await;
    let mut live = connect(&source, "robot1").await;
    echo(&mut live, b"before").await;
    let bad =
        "[routes.robot1]\ntarget = \"nonsense\"\nstale = \"10s\"\n[routes.robot2]\ntarget = 23\n";
    let text = file(&stage.service, stage.agent.folder(), bad);
    stage
        .agent
        .write_file("cellgate.toml", &text)
        .expect("a file");
    stage.agent.signal(Signal::SIGHUP).expect("it runs");
    stage
        .agent
        .wait_line(|line| line.contains("the routes stay as they were"), LIMIT)
        .await
        .expect("it says so");
    let log = stage.agent.log();
    for fault in [
        "routes.robot1.target",
        "routes.robot1.stale",
        "routes.robot2.target",
    ] {
        assert!(
            log.iter()
                .any(|line| line.contains(fault) && line.contains("ERROR")),
            "no fault told of {fault}: {log:#?}"
        );
    }
    echo(&mut live, b"behind").await;
    echo(&mut connect(&source, "robot2").await, b"still served").await;
    // A good file mends it.
    let text = file(
        &stage.service,
        stage.agent.folder(),
        &route("robot1", &robots[0]),
    );
    stage
        .agent
        .write_file("cellgate.toml", &text)
        .expect("a file");
    stage.agent.signal(Signal::SIGHUP).expect("it runs");
    stage
        .agent
        .wait_line(|line| line.contains("routes read again"), LIMIT)
        .await
        .expect("it says so");
    ended(&mut connect(&source, "robot2").await).await;
    echo(&mut live, b"to the end").await;
    stage.end();
}

/// A line of a map.
fn mapped(name: &str, target: &Target) -> String {
    format!("{name} = {}\n", target.address())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sighup_reads_the_folder_of_maps_again() {
    let robots = ROBOTS.map(|_| Target::start(Behaviour::Echo).expect("a free port"));
    let before = mapped("robot1", &robots[0]) + &mapped("robot2", &robots[1]);
    let stage = Stage::with(ServiceOptions::default(), &ROBOTS, |service, tunnel| {
        let builder = AgentBuilder::new(AGENT).expect("a folder");
        let maps = builder.folder().join("maps");
        std::fs::create_dir(&maps).expect("a folder");
        // The file beside the folder of maps has no routes of its own.
        let rest = "thing = \"cell-0042\"\n".to_owned() + &file(service, builder.folder(), "");
        let builder = builder.file("ca.pem", service.ca_pem()).expect("a file");
        let builder = builder.file("maps/cell.ini", &before).expect("a file");
        let builder = builder.config(&rest).expect("a file");
        let builder = builder.arg("--config-dir").arg(maps);
        builder.token(&tunnel.destination_token)
    })
    .await;
    let of_whom = |line: &str| line.ends_with(" starts for thing cell-0042");
    let wait = stage.agent.wait_line(of_whom, LIMIT);
    wait.await.expect("the first line names the thing");
    let source = stage.source(Protocol::V3).await;
    let mut kept = connect(&source, "robot1").await;
    let mut removed = connect(&source, "robot2").await;
    echo(&mut kept, b"before").await;
    echo(&mut removed, b"before").await;

    let after = mapped("robot1", &robots[0]) + &mapped("robot3", &robots[2]);
    let write = |text: &str| stage.agent.write_file("maps/cell.ini", text);
    write(&after).expect("a file");
    stage.agent.signal(Signal::SIGHUP).expect("it runs");
    let folder = stage.agent.folder().join("maps").display().to_string();
    let said = format!("{folder}: routes read again");
    let wait = stage.agent.wait_line(|line| line.contains(&said), LIMIT);
    wait.await.expect("it says so, and of what");
    assert!(ended(&mut removed).await, "the engineer gets FIN");
    ended(&mut connect(&source, "robot2").await).await;
    echo(&mut connect(&source, "robot3").await, b"new").await;
    echo(&mut kept, b"behind").await;

    // A broken map changes nothing.
    write(&format!("{after}nonsense\n")).expect("a file");
    stage.agent.signal(Signal::SIGHUP).expect("it runs");
    let said = format!("{folder}: not taken; the routes stay as they were");
    let wait = stage.agent.wait_line(|line| line.contains(&said), LIMIT);
    wait.await.expect("it says so");
    echo(&mut connect(&source, "robot3").await, b"still served").await;
    echo(&mut kept, b"to the end").await;
    stage.end();
}
