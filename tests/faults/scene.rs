//! The gateway of one cell, and everything around it: a service, a broker, three controllers, and what a fault needs.

use std::path::PathBuf;
use std::time::Duration;

use cell::agent::{Agent, AgentBuilder, Gateway};
use cell::broker::Broker;
use cell::certs::DeviceFiles;
use cell::controller::{Controller, ControllerOptions, Jam};
use cell::held::HeldPort;
use cell::journal::Mark;
use cell::notification::payload;
use cell::proxy::Proxy;
use cell::service::{Event, Protocol, Service, ServiceOptions, Tunnel};
use cell::source::{Source, SourceOptions};
use cell::target::{Behaviour, Target};
use cell::wire::Mode;

use crate::faked::Faked;
use crate::line::Line;
use crate::nameserver::Nameserver;
use crate::small::Small;
use crate::stage::{AGENT, LIMIT};

/// The gateway's name at AWS.
pub(crate) const THING: &str = "cell-7";

/// Processor time of an agent without optimisation in a cell, at most. One that turns without end has it in four
/// seconds, and most faults that take long to be found take longer.
const CPU_MAX: Duration = Duration::from_secs(4);

/// A controller that takes 160 kB/s.
pub(crate) const SLOW: Behaviour = Behaviour::Slow {
    bytes: 8_000,
    every: Duration::from_millis(50),
};

/// What a family puts between the gateway and the rest.
#[derive(Debug)]
pub(crate) enum Ground {
    /// Nothing.
    Plain,
    /// A line to the service and one to the broker.
    Lines([Line; 2]),
    /// A proxy at this port, unless it is away.
    Proxy(HeldPort, Option<Proxy>),
    /// Names have an address by this server alone.
    Names(Nameserver),
    /// The agent has a clock of its own.
    Clock(Faked),
    /// A disk that can be full, and what is below it.
    Disk(Small),
}

/// A gateway that is not started yet.
pub(crate) struct Plan {
    pub(crate) service: Service,
    pub(crate) broker: Broker,
    device: DeviceFiles,
    /// Takes LOAD and SAVE.
    pub(crate) robot: Controller,
    /// Echoes; the neighbour is connected to it.
    pub(crate) other: Target,
    /// Takes its time.
    pub(crate) slow: Target,
    pub(crate) gateway: Gateway,
    /// Where the agent is to find the service and the broker.
    pub(crate) service_at: String,
    pub(crate) broker_at: String,
    /// Where it is to find the robot.
    pub(crate) robot_at: String,
    /// Further lines of the slow controller's route.
    pub(crate) slow_lines: &'static str,
    /// Further tables of the configuration.
    pub(crate) tables: Vec<(&'static str, String)>,
    pub(crate) audit: PathBuf,
    pub(crate) runtime: PathBuf,
    pub(crate) ground: Ground,
}

impl Plan {
    pub(crate) async fn new() -> Plan {
        let service = Service::start(ServiceOptions::default()).await;
        let service = service.expect("a service");
        let broker = Broker::start().expect("a broker");
        let device = broker.device(THING).expect("a certificate");
        let robot = ControllerOptions {
            // Somebody reboots it when a transfer was cut off.
            jam: Jam::For(Duration::ZERO),
            ..ControllerOptions::default()
        };
        let robot = Controller::start(robot).await.expect("a free port");
        let gateway = Gateway::new(AGENT, &service).expect("a folder");
        Plan {
            service_at: service.endpoint(),
            broker_at: format!("localhost:{}", broker.port()),
            robot_at: robot.address().to_string(),
            other: Target::start(Behaviour::Echo).expect("a free port"),
            slow: Target::start(SLOW).expect("a free port"),
            slow_lines: "",
            tables: Vec::new(),
            audit: gateway.audit_file(),
            runtime: gateway.runtime(),
            ground: Ground::Plain,
            service,
            broker,
            device,
            robot,
            gateway,
        }
    }

    /// Changes how the agent is started.
    pub(crate) fn build(self, change: impl FnOnce(AgentBuilder) -> AgentBuilder) -> Plan {
        Plan {
            gateway: self.gateway.build(change),
            ..self
        }
    }

