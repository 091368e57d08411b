//! The gateway in the guest, and on this machine all that it talks to.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use cell::agent::Folder;
use cell::broker::{Broker, Event as Told};
use cell::certs::{BROKER_NAME, TUNNEL_NAME};
use cell::controller::{Controller, ControllerOptions};
use cell::engineer::{Engineer, EngineerError, EngineerOptions, chunk};
use cell::journal::Mark;
use cell::notification::payload;
use cell::program::Program;
use cell::service::{Event, Protocol, ResetOn, Service, ServiceOptions, Tunnel};
use cell::source::{Source, SourceOptions};
use cell::target::{Behaviour, Target, Then};
use cell::wire::Mode;
use tokio::sync::mpsc;

use crate::machine::Machine;

/// Whose notifications they are.
pub(crate) const THING: &str = "cell-0042";

/// Anything that is one step for the agent. The emulated machine is fifty times slower than a real one; the longest wait
/// of a tunnel's backoff is 30 s, and that of the broker's, behind a link that held for minutes and was dead for one, 80 s.
pub(crate) const LONG: Duration = Duration::from_secs(150);

/// This machine's loopback, as the guest sees it.
const HOST: [u8; 4] = [10, 0, 2, 2];

/// Places for tunnels. Each has a route to the controller that takes nothing, `silent1`, `silent2`, …, and one to that
/// which also sends without end, `talking1`, …: a route takes no more than one tunnel's connections.
pub(crate) const PLACES: usize = 4;

/// Where the project's files go in the guest.
const INSTALLED: [(&str, &str); 2] = [
    (
        "cellgate.service",
        "usr/lib/systemd/system/cellgate.service",
    ),
    ("cellgate.sysusers", "usr/lib/sysusers.d/cellgate.conf"),
];

pub(crate) struct Scene {
    pub(crate) service: Service,
    pub(crate) broker: Broker,
    pub(crate) robot: Controller,
    pub(crate) silent: Target,
    pub(crate) talking: Target,
    pub(crate) machine: Machine,
}

impl Scene {
    /// Boots the image with this agent in it. The unit is installed, enabled and not started.
    pub(crate) async fn boot(image: &Path, agent: &Path) -> Scene {
        let options = ServiceOptions {
            // What the source hears is of the agent, and it is the agent that fills.
            reset_on: ResetOn::Never,
            line_size: 256 << 10,
            ..ServiceOptions::default()
        };
        let service = Service::start(options).await.expect("a service");
        let broker = Broker::start().expect("a broker");
        let robot = ControllerOptions {
            name: "robot1".into(),
            ..ControllerOptions::default()
        };
        let robot = Controller::start(robot).await.expect("a free port");
        let silent = Target::start(Behaviour::Silent).expect("a free port");
        let endless = Behaviour::Send {
            bytes: u64::MAX,
            seed: 1,
            then: Then::Stay,
        };
        let talking = Target::start_paused(endless).expect("a free port");
        let folder = Folder::new("cell-payload").expect("a folder");
        let configuration = configuration(&service, &broker, &robot, [&silent, &talking]);
        fill(folder.path(), agent, &service, &broker, &configuration).expect("a payload");
        let machine = Machine::boot(image, folder.path()).await.expect("it boots");
        machine
            .ok("chgrp -R cellgate /etc/cellgate && systemctl daemon-reload && systemctl enable cellgate")
            .await;
        Scene {
            service,
            broker,
            robot,
            silent,
            talking,
            machine,
        }
    }

    /// A property of the unit.
    pub(crate) async fn unit(&self, property: &str) -> String {
        let script = format!("systemctl show --value -p {property} cellgate");
        self.machine.ok(&script).await
    }

    /// How often systemd has restarted the agent.
    pub(crate) async fn restarts(&self) -> u32 {
        self.unit("NRestarts").await.parse().expect("a number")
    }

    /// Waits for a line of the unit's log with these words.
    pub(crate) async fn says(&self, words: &str, limit: Duration) -> String {
        let script = format!("journalctl -u cellgate -o cat --no-pager | grep -F '{words}'");
        self.machine
            .until(&script, limit, |said| !said.is_empty())
            .await
    }

    /// Waits until the agent has subscribed, since `mark`.
    pub(crate) async fn subscribed_after(&self, mark: Mark) {
        let subscribed = |event: &Told| matches!(event, Told::Subscribed { .. });
        let waited = self.broker.wait_event_after(mark, subscribed, LONG).await;
        waited.expect("the agent subscribes");
    }

    /// A new tunnel for this service, with the agent in it.
    pub(crate) async fn tunnel(&self, service: &str) -> Tunnel {
        let tunnel = self.service.open_tunnel(&[service]);
        self.broker
            .notify(THING, &payload(&tunnel))
            .expect("published");
        self.up_after(&tunnel, Mark::START).await;
        tunnel
    }

    /// Waits until the agent is in the tunnel, since `mark`; gives the client token that it came with.
    pub(crate) async fn up_after(&self, tunnel: &Tunnel, mark: Mark) -> String {
        let connected = |event: &Event| event.is_connected(Mode::Destination);
        let waited = tunnel.wait_event_after(mark, connected, LONG).await;
        let (event, _) = waited.expect("the agent comes into the tunnel");
        let Event::Connected { client_token, .. } = event else {
            panic!("{event:?}");
        };
        client_token.expect("a client token")
    }

