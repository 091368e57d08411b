//! Landlock: the kernel's word is what counts, so each is asked of the running agent.

use std::os::unix::net::UnixDatagram;

use cell::agent::{AgentBuilder, Folder, Signal};
use cell::service::ServiceOptions;
use cell::target::{Behaviour, Target};

use crate::skipped;
use crate::stage::{LIMIT, Stage};

/// The line of the log, if the kernel has Landlock at all.
async fn line(stage: &Stage, test: &str) -> Option<String> {
    let found = stage
        .agent
        .wait_line(|line| line.contains(" landlock: "), LIMIT);
    let line = found.await.expect("the agent says how it is held");
    if line.contains("does not confine") {
        skipped(&format!("{test}: {line}"));
        return None;
    }
    Some(line)
}

/// A file of two routes to the same target, and the agent's runtime folder in memory.
fn text(runtime: &Folder, endpoint: &str, ca: &str, port: u16) -> String {
    format!(
        "[tunnel]\nendpoint = \"{endpoint}\"\nca = \"{ca}\"\n[paths]\nruntime = \"{}\"\n\
         [routes.robot1]\ntarget = \"127.0.0.1:{port}\"\n",
        runtime.path().display()
    )
}

/// An agent that a service manager watches over, as it believes.
async fn watched(runtime: &Folder, port: u16) -> Stage {
    Stage::with(ServiceOptions::default(), &["robot1"], |service, tunnel| {
        let builder = AgentBuilder::new(crate::stage::AGENT).expect("a folder");
        let builder = builder.file("ca.pem", service.ca_pem()).expect("a file");
        let ca = builder.folder().join("ca.pem").display().to_string();
        let text = text(runtime, &service.endpoint(), &ca, port);
        builder
            .config(&text)
            .expect("a file")
            .token(&tunnel.destination_token)
            .env("NOTIFY_SOCKET", runtime.path().join("notify"))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watched_agent_takes_no_route_to_another_port() {
    let robots = [0, 1].map(|_| Target::start(Behaviour::Echo).expect("a free port"));
    let [first, second] = [robots[0].address().port(), robots[1].address().port()];
    let runtime = Folder::in_memory("cell-held").expect("a folder");
    let _notify = UnixDatagram::bind(runtime.path().join("notify")).expect("a socket");
    let stage = watched(&runtime, first).await;
    let Some(line) = line(&stage, "routes to another port").await else {
        return stage.end();
    };
    if line.contains("TCP is not confined") {
        skipped(&format!("routes to another port: {line}"));
        return stage.end();
    }
    assert!(line.contains(&format!("{first}")), "{line}");
    let ca = stage.agent.folder().join("ca.pem").display().to_string();
    let reload = |port| {
        let text = text(&runtime, &stage.service.endpoint(), &ca, port);
        stage
            .agent
            .write_file("cellgate.toml", &text)
            .expect("a file");
        stage.agent.signal(Signal::SIGHUP).expect("it runs");
    };
    reload(second);
    let said = format!("not taken: robot1 leads to port {second}");
    let refused = stage
        .agent
        .wait_line(|line| line.contains(&said), LIMIT)
        .await;
    refused.expect("it refuses, and says why");
    reload(first);
    let taken = stage
        .agent
        .wait_line(|line| line.contains("routes read again"), LIMIT)
        .await;
    taken.expect("what it may dial it takes");
    stage.end();
}

/// The domain of the process, as the kernel has it: without one the files of the machine would open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_beside_its_own_stay_closed() {
    let robot = Target::start(Behaviour::Echo).expect("a free port");
    let elsewhere = Folder::new("cell-elsewhere").expect("a folder");
    let maps = Folder::new("cell-maps").expect("a folder");
    let map = format!("robot1 = {}\n", robot.address());
    elsewhere.write("cell.ini", &map).expect("a file");
    maps.write("cell.ini", &map).expect("a file");
    let stage = Stage::with(ServiceOptions::default(), &["robot1"], |service, tunnel| {
        let builder = AgentBuilder::new(crate::stage::AGENT).expect("a folder");
        let builder = builder.file("ca.pem", service.ca_pem()).expect("a file");
        let ca = builder.folder().join("ca.pem");
        let builder = builder.args(["-e", &service.endpoint()]).arg("-c").arg(ca);
        let builder = builder.arg("--config-dir").arg(maps.path());
        builder.token(&tunnel.destination_token)
    })
    .await;
    if line(&stage, "files beside the agent's own").await.is_none() {
        return stage.end();
    }
    // The same bytes: in its folder the agent reads them, and through a link out of it the kernel forbids them.
    let reload = || stage.agent.signal(Signal::SIGHUP).expect("it runs");
    reload();
    let taken = stage
        .agent
        .wait_line(|line| line.contains("routes read again"), LIMIT)
        .await;
    taken.expect("its own folder is open to it");
    std::fs::remove_file(maps.path().join("cell.ini")).expect("our file");
    std::os::unix::fs::symlink(
        elsewhere.path().join("cell.ini"),
        maps.path().join("cell.ini"),
    )
    .expect("a link");
    reload();
    let refused = |line: &str| line.contains("ERROR") && line.contains("Permission denied");
    let refused = stage.agent.wait_line(refused, LIMIT).await;
    refused.expect("a folder that it was not started with is closed, to root too");
    stage.end();
}
