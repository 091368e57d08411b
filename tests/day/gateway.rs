//! The cell of the day: one gateway, its broker and its service, and an engineer for each tunnel.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use cell::agent::{Agent, Gateway};
use cell::broker::{Broker, Event as Told};
use cell::journal::Mark;
use cell::notification;
use cell::pattern::pattern;
use cell::service::{Event, Protocol, Service, ServiceOptions, Tunnel, TunnelId};
use cell::source::{Source, SourceOptions};
use cell::target::{Behaviour, Target};
use cell::wire::Mode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::SOON;
use crate::client::{connect, echo, ended};
use crate::stage::{AGENT, LIMIT};

/// The gateway's name at AWS.
pub(crate) const THING: &str = "cell-7";

/// What an engineer sends and gets back, bytes.
const WORK: usize = 100_000;

/// Everything there is.
pub(crate) struct Cell {
    pub(crate) service: Service,
    pub(crate) broker: Broker,
    pub(crate) gateway: Gateway,
    pub(crate) agent: Agent,
    /// Every tunnel of the day.
    tunnels: std::cell::RefCell<Vec<Tunnel>>,
    sources: tokio::sync::Mutex<HashMap<TunnelId, Source>>,
    _robot: Target,
}

/// What the agent needs of its machine.
#[derive(Debug)]
pub(crate) struct Footprint {
    rss: u64,
    threads: u64,
    fds: usize,
}

impl Cell {
    /// With a robot that echoes, and the agent subscribed.
    pub(crate) async fn start() -> Cell {
        let service = Service::start(ServiceOptions::default()).await;
        let service = service.expect("a service");
        let broker = Broker::start().expect("a broker");
        let device = broker.device(THING).expect("a certificate");
        let robot = Target::start(Behaviour::Echo).expect("a free port");
        let gateway = Gateway::new(AGENT, &service).expect("a folder");
        let gateway = gateway
            .configure(|file| {
                file.notify(broker.port(), &device)
                    .route("robot1", robot.address(), "")
            })
            .expect("a file");
        let agent = gateway.start().expect("the agent");
        let cell = Cell {
            service,
            broker,
            gateway,
            agent,
            tunnels: std::cell::RefCell::default(),
            sources: tokio::sync::Mutex::default(),
            _robot: robot,
        };
        cell.subscribed_after(Mark::START).await;
        cell
    }

    /// A tunnel that the agent has not heard of.
    pub(crate) fn open(&self) -> Tunnel {
        let tunnel = self.service.open_tunnel(&["robot1"]);
        self.tunnels.borrow_mut().push(tunnel.clone());
        tunnel
    }

    /// Tells the agent of it.
    pub(crate) fn notify(&self, tunnel: &Tunnel) {
        let payload = notification::payload(tunnel);
        let took = self.broker.notify(THING, &payload);
        assert_eq!(took.expect("a broker"), 1, "the agent's session is there");
    }

    /// A new tunnel in which an engineer has worked.
    pub(crate) async fn works(&self, what: &str) -> Tunnel {
        let tunnel = self.open();
        self.notify(&tunnel);
        self.carries(&tunnel, what).await;
        tunnel
    }

    /// An engineer comes through the tunnel and gets back what was sent, as soon as it is there.
    pub(crate) async fn carries(&self, tunnel: &Tunnel, what: &str) {
        let there = timeout(SOON, self.connected_after(tunnel, Mark::START));
        assert!(there.await.is_ok(), "{what}: the tunnel is not opened");
        let mut engineer = self.engineer(tunnel).await;
        engineer.asks(&pattern(7, WORK)).await;
        engineer.leaves().await;
    }

