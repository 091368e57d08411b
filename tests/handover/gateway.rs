//! The gateway: a service without `[notify]`, its agent, and a robot that echoes.

use std::time::{Duration, Instant};

use cell::agent::{Agent, AgentBuilder, Configuration, Finished, Gateway};
use cell::journal::Mark;
use cell::notification;
use cell::pattern::{pattern, sha256};
use cell::service::{Event, Protocol, Service, ServiceOptions, Tunnel};
use cell::source::{Source, SourceOptions};
use cell::target::{Behaviour, Target};
use cell::wire::Mode;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::client::{connect, echo};
use crate::stage::{AGENT, LIMIT};

/// Everything there is.
pub(crate) struct Cell {
    pub(crate) service: Service,
    pub(crate) gateway: Gateway,
    pub(crate) agent: Agent,
    pub(crate) robot: Target,
    tunnels: std::cell::RefCell<Vec<Tunnel>>,
}

impl Cell {
    /// With a route `robot1` to a robot that echoes.
    pub(crate) async fn start() -> Cell {
        Cell::with(Behaviour::Echo, |file| file, |agent| agent).await
    }

    /// With another robot, and changes to the configuration file and to the way the programs are started.
    pub(crate) async fn with(
        robot: Behaviour,
        change: impl FnOnce(Configuration) -> Configuration,
        build: impl FnOnce(AgentBuilder) -> AgentBuilder,
    ) -> Cell {
        let service = Service::start(ServiceOptions::default()).await;
        let service = service.expect("a service");
        let robot = Target::start(robot).expect("a free port");
        let gateway = Gateway::new(AGENT, &service).expect("a folder");
        let gateway = gateway
            .configure(|file| change(file.route("robot1", robot.address(), "")))
            .expect("a file");
        let agent = gateway.clone().build(build).start().expect("the agent");
        let cell = Cell {
            service,
            gateway,
            agent,
            robot,
            tunnels: std::cell::RefCell::default(),
        };
        cell.listens().await;
        cell
    }

    /// The agent serves its socket.
    pub(crate) async fn listens(&self) {
        let serves = |line: &str| line.contains("takes requests");
        let waited = self.agent.wait_line(serves, LIMIT).await;
        waited.expect("the agent serves its socket");
    }

    /// A tunnel that the agent has not heard of.
    pub(crate) fn tunnel(&self) -> Tunnel {
        self.tunnel_of(&["robot1"])
    }

    /// The same, with these services.
    pub(crate) fn tunnel_of(&self, services: &[&str]) -> Tunnel {
        let tunnel = self.service.open_tunnel(services);
        self.tunnels.borrow_mut().push(tunnel.clone());
        tunnel
    }

    /// A subcommand with this standard input.
    pub(crate) async fn run(&self, arguments: &[&str], stdin: &[u8]) -> Finished {
        let ran = self.gateway.run(arguments, stdin).await;
        let ran = ran.expect("the command runs and ends");
        for tunnel in self.tunnels.borrow().iter() {
            let said = format!("{}{}", ran.stdout, ran.stderr);
            let token = &tunnel.destination_token;
            assert!(!said.contains(&token[..64]), "a token is repeated");
        }
        ran
    }

    /// What `cellgate open` makes of this notification or token.
    pub(crate) async fn open(&self, given: &[u8]) -> Finished {
        self.run(&["open"], given).await
    }

    /// A tunnel that was handed over, and is connected.
    pub(crate) async fn opened(&self) -> Tunnel {
        let tunnel = self.tunnel();
        let ran = self.open(&notification::payload(&tunnel)).await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        self.connected(&tunnel).await;
        tunnel
    }

    /// The agent is in the tunnel.
    pub(crate) async fn connected(&self, tunnel: &Tunnel) {
        let connected = |event: &Event| event.is_connected(Mode::Destination);
        let waited = tunnel.wait_event(connected, LIMIT).await;
        waited.expect("the agent connects");
        let name = name(tunnel);
        let up = |line: &str| line.contains(&name) && line.contains("WebSocket up");
        let waited = self.agent.wait_line(up, LIMIT).await;
        waited.expect("the agent says so");
    }

    /// Bytes go to the robot and back.
    pub(crate) async fn carries(&self, tunnel: &Tunnel) {
        let source = self.source(tunnel).await;
        let mut engineer = connect(&source, "robot1").await;
        echo(&mut engineer, &pattern(9, 50_000)).await;
    }

    /// An engineer's program.
    pub(crate) async fn source(&self, tunnel: &Tunnel) -> Source {
        let options = SourceOptions::new(&self.service, tunnel, Protocol::V3);
        Source::connect(options).await.expect("a source")
    }

    /// The status, by a request at the socket.
    pub(crate) async fn status(&self) -> Value {
        let ran = self.run(&["status", "--json"], b"").await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_eq!(ran.stderr, "");
        serde_json::from_str(&ran.stdout).expect("JSON")
    }

    /// Waits until the status, asked for again and again, fits.
    pub(crate) async fn status_that(&self, fits: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + LIMIT;
        loop {
            let status = self.status().await;
            if fits(&status) {
                return status;
            }
            assert!(Instant::now() < end, "no such status; the last: {status:#}");
        }
    }

    /// An honest client gets its answer, and how long it took.
    pub(crate) async fn answers(&self) -> Duration {
        let before = Instant::now();
        let asked = async {
            let mut socket = UnixStream::connect(self.gateway.socket()).await?;
            socket.write_all(b"\"status\"\n").await?;
            let mut answer = Vec::new();
            socket.read_to_end(&mut answer).await?;
            Ok::<_, std::io::Error>(answer)
        };
        let answer = timeout(LIMIT, asked).await.expect("in time");
        let answer = answer.expect("the socket is served");
        let answer: Value = serde_json::from_slice(&answer).expect("JSON");
        assert_eq!(answer["status"]["format"], 1, "{answer}");
        before.elapsed()
    }

    /// The agent has never dialled this tunnel.
    pub(crate) fn never_dialled(&self, tunnel: &Tunnel) {
        assert_eq!(dials(tunnel), 0, "{:?}", tunnel.events());
    }

    /// The agent runs, broke no rule, kept its secrets, and ends in order.
    pub(crate) async fn end(mut self) {
        assert!(self.agent.is_running().expect("the system knows"));
        self.agent
            .signal(cell::agent::Signal::SIGTERM)
            .expect("it runs");
        let code = self.agent.wait_exit(Duration::from_secs(4)).await;
        assert_eq!(code.expect("it ends"), 0);
        let log = self.agent.log().join("\n");
        assert!(!log.contains("panicked"), "{log}");
        for tunnel in self.tunnels.borrow().iter() {
            assert_eq!(tunnel.violations(), [], "the agent broke a rule");
            assert!(
                !log.contains(&tunnel.destination_token[..64]),
                "a token in the log"
            );
        }
    }
}

/// How often the destination's side of this tunnel was asked for.
pub(crate) fn dials(tunnel: &Tunnel) -> usize {
    let asked = |event: &Event| {
        let refused = matches!(event, Event::Rejected { mode, .. } if *mode != Some(Mode::Source));
        refused || event.is_connected(Mode::Destination)
    };
    let events = tunnel.events();
    events.iter().filter(|entry| asked(&entry.what)).count()
}

/// The tunnel's name: the first eight digits of a SHA-256 of its token.
pub(crate) fn name(tunnel: &Tunnel) -> String {
    sha256(tunnel.destination_token.as_bytes())[..8].to_owned()
}

/// The beginning of every log.
pub(crate) const START: Mark = Mark::START;
