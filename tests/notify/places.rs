//! Who gets a place.

use cell::agent::Agent;
use cell::broker::Broker;
use cell::journal::Mark;
use cell::notification::payload;
use cell::pattern::{Pattern, sha256};
use cell::service::{Event, Kill, Refusal, Tunnel};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::client::echo;
use crate::scene::{Engineer, LONG, Scene, THING, name, says, up};
use crate::stage::LIMIT;

fn notify(broker: &Broker, tunnel: &Tunnel) {
    broker.notify(THING, &payload(tunnel)).expect("published");
}

/// Waits until a tunnel has no place, and was never dialled.
async fn refused(scene: &Scene, agent: &Agent, tunnel: &Tunnel) {
    let name = name(tunnel);
    says(agent, Mark::START, &[&name, "refused: all", "close one"]).await;
    let line = scene.wait_audit("tunnel-refused", tunnel).await;
    assert_eq!(line["by"], "notification");
    let handshakes = |event: &Event| event.tunnel() == Some(tunnel.id);
    let dialled = scene.service.count_events(Mark::START, handshakes);
    assert_eq!(dialled, 0, "a refused token was used");
}

/// An engineer whose bytes go forth and back all the time, each compared; ends with the engineer and how many they were.
fn busy(engineer: Engineer, seed: u64) -> Busy {
    let (stop, mut stopped) = watch::channel(false);
    let (rounds, seen) = watch::channel(0);
    let task = tokio::spawn(async move {
        let mut engineer = engineer;
        let mut row = Pattern::new(seed);
        let mut piece = vec![0; 20_000];
        while !*stopped.borrow_and_update() {
            row.fill(&mut piece);
            echo(&mut engineer.socket, &piece).await;
            rounds.send_modify(|rounds| *rounds += 1);
        }
        engineer
    });
    Busy { stop, seen, task }
}

struct Busy {
    stop: watch::Sender<bool>,
    seen: watch::Receiver<u64>,
    task: JoinHandle<Engineer>,
}

impl Busy {
    /// Waits until three more pieces went forth and back.
    async fn goes_on(&mut self) {
        let now = *self.seen.borrow();
        let more = self.seen.wait_for(|rounds| *rounds >= now + 3);
        let more = tokio::time::timeout(LIMIT, more).await;
        more.expect("it goes on in time").expect("it goes on");
    }

