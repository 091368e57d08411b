//! An agent for one token alone, with a runtime folder.

use std::fmt::Write as _;

use cell::agent::{AgentBuilder, Folder};
use cell::journal::Mark;
use cell::service::{Event, Kill, Refusal, Service, ServiceOptions};
use cell::target::{Behaviour, Target};
use cell::wire::Mode;

use crate::client::file;
use crate::scene::{LONG, up_after};
use crate::stage::AGENT;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_for_one_token_rejoins_and_exits_when_it_is_refused() {
    let service = Service::start(ServiceOptions::default()).await;
    let service = service.expect("a service");
    let robot = Target::start(Behaviour::Echo).expect("a free port");
    let tunnel = service.open_tunnel(&["robot1"]);
    let runtime = Folder::in_memory("cell-run").expect("a folder");
    let builder = AgentBuilder::new(AGENT).expect("a folder");
    let mut lines = format!("[routes.robot1]\ntarget = \"{}\"\n", robot.address());
    let _ = write!(
        lines,
        "[paths]\nruntime = \"{}\"\n",
        runtime.path().display()
    );
    let text = file(&service, builder.folder(), &lines);
    let builder = builder.file("ca.pem", service.ca_pem()).expect("a file");
    let builder = builder.config(&text).expect("a file");
    let builder = builder.token(&tunnel.destination_token);

    let mut agent = builder.start().expect("an agent");
    let first = up_after(&tunnel, Mark::START).await;
    let rejoin = runtime.path().join("rejoin.json");
    crate::file::wait(&rejoin, |file| file.is_some()).await;
    agent.kill().await.expect("it ran");
    let mark = tunnel.mark();
    let mut agent = builder.start().expect("an agent");
    let again = up_after(&tunnel, mark).await;
    let token = |event: &Event| {
        let Event::Connected { client_token, .. } = event else {
            panic!("{event:?}")
        };
        client_token.clone()
    };
    assert!(token(&first).is_some());
    assert_eq!(token(&again), token(&first), "the stored one is used");
    assert_eq!(tunnel.destination.traffic().connections, 2);

    // Refused: dead, told, and forgotten.
    let refusal = Refusal::status(403);
    tunnel.destination.refuse_next(1, &refusal);
    tunnel.destination.kill(Kill::Reset).expect("connected");
    assert_eq!(agent.wait_exit(LONG).await.expect("it exits"), 69);
    assert!(!rejoin.exists(), "a dead token stays behind");

    // The next token is a new tunnel, and the only one.
    let next = service.open_tunnel(&["robot1"]);
    let mark = service.mark();
    let mut agent = builder
        .token(&next.destination_token)
        .start()
        .expect("an agent");
    up_after(&next, mark).await;
    let dialled = |event: &Event| event.tunnel() == Some(tunnel.id);
    assert_eq!(service.count_events(mark, dialled), 0);
    assert!(agent.is_running().expect("the system knows"));
    assert!(next.destination.is_connected());
    let connected = |event: &Event| event.is_connected(Mode::Destination);
    assert_eq!(service.count_events(mark, connected), 1);
    assert_eq!(tunnel.violations(), []);
    assert_eq!(next.violations(), []);
}
