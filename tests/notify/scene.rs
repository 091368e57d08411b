//! A gateway without a tunnel: a service, controllers that echo, and an agent that waits to be told.

// Each test binary uses its own part of the scene.
#![allow(dead_code)]

use std::io::Write as _;
use std::time::Duration;

use cell::agent::{Agent, Configuration, Gateway};
use cell::broker::Broker;
use cell::journal::Mark;
use cell::mosquitto::Mosquitto;
use cell::pattern::{pattern, sha256};
use cell::service::{Event, Protocol, Service, ServiceOptions, Tunnel};
use cell::source::{Source, SourceOptions};
use cell::target::{Behaviour, Target};
use cell::wire::Mode;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::client::{connect, echo};
use crate::stage::{AGENT, LIMIT};

/// Whose notifications they are.
pub(crate) const THING: &str = "cell-0042";

/// A wait of the backoff, or one of the stages at the broker, and then some.
pub(crate) const LONG: Duration = Duration::from_secs(45);

/// All but the agent, which a test starts, kills and starts again.
pub(crate) struct Scene {
    pub(crate) service: Service,
    pub(crate) robots: Vec<Target>,
    pub(crate) gateway: Gateway,
}

impl Scene {
    /// With `robots` controllers, the routes `robot1`, `robot2`, … to them, and what `change` adds to the file.
    pub(crate) async fn new(
        robots: usize,
        change: impl FnOnce(Configuration) -> Configuration,
    ) -> Scene {
        Scene::with(ServiceOptions::default(), robots, change).await
    }

    /// As [`new`](Self::new), on a service of the test's own.
    pub(crate) async fn with(
        options: ServiceOptions,
        robots: usize,
        change: impl FnOnce(Configuration) -> Configuration,
    ) -> Scene {
        let service = Service::start(options).await.expect("a service");
        let robots: Vec<Target> = (0..robots)
            .map(|_| Target::start(Behaviour::Echo).expect("a free port"))
            .collect();
        let gateway = Gateway::new(AGENT, &service).expect("a folder");
        let gateway = gateway.configure(|file| {
            let routes = robots.iter().enumerate();
            change(routes.fold(file, |file, (index, robot)| {
                file.route(&format!("robot{}", index + 1), robot.address(), "")
            }))
        });
        Scene {
            service,
            robots,
            gateway: gateway.expect("a file"),
        }
    }

    /// With a strict broker, whose device this gateway is.
    pub(crate) async fn strict(
        robots: usize,
        change: impl FnOnce(Configuration) -> Configuration,
    ) -> (Scene, Broker) {
        let broker = Broker::start().expect("a broker");
        let device = broker.device(THING).expect("a certificate");
        let port = broker.port();
        let scene = Scene::new(robots, |file| change(file.notify(port, &device))).await;
        (scene, broker)
    }

    /// A tunnel for one of the controllers, counted from 1.
    pub(crate) fn tunnel(&self, robot: usize) -> Tunnel {
        self.service.open_tunnel(&[format!("robot{robot}")])
    }

    /// Starts the agent, and waits until it is subscribed.
    pub(crate) async fn start(&self) -> Agent {
        let agent = self.gateway.start().expect("an agent");
        subscribed(&agent, Mark::START).await;
        agent
    }

    /// A person at the controller of this tunnel.
    pub(crate) async fn engineer(&self, tunnel: &Tunnel) -> Engineer {
        let options = SourceOptions {
            // One for each tunnel, so that a second engineer can come behind the first.
            client_token: Some(sha256(tunnel.source_token.as_bytes())),
            ..SourceOptions::new(&self.service, tunnel, Protocol::V3)
        };
        let source = Source::connect(options).await.expect("a source");
        let socket = connect(&source, &tunnel.services()[0]).await;
        Engineer { source, socket }
    }