    /// Starts the agent.
    pub(crate) fn start(self) -> Scene {
        let ca = self.gateway.folder().join("ca.pem");
        let paths = format!(
            "runtime = \"{}\"\naudit = \"{}\"",
            self.runtime.display(),
            self.audit.display()
        );
        let gateway = self.gateway.configure(|file| {
            let file = file
                .tunnel_at(&self.service_at, &ca)
                .notify_at(&self.broker_at, &self.device)
                .table("paths", &paths)
                .table("routes.robot1", &format!("target = \"{}\"", self.robot_at))
                .route("robot2", self.other.address(), "")
                .route("robot3", self.slow.address(), self.slow_lines);
            let tables = self.tables.iter();
            tables.fold(file, |file, (name, lines)| file.table(name, lines))
        });
        let gateway = gateway.expect("a file");
        let agent = gateway.start().expect("an agent");
        let tunnel = self.service.open_tunnel(&["robot1", "robot2", "robot3"]);
        Scene {
            tunnels: vec![tunnel.clone()],
            tunnel,
            service: self.service,
            broker: self.broker,
            robot: self.robot,
            other: self.other,
            slow: self.slow,
            gateway,
            agent,
            before: Vec::new(),
            audit: self.audit,
            ground: self.ground,
            source: None,
        }
    }
}

/// The running gateway.
pub(crate) struct Scene {
    pub(crate) service: Service,
    /// The tunnel that people work in.
    pub(crate) tunnel: Tunnel,
    /// All there were.
    tunnels: Vec<Tunnel>,
    pub(crate) broker: Broker,
    pub(crate) robot: Controller,
    pub(crate) other: Target,
    pub(crate) slow: Target,
    pub(crate) gateway: Gateway,
    pub(crate) agent: Agent,
    /// The logs of agents that have ended.
    before: Vec<String>,
    pub(crate) audit: PathBuf,
    pub(crate) ground: Ground,
    source: Option<Source>,
}

impl Scene {
    /// Tells the agent of the tunnel.
    pub(crate) fn announce(&self) {
        let took = self.broker.notify(THING, &payload(&self.tunnel));
        assert_eq!(took.expect("a broker"), 1, "the agent's session is there");
    }

    /// Another tunnel in the place of one that is over; the agent is told of it.
    pub(crate) fn another_tunnel(&mut self) {
        let services = self.tunnel.services().to_vec();
        self.tunnel = self.service.open_tunnel(&services);
        self.tunnels.push(self.tunnel.clone());
        self.source = None;
        self.announce();
    }

    pub(crate) fn tunnels(&self) -> &[Tunnel] {
        &self.tunnels
    }

    /// Waits until the agent is subscribed.
    pub(crate) async fn subscribed(&self) {
        self.says(Mark::START, &["mqtt: connected to ", "subscribed"], LIMIT)
            .await;
    }

    /// Waits until the agent is in the tunnel, behind a mark of the service.
    pub(crate) async fn up_after(&self, mark: Mark, limit: Duration) {
        let connected = |event: &Event| event.is_connected(Mode::Destination);
        let waited = self.tunnel.wait_event_after(mark, connected, limit).await;
        waited.expect("the agent comes into the tunnel");
    }

    /// Waits for a line of the log with all these words.
    pub(crate) async fn says(&self, mark: Mark, words: &[&str], limit: Duration) -> String {
        let fits = |line: &str| words.iter().all(|word| line.contains(word));
        let line = self.agent.wait_line_after(mark, fits, limit).await;
        line.unwrap_or_else(|why| panic!("no line with {words:?}: {why}"))
            .0
    }

    /// The source of the tunnel. It stays connected, whatever happens to the agent.
    pub(crate) async fn source(&mut self) -> &Source {
        if self.source.is_none() {
            let options = SourceOptions::new(&self.service, &self.tunnel, Protocol::V3);
            self.source = Some(Source::connect(options).await.expect("a source"));
        }
        self.source.as_ref().expect("it was just made")
    }

    /// What a supervisor does when the agent has ended.
    pub(crate) fn restart(&mut self) {
        let next = self.gateway.start().expect("an agent");
        let last = std::mem::replace(&mut self.agent, next);
        self.before.extend(last.log());
    }

    /// What holds at the end of every cell: the agent runs, it broke no rule, it kept its secrets.
    pub(crate) fn end(mut self) {
        assert!(self.agent.is_running().expect("the system knows"));
        let cpu = self.agent.cpu().expect("it runs");
        assert!(
            cpu < CPU_MAX,
            "{cpu:?} of the processor: it turns without end"
        );
        assert_eq!(self.broker.violations(), [], "a rule of the broker");
        let mut texts = self.before;
        texts.extend(self.agent.log());
        let audit = std::fs::read_to_string(&self.audit).unwrap_or_default();
        texts.extend(audit.lines().map(str::to_owned));
        for tunnel in &self.tunnels {
            assert_eq!(tunnel.violations(), [], "a rule of the service");
            for line in &texts {
                assert!(!line.contains("panicked"), "{line}");
                let told = line.contains(&tunnel.destination_token);
                assert!(!told, "a secret in the log");
            }
        }
    }
}