    /// The source of a tunnel.
    pub(crate) async fn source(&self, tunnel: &Tunnel) -> Source {
        let options = SourceOptions::new(&self.service, tunnel, Protocol::V3);
        Source::connect(options).await.expect("a source")
    }

    /// LOADs a program in blocks of KRterm, SAVEs it back, and compares.
    pub(crate) async fn upload(&self, source: &Source, seed: u64, size: usize) {
        let program = Program::generate(seed, size);
        let mut engineer = engineer(source).await;
        let name = format!("{}_{seed}", program.name);
        let loaded = engineer
            .load(&name, &program.text, chunk::KRTERM, |_| {})
            .await
            .expect("LOAD");
        assert_eq!(loaded.bytes, size);
        let stored = self.robot.program(&name);
        assert!(
            stored.is_some_and(|stored| stored == program.text),
            "the robot has another program"
        );
        let saved = engineer.save(&name).await.expect("SAVE");
        assert!(saved == program.text, "SAVE gave another program");
        let (sent, received) = engineer.tapes();
        let (sent, received) = (sent.clone(), received.clone());
        let place = self.robot.connections().len() - 1;
        engineer.close().await.expect("an orderly end");
        let ended = self
            .robot
            .wait_for(LONG, |records| records[place].end.is_some());
        let records = ended.await.expect("it ends");
        assert_eq!(records[place].received, sent, "all bytes to the robot");
        assert_eq!(records[place].sent, received, "all bytes from the robot");
        assert!(!self.robot.in_progress());
    }

    /// An upload in whose middle something happens that ends it. Gives what the engineer is told.
    pub(crate) async fn broken(
        &self,
        source: &Source,
        happens: impl Future<Output = ()>,
    ) -> EngineerError {
        let program = Program::generate(99, 200 << 10);
        let mut engineer = engineer(source).await;
        let (done, mut blocks) = mpsc::unbounded_channel();
        let load = engineer.load("broken", &program.text, chunk::KRTERM, |progress| {
            let _ = done.send(progress.blocks);
        });
        let middle = async {
            while let Some(block) = blocks.recv().await {
                if block == 20 {
                    happens.await;
                    return;
                }
            }
            panic!("the upload did not come to block 20");
        };
        let (load, ()) = tokio::join!(load, middle);
        let error = load.expect_err("the upload is broken");
        assert!(self.robot.in_progress(), "P2076");
        self.robot.reboot();
        error
    }
}

/// An engineer who waits for the answers of an emulated machine.
async fn engineer(source: &Source) -> Engineer {
    let options = EngineerOptions {
        patience: LONG,
        ..EngineerOptions::default()
    };
    Engineer::connect_with(source.address("robot1"), options)
        .await
        .expect("the login goes through the tunnel")
}

fn configuration(
    service: &Service,
    broker: &Broker,
    robot: &Controller,
    [silent, talking]: [&Target; 2],
) -> String {
    let port = |endpoint: &str| endpoint.rsplit(':').next().map(str::to_owned);
    let from_guest = |address: SocketAddr| SocketAddr::from((HOST, address.port()));
    let routes = |name: &str, target: &Target| -> String {
        let target = from_guest(target.address());
        (1..=PLACES)
            .map(|number| {
                format!("[routes.{name}{number}]\ntarget = \"{target}\"\nstall = \"1h\"\n")
            })
            .collect()
    };
    format!(
        "thing = \"{THING}\"\n\
         [tunnel]\nendpoint = \"{TUNNEL_NAME}:{}\"\nca = \"/etc/cellgate/service.pem\"\n\
         [notify]\nendpoint = \"{BROKER_NAME}:{}\"\nca = \"/etc/cellgate/broker.pem\"\n\
         certificate = \"/etc/cellgate/device.crt\"\nkey = \"/etc/cellgate/device.key\"\n\
         [paths]\naudit = \"/var/lib/cellgate/audit.jsonl\"\n\
         [routes.robot1]\ntarget = \"{}\"\nconnections = 1\n\
         {}{}",
        port(&service.endpoint()).expect("a port"),
        broker.port(),
        from_guest(robot.address()),
        routes("silent", silent),
        routes("talking", talking),
    )
}

/// The files that are laid over the root of the guest, as a package would install them.
fn fill(
    root: &Path,
    agent: &Path,
    service: &Service,
    broker: &Broker,
    configuration: &str,
) -> io::Result<()> {
    let device = broker.device(THING)?;
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("yocto/service");
    for folder in [
        "usr/bin",
        "usr/lib/systemd/system",
        "usr/lib/sysusers.d",
        "etc/cellgate",
    ] {
        fs::create_dir_all(root.join(folder))?;
    }
    let install = |from: &Path, to: &str, mode: u32| {
        let to = root.join(to);
        fs::copy(from, &to)?;
        fs::set_permissions(&to, std::os::unix::fs::PermissionsExt::from_mode(mode))
    };
    install(agent, "usr/bin/cellgate", 0o755)?;
    for (from, to) in INSTALLED {
        install(&here.join(from), to, 0o644)?;
    }
    install(&device.ca, "etc/cellgate/broker.pem", 0o644)?;
    install(&device.certificate, "etc/cellgate/device.crt", 0o640)?;
    install(&device.key, "etc/cellgate/device.key", 0o640)?;
    fs::write(root.join("etc/cellgate/service.pem"), service.ca_pem())?;
    fs::write(root.join("etc/cellgate/cellgate.toml"), configuration)
}