    async fn end(self) -> Engineer {
        self.stop.send_replace(true);
        self.task.await.expect("byte for byte")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_notifications_fill_four_places() {
    let (scene, broker) = Scene::strict(4, |file| file).await;
    let agent = scene.start().await;
    let tunnels: Vec<Tunnel> = (0..10).map(|number| scene.tunnel(number % 4 + 1)).collect();
    for tunnel in &tunnels {
        notify(&broker, tunnel);
    }
    let (lucky, late) = tunnels.split_at(4);
    let mut streams = Vec::new();
    for tunnel in lucky {
        up(tunnel).await;
        let engineer = scene.engineer(tunnel).await;
        streams.push(busy(engineer, tunnel.id.0.into()));
    }
    for tunnel in late {
        refused(&scene, &agent, tunnel).await;
    }
    // The same again while all four carry streams; a refused token, told again, is refused again.
    for stream in &mut streams {
        stream.goes_on().await;
    }
    let more: Vec<Tunnel> = (0..6).map(|number| scene.tunnel(number % 4 + 1)).collect();
    for tunnel in late.iter().chain(&more) {
        notify(&broker, tunnel);
    }
    for tunnel in &more {
        refused(&scene, &agent, tunnel).await;
    }
    for (stream, robot) in streams.iter_mut().zip(&scene.robots) {
        stream.goes_on().await;
        assert_eq!(robot.connections().len(), 1);
        assert_eq!(robot.connections()[0].ended, None);
    }
    for stream in streams {
        stream.end().await;
    }
    for tunnel in lucky {
        let traffic = tunnel.destination.traffic();
        assert_eq!(traffic.connections, 1, "a connected tunnel was touched");
    }
    assert_eq!(scene.audit("tunnel-opened").len(), 4);
    assert_eq!(scene.audit("tunnel-refused").len(), 18);
    assert_eq!(scene.audit("tunnel-down").len(), 0);
    let log = agent.log();
    let lines = log.iter().filter(|line| line.contains("refused: all 4"));
    assert_eq!(lines.count(), 18, "one line for each refusal");
    let all: Vec<&Tunnel> = tunnels.iter().chain(&more).collect();
    scene.end(agent, &all);
}

/// A tunnel that waits to retry, another that is connected, and a third that comes.
async fn gives_its_place(broken: impl FnOnce(&Tunnel)) {
    let (scene, broker) = Scene::strict(2, |file| file.table("places", "tunnels = 2")).await;
    let agent = scene.start().await;
    let (lost, kept) = (scene.tunnel(1), scene.tunnel(2));
    notify(&broker, &lost);
    up(&lost).await;
    notify(&broker, &kept);
    up(&kept).await;
    let engineer = scene.engineer(&kept).await;
    let mut stream = busy(engineer, 1);
    stream.goes_on().await;
    broken(&lost);
    let is_down = [&*name(&lost), "next attempt (number"];
    says(&agent, Mark::START, &is_down).await;
    let new = scene.tunnel(1);
    notify(&broker, &new);
    up(&new).await;
    let parts = [&*name(&lost), "gives its place to tunnel", &name(&new)];
    says(&agent, Mark::START, &parts).await;
    let ended = scene.wait_audit("tunnel-ended", &lost).await;
    assert_eq!(ended["reason"], "a newer tunnel took its place");
    scene.transfer(&new, 1, 10_000).await;
    stream.goes_on().await;
    stream.end().await;
    assert_eq!(kept.destination.traffic().connections, 1);
    assert!(!lost.destination.is_connected());
    scene.end(agent, &[&lost, &kept, &new]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tunnel_that_the_service_turns_away_gives_its_place() {
    gives_its_place(|tunnel| {
        let busy = Refusal::status(503);
        tunnel.destination.refuse_next(1_000, &busy);
        tunnel.destination.kill(Kill::Fin).expect("connected");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tunnel_whose_link_is_cut_gives_its_place() {
    gives_its_place(|tunnel| {
        let cut = Refusal::Cut(Kill::Reset);
        tunnel.destination.refuse_next(1_000, &cut);
        tunnel.destination.kill(Kill::Reset).expect("connected");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tunnels_do_not_hear_each_other() {
    const LENGTH: usize = 400_000;
    let (scene, broker) = Scene::strict(4, |file| file).await;
    let agent = scene.start().await;
    let tunnels: Vec<Tunnel> = (1..=4).map(|robot| scene.tunnel(robot)).collect();
    for tunnel in &tunnels {
        notify(&broker, tunnel);
    }
    for tunnel in &tunnels {
        up(tunnel).await;
    }
    // All at once, and in each tunnel stream and connection have the same numbers.
    let (one, two, three, four) = (&tunnels[0], &tunnels[1], &tunnels[2], &tunnels[3]);
    tokio::join!(
        scene.transfer(one, 1, LENGTH),
        scene.transfer(two, 2, LENGTH),
        scene.transfer(three, 3, LENGTH),
        scene.transfer(four, 4, LENGTH),
    );
    let hashes: Vec<String> = scene
        .robots
        .iter()
        .map(|robot| robot.connections()[0].sha256.clone())
        .collect();
    for (robot, tunnel) in scene.robots.iter().zip(&tunnels) {
        assert_eq!(robot.connections().len(), 1);
        let own = cell::pattern::pattern(tunnel.id.0.into(), LENGTH);
        assert_eq!(
            hashes.iter().filter(|hash| **hash == sha256(&own)).count(),
            1
        );
    }
    // Each ends for itself.
    one.close();
    scene.wait_audit("tunnel-ended", one).await;
    scene.transfer(four, 4, 10_000).await;
    // A service that belongs to another tunnel has no route by this one.
    let ended = scene.audit("stream-ended");
    for (tunnel, robot) in tunnels.iter().zip(&scene.robots) {
        let target = robot.address().to_string();
        let own = |line: &&serde_json::Value| line["tunnel"] == name(tunnel).as_str();
        assert!(
            ended
                .iter()
                .filter(own)
                .all(|line| line["target"] == target.as_str())
        );
        assert!(ended.iter().any(|line| own(&line)));
    }
    scene.end(agent, &tunnels.iter().collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_with_one_place_has_one() {
    let (scene, broker) = Scene::strict(1, |file| file.table("places", "tunnels = 1")).await;
    let agent = scene.start().await;
    let (first, second) = (scene.tunnel(1), scene.tunnel(1));
    notify(&broker, &first);
    up(&first).await;
    notify(&broker, &second);
    refused(&scene, &agent, &second).await;
    scene.transfer(&first, 1, 10_000).await;
    first.close();
    scene.wait_audit("tunnel-ended", &first).await;
    // A token that got no place may come again.
    notify(&broker, &second);
    up(&second).await;
    scene.transfer(&second, 1, 10_000).await;
    let live = |status: &serde_json::Value| {
        let tunnels = status["tunnels"].as_array();
        tunnels.is_some_and(|all| all.len() == 1 && all[0].to_string().contains(&name(&second)))
    };
    let status = scene.gateway.wait_status(live, LONG).await;
    status.expect("the status shows the one tunnel");
    scene.end(agent, &[&first, &second]);
}