    /// An engineer's connection to the robot.
    pub(crate) async fn engineer(&self, tunnel: &Tunnel) -> Engineer {
        let mut sources = self.sources.lock().await;
        let source = match sources.entry(tunnel.id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let options = SourceOptions::new(&self.service, tunnel, Protocol::V3);
                new.insert(Source::connect(options).await.expect("a source"))
            }
        };
        Engineer(connect(source, "robot1").await)
    }

    /// The agent is in the tunnel, since `mark`.
    pub(crate) async fn connected_after(&self, tunnel: &Tunnel, mark: Mark) {
        let connected = |event: &Event| event.is_connected(Mode::Destination);
        let waited = tunnel.wait_event_after(mark, connected, SOON).await;
        waited.expect("the agent connects");
    }

    /// The agent has subscribed, since `mark`.
    pub(crate) async fn subscribed_after(&self, mark: Mark) {
        let subscribed = |event: &Told| matches!(event, Told::Subscribed { .. });
        let waited = self.broker.wait_event_after(mark, subscribed, SOON).await;
        waited.expect("the agent subscribes");
    }

    /// AWS closes the tunnel, and its place is free again.
    pub(crate) async fn close(&self, tunnel: Tunnel) {
        let mark = self.agent.mark();
        tunnel.close();
        let over = |line: &str| line.contains("This token is never tried again");
        let waited = self.agent.wait_line_after(mark, over, SOON).await;
        waited.expect("the agent hears of the end");
    }

    /// A line of the log, from the beginning.
    pub(crate) async fn logs(&self, text: &str) {
        let waited = self.agent.wait_line(|line| line.contains(text), SOON).await;
        waited.expect("the agent says so");
    }

    /// So many lines of the log with this text since `mark`, and no more.
    pub(crate) async fn logs_times(&self, mark: Mark, text: &str, times: usize) {
        let mut from = mark;
        for number in 0..times {
            let waited = self
                .agent
                .wait_line_after(from, |line| line.contains(text), SOON)
                .await;
            let Ok((_, next)) = waited else {
                panic!("{text}: only {number} of {times} lines: {waited:?}");
            };
            from = next;
        }
        assert_eq!(self.lines_after(mark, text).len(), times, "{text}");
    }

    /// The lines of the log since `mark` that hold this text.
    pub(crate) fn lines_after(&self, mark: Mark, text: &str) -> Vec<String> {
        let lines = self.agent.log_after(mark);
        lines
            .into_iter()
            .filter(|line| line.contains(text) && !line.contains("audit {"))
            .collect()
    }

    /// No more than so many places are taken.
    pub(crate) async fn waits_for_places(&self, taken: u64) {
        let few = |status: &serde_json::Value| status["places"]["taken"] == taken;
        let waited = self.gateway.wait_status(few, SOON).await;
        waited.expect("the places are free again");
    }

    /// What the agent needs now.
    pub(crate) fn footprint(&self) -> Footprint {
        Footprint {
            rss: self.agent.rss().expect("it runs"),
            threads: self.agent.threads().expect("it runs"),
            fds: self.agent.fds().expect("it runs"),
        }
    }

    /// It needs no more than `before`: no thread, no descriptor; of memory what a heap that was used once keeps.
    pub(crate) fn holds(&self, before: &Footprint) {
        let now = self.footprint();
        assert!(now.threads <= before.threads + 3, "{now:?}, {before:?}");
        assert!(now.fds <= before.fds + 2, "{now:?}, {before:?}");
        assert!(now.rss <= before.rss + 3_000_000, "{now:?}, {before:?}");
    }

    /// Everything that nobody may read anywhere.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let tunnels = self.tunnels.borrow();
        let tokens = tunnels.iter().map(|tunnel| &tunnel.destination_token);
        tokens.cloned().collect()
    }

    /// The agent runs, broke no rule of the service or the broker, and ends in order.
    pub(crate) async fn end(mut self) {
        assert!(self.agent.is_running().expect("the system knows"));
        for tunnel in self.tunnels.borrow().iter() {
            assert_eq!(tunnel.violations(), [], "the agent broke a rule");
        }
        assert_eq!(self.broker.violations(), [], "the agent broke a rule");
        for line in self.agent.log() {
            assert!(!line.contains("panicked"), "{line}");
        }
        self.agent
            .signal(nix::sys::signal::Signal::SIGTERM)
            .expect("it runs");
        let code = self.agent.wait_exit(Duration::from_secs(3)).await;
        assert_eq!(code.expect("it ends"), 0);
    }
}

/// One connection of an engineer.
pub(crate) struct Engineer(TcpStream);

impl Engineer {
    /// Sends bytes, and gets the same back.
    pub(crate) async fn asks(&mut self, bytes: &[u8]) {
        echo(&mut self.0, bytes).await;
    }

    /// Closes, and waits until the robot has as well.
    pub(crate) async fn leaves(mut self) {
        self.0.shutdown().await.expect("connected");
        ended(&mut self.0).await;
    }

    /// The connection ends, instead of hanging.
    pub(crate) async fn hears_of_the_end(mut self) {
        let mut rest = Vec::new();
        let end = timeout(LIMIT, self.0.read_to_end(&mut rest)).await;
        assert!(end.is_ok(), "the connection hangs");
    }
}