    /// Sends bytes through a tunnel to a controller, counted from 1, that nobody was connected to before, and back; the
    /// controller must have had these and no others.
    pub(crate) async fn transfer(&self, tunnel: &Tunnel, robot: usize, length: usize) {
        let bytes = pattern(tunnel.id.0.into(), length);
        let place = self.robots[robot - 1].connections().len();
        let Engineer { source, mut socket } = self.engineer(tunnel).await;
        echo(&mut socket, &bytes).await;
        drop(socket);
        let record = self.robots[robot - 1].wait_ended(place, LIMIT).await;
        let record = record.expect("the controller hears of the end");
        drop(source);
        assert_eq!(
            (record.received, record.sha256),
            (length as u64, sha256(&bytes))
        );
    }

    /// The audit lines of an event.
    pub(crate) fn audit(&self, event: &str) -> Vec<Value> {
        let mut lines = self.gateway.audit().expect("JSON lines");
        lines.retain(|line| line["event"] == event);
        lines
    }

    /// Waits for the audit line of an event of a tunnel.
    pub(crate) async fn wait_audit(&self, event: &str, tunnel: &Tunnel) -> Value {
        let name = name(tunnel);
        let fits = |line: &Value| line["event"] == event && line["tunnel"] == name.as_str();
        let line = self.gateway.wait_audit(fits, LIMIT).await;
        line.expect("the audit tells of it")
    }

    /// What holds at the end of every test: the agent runs, it broke no rule, it kept its secrets.
    pub(crate) fn end(&self, mut agent: Agent, tunnels: &[&Tunnel]) {
        assert!(agent.is_running().expect("the system knows"));
        let violation = self.service.count_events(Mark::START, Event::is_violation);
        assert_eq!(violation, 0, "the agent broke a rule");
        let audit = self.gateway.audit_lines().expect("lines");
        for line in agent.log().iter().chain(&audit) {
            assert!(!line.contains("panicked"), "{line}");
            for tunnel in tunnels {
                let told = line.contains(&tunnel.destination_token);
                assert!(!told, "a secret in the log");
            }
        }
    }
}

/// A source, and a connection to the port of its first service.
pub(crate) struct Engineer {
    pub(crate) source: Source,
    pub(crate) socket: TcpStream,
}

/// The name that log, status and audit have for a tunnel: a hash of its token.
pub(crate) fn name(tunnel: &Tunnel) -> String {
    sha256(tunnel.destination_token.as_bytes())[..8].to_owned()
}

/// Waits until the agent says that it is subscribed.
pub(crate) async fn subscribed(agent: &Agent, mark: Mark) -> Mark {
    let fits = |line: &str| line.contains("mqtt: connected to ") && line.contains("subscribed");
    let (_, mark) = agent
        .wait_line_after(mark, fits, LONG)
        .await
        .expect("the agent is subscribed");
    mark
}

/// Waits for a line with all these parts, behind a mark.
pub(crate) async fn says(agent: &Agent, mark: Mark, parts: &[&str]) -> (String, Mark) {
    let fits = |line: &str| parts.iter().all(|part| line.contains(part));
    let line = agent.wait_line_after(mark, fits, LONG).await;
    line.unwrap_or_else(|timeout| panic!("no line with {parts:?}: {timeout}"))
}

/// Waits until the destination of a tunnel is connected, behind a mark of the service.
pub(crate) async fn up_after(tunnel: &Tunnel, mark: Mark) -> Event {
    let fits = |event: &Event| event.is_connected(Mode::Destination);
    let event = tunnel.wait_event_after(mark, fits, LONG).await;
    event.expect("the agent comes into the tunnel").0
}

/// Waits until the destination of a tunnel is connected.
pub(crate) async fn up(tunnel: &Tunnel) -> Event {
    up_after(tunnel, Mark::START).await
}

/// A mosquitto, if this machine has one. Says so past the capture of the test harness if it has none.
pub(crate) async fn mosquitto(test: &str) -> Option<Mosquitto> {
    match Mosquitto::available() {
        Ok(()) => Some(Mosquitto::start().await.expect("a mosquitto")),
        Err(why) => {
            skipped(&format!("{why}: {test}"));
            None
        }
    }
}

/// A skip that nobody sees counts as a pass.
pub(crate) fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}
