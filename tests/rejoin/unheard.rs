//! Streams that an agent before this one had, and that no file tells of: it was killed as they started.

use cell::agent::{Agent, Signal};
use cell::broker::Broker;
use cell::journal::Mark;
use cell::notification::payload;
use cell::service::{Event, Kill, Tunnel};
use cell::source::RawSource;
use cell::wire::{Kind, Message, Mode};

use crate::back::{quiet, source, start};
use crate::file::wait;
use crate::scene::{Scene, THING, up, up_after};
use crate::stage::LIMIT;

/// An agent in a tunnel, and a source that hears of the agent alone.
struct Cell {
    scene: Scene,
    _broker: Broker,
    agent: Agent,
    tunnel: Tunnel,
    source: RawSource,
}

impl Cell {
    async fn new() -> Cell {
        let (scene, broker) = quiet(1).await;
        let agent = scene.start().await;
        let tunnel = scene.tunnel(1);
        broker.notify(THING, &payload(&tunnel)).expect("published");
        up(&tunnel).await;
        wait(&scene.gateway.rejoin(), |file| file.is_some()).await;
        let source = source(&scene, &tunnel).await;
        Cell {
            scene,
            _broker: broker,
            agent,
            tunnel,
            source,
        }
    }

    /// The service has passed this on to the agent's connection.
    async fn send(&mut self, message: Message) {
        let kind = message.kind().expect("known");
        let mark = self.tunnel.mark();
        self.source.send(message).await.expect("connected");
        let passed = |event: &Event| event.is_message(Mode::Source, kind);
        let passed = self.tunnel.wait_event_after(mark, passed, LIMIT).await;
        passed.expect("the service has it");
    }

    /// Killed now, and back in the tunnel.
    async fn crash(&mut self) {
        self.agent.kill().await.expect("it ran");
        let mark = self.tunnel.mark();
        self.agent = self.scene.gateway.start().expect("an agent");
        up_after(&self.tunnel, mark).await;
    }

    /// Stream 5 was started, and the agent never read of it.
    async fn unread() -> Cell {
        let mut cell = Cell::new().await;
        cell.agent.signal(Signal::SIGSTOP).expect("it runs");
        cell.send(Message::stream_start(5, "robot1", 1)).await;
        cell.crash().await;
        cell
    }

    /// The source hears that stream 5 is gone, once, and its next one works.
    async fn ends_by_one_reset(mut self) {
        let reset = self.source.recv(LIMIT).await.expect("STREAM_RESET");
        assert_eq!(reset, Message::stream_reset(5, "robot1"));
        start(&mut self.source, 6, "robot1").await;
        let resets = |event: &Event| event.is_message(Mode::Destination, Kind::StreamReset);
        assert_eq!(self.scene.service.count_events(Mark::START, resets), 1);
        self.scene.end(self.agent, &[&self.tunnel]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_first_bytes_end_a_stream_that_nobody_read_of() {
    let mut cell = Cell::unread().await;
    for _ in 0..3 {
        cell.send(Message::data(5, "robot1", 1, "READY?")).await;
    }
    cell.ends_by_one_reset().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_more_connection_ends_a_stream_that_nobody_read_of() {
    let mut cell = Cell::unread().await;
    cell.send(Message::connection_start(5, "robot1", 2)).await;
    cell.send(Message::data(5, "robot1", 2, "READY?")).await;
    cell.ends_by_one_reset().await;
}

/// Its only client went away: the next one must not be told that its stream is not the current one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_its_connection_ends_a_stream_that_nobody_read_of() {
    let mut cell = Cell::unread().await;
    cell.send(Message::connection_reset(5, "robot1", 1)).await;
    cell.ends_by_one_reset().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_stream_is_always_taken() {
    for next in [5, 6] {
        let mut cell = Cell::unread().await;
        start(&mut cell.source, next, "robot1").await;
        cell.scene.end(cell.agent, &[&cell.tunnel]);
    }
}

/// With the agent running: whether it read the start, wrote it down, or died before, the source is told, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_any_moment_of_a_start_leaves_no_stream_behind() {
    for _ in 0..5 {
        let mut cell = Cell::new().await;
        cell.send(Message::stream_start(5, "robot1", 1)).await;
        cell.crash().await;
        cell.send(Message::data(5, "robot1", 1, "READY?")).await;
        cell.ends_by_one_reset().await;
    }
}

/// The same agent on a new WebSocket, of a service that tells the source nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_before_the_link_was_lost_is_ended_too() {
    let mut cell = Cell::new().await;
    start(&mut cell.source, 5, "robot1").await;
    let mark = cell.tunnel.mark();
    cell.tunnel
        .destination
        .kill(Kill::Reset)
        .expect("connected");
    up_after(&cell.tunnel, mark).await;
    cell.send(Message::data(5, "robot1", 1, "READY?")).await;
    cell.ends_by_one_reset().await;
}
