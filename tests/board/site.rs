//! The cell around the board, and the engineer who works in it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cell::agent::Configuration;
use cell::broker::{Broker, Event as Told};
use cell::certs::{BROKER_NAME, DeviceFiles, TUNNEL_NAME};
use cell::controller::{Controller, ControllerOptions};
use cell::engineer::{Engineer, EngineerOptions, chunk};
use cell::journal::Mark;
use cell::notification;
use cell::program::Program;
use cell::service::{Event, Protocol, Service, ServiceOptions, Tunnel};
use cell::source::{Source, SourceOptions};
use cell::target::{Behaviour, Target};
use cell::wire::Mode;
use tokio::sync::mpsc;

use crate::full;
use crate::machine::{HOST, Machine};

/// The gateway's name at AWS.
pub(crate) const THING: &str = "cell-7";

/// Of the hardware watchdog.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(8);

/// Far above what a boot, or anything else here, takes.
pub(crate) const BOOT: Duration = Duration::from_secs(120);

/// The size of a program, bytes.
const SIZE: usize = 100 * 1024;

/// Everything there is.
pub(crate) struct Site {
    pub(crate) machine: Machine,
    service: Service,
    broker: Broker,
    robot: Controller,
    /// Controllers that take nothing before they are told to.
    silent: Target,
    tunnel: Tunnel,
    source: Source,
    subscribed: Mark,
    uploads: u64,
}

impl Site {
    /// A board that has booted, and whose agent is in a tunnel.
    pub(crate) async fn start(image: &Path) -> Site {
        let start = Instant::now();
        let service = Service::start(ServiceOptions::default()).await;
        let service = service.expect("a service");
        let broker = Broker::start().expect("a broker");
        let robot = Controller::start(ControllerOptions::default()).await;
        let robot = robot.expect("a free port");
        let silent = Target::start_paused(Behaviour::Silent).expect("a free port");
        let files = files(&service, &broker, &robot, &silent);
        let machine = Machine::start(image, &files).await;
        let subscribed = subscribed_after(&broker, Mark::START).await;
        println!(
            "boot to the subscription: {:.1} s",
            start.elapsed().as_secs_f64()
        );
        let (tunnel, source) = open(&service, &broker).await;
        Site {
            machine,
            service,
            broker,
            robot,
            silent,
            tunnel,
            source,
            subscribed,
            uploads: 0,
        }
    }

    /// Waits until a new life of the agent has subscribed.
    pub(crate) async fn subscribed_again(&mut self) {
        self.subscribed = subscribed_after(&self.broker, self.subscribed).await;
    }

    /// The operator opens another tunnel: what a reset leaves behind is a machine that knows of none.
    pub(crate) async fn new_tunnel(&mut self) {
        assert_eq!(self.tunnel.violations(), [], "the agent broke a rule");
        (self.tunnel, self.source) = open(&self.service, &self.broker).await;
    }

    /// The tunnel gives its place to four with all their connections; then the operator opens another.
    pub(crate) async fn every_place_is_taken(&mut self) {
        self.tunnel.close();
        full::every_place(&mut self.machine, &self.service, &self.broker, &self.silent).await;
        self.new_tunnel().await;
    }

    /// After this order the next life of the agent rejoins the tunnel of the one before it.
    pub(crate) async fn comes_back_to_its_tunnel(&mut self, order: &str) {
        let mark = self.tunnel.mark();
        self.machine.does(order).await;
        connected_after(&self.tunnel, mark).await;
        self.subscribed_again().await;
    }

    /// LOADs a program, SAVEs it back, and compares every byte that crossed.
    pub(crate) async fn uploads(&mut self, when: &str) {
        let start = Instant::now();
        let (program, name) = self.next_program();
        let mut engineer = self.engineer().await;
        let loaded = engineer
            .load(&name, &program.text, chunk::KRTERM, |_| {})
            .await
            .expect("LOAD");
        assert_eq!(loaded.bytes, SIZE);
        let stored = self.robot.program(&name).expect("the robot has it");
        assert!(stored == program.text, "the robot has another program");
        let saved = engineer.save(&name).await.expect("SAVE");
        assert!(saved == program.text, "SAVE gave another program");
        let (sent, received) = engineer.tapes();
        let (sent, received) = (sent.clone(), received.clone());
        let place = self.robot.connections().len() - 1;
        engineer.close().await.expect("an orderly end");
        let records = self
            .robot
            .wait_for(BOOT, |records| records[place].end.is_some())
            .await
            .expect("it ends");
        let record = &records[place];
        assert_eq!(record.received, sent, "the robot received other bytes");
        assert_eq!(record.sent, received, "the engineer received other bytes");
        println!(
            "{when}: {SIZE} bytes there and back in {:.1} s; all {} bytes to the robot have SHA-256 {}",
            start.elapsed().as_secs_f64(),
            sent.total(),
            hex(&record.received.sha256())
        );
    }

    /// A LOAD in whose middle this order makes the agent hang; gives when. The robot is switched off and on then.
    pub(crate) async fn upload_that_hangs(&mut self, order: &str) -> Instant {
        let (program, name) = self.next_program();
        let mut engineer = self.engineer().await;
        let (done, mut blocks) = mpsc::unbounded_channel();
        let hung = {
            let upload = engineer.load(&name, &program.text, chunk::KRTERM, |progress| {
                let _ = done.send(progress.blocks);
            });
            let hang = async {
                while blocks.recv().await != Some(40) {}
                self.machine.does(order).await;
                Instant::now()
            };
            tokio::pin!(upload);
            tokio::select! {
                hung = hang => hung,
                ended = &mut upload => panic!("the upload ended before the agent hung: {ended:?}"),
            }
        };
        engineer.break_off();
        assert!(self.robot.in_progress(), "P2076");
        self.robot.reboot();
        hung
    }

    /// The machine still runs its agent, which broke no rule.
    pub(crate) async fn end(mut self) {
        self.machine.does("pidof cellgate && free -k").await;
        assert_eq!(self.tunnel.violations(), [], "the agent broke a rule");
        assert_eq!(self.broker.violations(), [], "the agent broke a rule");
        assert_eq!(
            self.machine.lines(Mark::START, "panic"),
            Vec::<String>::new()
        );
    }

    fn next_program(&mut self) -> (Program, String) {
        self.uploads += 1;
        let program = Program::generate(self.uploads, SIZE);
        let name = format!("{}_{}", program.name, self.uploads);
        (program, name)
    }

    /// An engineer who waits for the answers of a slow machine.
    async fn engineer(&self) -> Engineer {
        let options = EngineerOptions {
            patience: BOOT,
            ..EngineerOptions::default()
        };
        Engineer::connect_with(self.source.address("robot1"), options)
            .await
            .expect("the login goes through the tunnel")
    }
}

/// The board's `/etc/cellgate`.
fn files(
    service: &Service,
    broker: &Broker,
    robot: &Controller,
    silent: &Target,
) -> Vec<(&'static str, String)> {
    let device = broker.device(THING).expect("a certificate");
    let read = |path: &PathBuf| std::fs::read_to_string(path).expect("just written");
    let etc = Path::new("/etc/cellgate");
    let there = DeviceFiles {
        thing: THING.to_owned(),
        ca: etc.join("broker.pem"),
        certificate: etc.join("device.crt"),
        key: etc.join("device.key"),
    };
    let endpoint = service.endpoint();
    let port = endpoint.rsplit(':').next().expect("a port");
    let tunnel = format!("endpoint = \"{TUNNEL_NAME}:{port}\"\nca = \"/etc/cellgate/service.pem\"");
    let watchdog = format!(
        "device = \"/dev/watchdog\"\ntimeout = \"{}s\"",
        TIMEOUT.as_secs()
    );
    let host = HOST.parse::<std::net::IpAddr>().expect("an address");
    let target = (host, robot.address().port());
    let nobody = (host, silent.address().port());
    let configuration = Configuration::new()
        .table("tunnel", &tunnel)
        .table(
            "paths",
            "runtime = \"/run/cellgate\"\naudit = \"/run/audit.jsonl\"",
        )
        .table("watchdog", &watchdog)
        .notify_at(&format!("{BROKER_NAME}:{}", broker.port()), &there)
        .route("robot1", target.into(), "connections = 1");
    let configuration = (1..=full::PLACES).fold(configuration, |configuration, number| {
        configuration.route(&full::route(number), nobody.into(), "stall = \"1h\"")
    });
    vec![
        ("hosts", format!("{HOST} {TUNNEL_NAME} {BROKER_NAME}\n")),
        ("cellgate.toml", configuration.to_string()),
        ("service.pem", service.ca_pem().to_owned()),
        ("broker.pem", read(&device.ca)),
        ("device.crt", read(&device.certificate)),
        ("device.key", read(&device.key)),
    ]
}

/// A new tunnel that the agent was told of, and is in.
async fn open(service: &Service, broker: &Broker) -> (Tunnel, Source) {
    let tunnel = service.open_tunnel(&["robot1"]);
    let took = broker.notify(THING, &notification::payload(&tunnel));
    assert_eq!(took.expect("a broker"), 1, "the agent's session is there");
    connected_after(&tunnel, Mark::START).await;
    let options = SourceOptions::new(service, &tunnel, Protocol::V3);
    let source = Source::connect(options).await.expect("a source");
    (tunnel, source)
}

pub(crate) async fn connected_after(tunnel: &Tunnel, mark: Mark) {
    let connected = |event: &Event| event.is_connected(Mode::Destination);
    let waited = tunnel.wait_event_after(mark, connected, BOOT).await;
    waited.expect("the agent connects");
}

async fn subscribed_after(broker: &Broker, mark: Mark) -> Mark {
    let subscribed = |event: &Told| matches!(event, Told::Subscribed { .. });
    let waited = broker.wait_event_after(mark, subscribed, BOOT).await;
    waited.expect("the agent subscribes").1
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
