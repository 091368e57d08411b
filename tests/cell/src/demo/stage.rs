//! The cell of the demo: service, broker, gateway, source and two robots.

use std::cell::Cell;
use std::path::Path;
use std::time::Duration;

use super::failure::Failure;
use super::herald::Herald;
use super::options::Options;
use super::screen::Screen;
use crate::agent::{Agent, Gateway, Signal};
use crate::controller::{ConnectionRecord, Controller, ControllerOptions};
use crate::engineer::{Engineer, EngineerError, EngineerOptions};
use crate::journal::Mark;
use crate::program::Program;
use crate::service::{Protocol, Service, ServiceOptions, Tunnel};
use crate::source::{Source, SourceOptions};
use crate::wire::Mode;

/// Everything that runs. Dropping it ends it all.
pub(super) struct Stage {
    pub(super) robots: Vec<Robot>,
    gateway: Gateway,
    agent: Agent,
    herald: Herald,
    /// Whether the agent's log is shown as it grows, and how far it was.
    verbose: bool,
    shown: Cell<Mark>,
    tunnel: Tunnel,
    // Held so that they run.
    _source: Source,
    _service: Service,
}

/// A robot with the program it holds from the start, and where the source lets engineers in.
pub(super) struct Robot {
    pub(super) controller: Controller,
    pub(super) program: Program,
    entrance: std::net::SocketAddr,
    patience: Duration,
}

/// The name of the gateway.
const THING: &str = "cell-0042";
/// The agent connects at once; a slow machine may need a moment to start it.
const CONNECT: Duration = Duration::from_secs(15);
/// The program a robot holds from the start: its seed, and its size in bytes.
const HELD: (u64, usize) = (4711, 60 * 1024);
/// The longest wait for an answer, beside the delay of the way.
const PATIENCE: Duration = Duration::from_secs(15);

impl Stage {
    /// Starts a cell around the agent.
    pub(super) async fn start(
        options: &Options,
        binary: &Path,
        screen: &Screen,
    ) -> Result<Self, Failure> {
        // A V1 tunnel has one service without a name.
        let names: &[&str] = match options.version {
            Protocol::V1 => &["robot1"],
            Protocol::V2 | Protocol::V3 => &["robot1", "robot2"],
        };
        let service = Service::start(ServiceOptions::default()).await?;
        let mut controllers = Vec::new();
        for name in names {
            controllers.push(
                Controller::start(ControllerOptions {
                    name: (*name).into(),
                    ..ControllerOptions::default()
                })
                .await?,
            );
        }
        let herald = Herald::start(options.mosquitto).await?;
        let device = herald.device(THING)?;
        let gateway = Gateway::new(binary, &service)?.configure(|file| {
            let file = file.notify(herald.port(), &device);
            controllers.iter().fold(file, |file, controller| {
                file.route(controller.name(), controller.address(), "")
            })
        })?;
        let mut agent = gateway.start()?;
        subscribed(&mut agent, &herald, screen).await?;
        // Nobody has told the agent of it yet.
        let tunnel = service.open_tunnel(names);
        tunnel
            .destination
            .switch(|switches| switches.delay = options.delay);
        herald.notify(THING, &tunnel).await?;
        connected(&mut agent, &tunnel, screen).await?;
        let source =
            Source::connect(SourceOptions::new(&service, &tunnel, options.version)).await?;
        let patience = PATIENCE + 8 * options.delay;
        let robots: Vec<Robot> = controllers
            .into_iter()
            .map(|controller| Robot::new(controller, &source, patience))
            .collect();
        screen.title("the cell");
        screen.line(&format!("  agent    {}", short(binary)));
        screen.line(&format!(
            "  broker   localhost:{}  {}, mutual TLS; told {THING} of the tunnel",
            herald.port(),
            herald.name()
        ));
        screen.line(&format!(
            "  service  {}  TLS, source speaks {:?}, +{} ms each way",
            service.endpoint(),
            options.version,
            options.delay.as_millis()
        ));
        for robot in &robots {
            screen.line(&format!(
                "  {}   source {} -> tunnel -> controller {}",
                robot.name(),
                robot.entrance,
                robot.controller.address()
            ));
        }
        if options.version == Protocol::V1 {
            screen.line("  robot2   not there: a V1 tunnel has one service");
        }
        Ok(Self {
            robots,
            gateway,
            agent,
            herald,
            verbose: options.verbose,
            shown: Cell::new(Mark::START),
            tunnel,
            _source: source,
            _service: service,
        })
    }

    /// Whether service and broker saw the agent keep the rules of the protocols.
    pub(super) fn check_rules(&self, screen: &Screen) -> Result<(), Failure> {
        let broken = self.tunnel.violations();
        let mut broken: Vec<_> = broken.iter().map(|event| format!("{event:?}")).collect();
        broken.extend(self.herald.broken());
        if broken.is_empty() {
            screen.line("  service and broker saw no broken rule of the protocols");
            return Ok(());
        }
        Err(Failure::Rules(broken))
    }

    /// Shows what a technician sees.
    pub(super) async fn show_status(&self, screen: &Screen) -> Result<(), Failure> {
        screen.title("cellgate status, on the gateway");
        let finished = self.gateway.run(&["status"], b"").await?;
        for line in finished.stdout.lines() {
            screen.line(format!("  {line}").trim_end());
        }
        if finished.code == Some(0) {
            Ok(())
        } else {
            Err(Failure::Status(finished))
        }
    }

    /// Shows who did what.
    pub(super) fn show_audit(&self, screen: &Screen) -> Result<(), Failure> {
        screen.title("the audit file of the gateway");
        for line in self.gateway.audit_lines()? {
            screen.record(&line);
        }
        let lines = self.gateway.audit()?;
        for kind in [
            "tunnel-opened",
            "stream-opened",
            "stream-ended",
            "tunnel-ended",
        ] {
            if !lines.iter().any(|line| line["event"] == kind) {
                return Err(Failure::Audit(kind));
            }
        }
        Ok(())
    }

    /// Says how the robots can be reached.
    pub(super) fn invite(&self, screen: &Screen) {
        screen.title("the cell stays up; Ctrl-C ends it. In another terminal:");
        for robot in &self.robots {
            screen.line(&format!(
                "  telnet {} {}   {}, login: as",
                robot.entrance.ip(),
                robot.entrance.port(),
                robot.name()
            ));
        }
        screen.line(&format!(
            "  cellgate status --config {}",
            self.gateway.file().display()
        ));
        screen.line("  in telnet ID, WHERE, WHERE 10 (Return ends it), DIRECTORY, TYPE part.count");
    }

    /// Shows the agent's log as it grows, if that was asked for, and gives the reason if the agent ends.
    pub(super) async fn attend(&mut self, screen: &Screen) -> Failure {
        loop {
            self.show_next(LOOK, screen).await;
            match self.agent.is_running() {
                Ok(true) => {}
                Ok(false) => return ended(&mut self.agent).await,
                Err(error) => return error.into(),
            }
        }
    }

    /// Shows the agent's log as it grows, if that was asked for. Never ends.
    pub(super) async fn follow_log(&self, screen: &Screen) {
        loop {
            self.show_next(FOREVER, screen).await;
        }
    }

    /// Waits for the next line of the agent's log, not longer than `limit`.
    async fn show_next(&self, limit: Duration, screen: &Screen) {
        let next = self
            .agent
            .wait_line_after(self.shown.get(), |_| true, limit);
        if let Ok((line, behind)) = next.await {
            self.shown.set(behind);
            if self.verbose {
                screen.log(&line);
            }
        }
    }

    /// Shows the whole log of the agent behind a failure, if it is not on the screen already.
    pub(super) fn explain(&self, failure: &Failure, screen: &Screen) {
        screen.settle();
        if !self.verbose && !matches!(failure, Failure::Interrupted) {
            show_log(&self.agent, screen);
        }
    }

    /// Ends the agent in order.
    ///
    /// # Errors
    /// It did not end within `limit`, or not with 0.
    pub(super) async fn stop(&mut self, limit: Duration) -> Result<(), Failure> {
        // A Ctrl-C went to it too; then it is ending already.
        if self.agent.is_running()? {
            self.agent.signal(Signal::SIGTERM)?;
        }
        match self.agent.wait_exit(limit).await? {
            0 => Ok(()),
            code => Err(Failure::AgentEnded(format!("exit code {code}"))),
        }
    }
}

/// How often a cell that stays up looks whether the agent still runs.
const LOOK: Duration = Duration::from_millis(500);
/// How long the last lines of an ended agent may take.
const LAST_LINES: Duration = Duration::from_millis(200);
/// Longer than anybody watches.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// Waits until the broker has the agent.
async fn subscribed(agent: &mut Agent, herald: &Herald, screen: &Screen) -> Result<(), Failure> {
    let failure = tokio::select! {
        up = herald.subscribed(THING, CONNECT) => match up {
            Ok(()) => return Ok(()),
            Err(wait) => Failure::NotSubscribed(wait),
        },
        failure = ended(agent) => failure,
    };
    show_log(agent, screen);
    Err(failure)
}

/// Waits until the service has the agent.
async fn connected(agent: &mut Agent, tunnel: &Tunnel, screen: &Screen) -> Result<(), Failure> {
    let up = tunnel.wait_event(|event| event.is_connected(Mode::Destination), CONNECT);
    let failure = tokio::select! {
        up = up => match up {
            Ok(_) => return Ok(()),
            Err(wait) => Failure::NoAgent(wait),
        },
        failure = ended(agent) => failure,
    };
    show_log(agent, screen);
    Err(failure)
}

async fn ended(agent: &mut Agent) -> Failure {
    let exit = agent.wait_exit(FOREVER).await;
    // Its last lines may still be in the pipe, and they are the ones that tell why.
    tokio::time::sleep(LAST_LINES).await;
    match exit {
        Ok(code) => Failure::AgentEnded(format!("exit code {code}")),
        Err(error) => Failure::AgentEnded(error.to_string()),
    }
}

fn show_log(agent: &Agent, screen: &Screen) {
    screen.title("the agent's log");
    for line in agent.log() {
        screen.log(&line);
    }
}

/// The path below the working folder, where that says it all.
fn short(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here)
        .unwrap_or(path)
        .display()
        .to_string()
}

impl Robot {
    fn new(controller: Controller, source: &Source, patience: Duration) -> Self {
        let program = Program::generate(HELD.0, HELD.1);
        controller.put(&program.name, &program.text);
        Self {
            entrance: source.address(controller.name()),
            controller,
            program,
            patience,
        }
    }

    pub(super) fn name(&self) -> &str {
        self.controller.name()
    }

    /// Logs an engineer in through the tunnel.
    pub(super) async fn log_in(&self) -> Result<Engineer, Failure> {
        let options = EngineerOptions {
            patience: self.patience,
            ..EngineerOptions::default()
        };
        Engineer::connect_with(self.entrance, options)
            .await
            .map_err(|error| self.failure(error))
    }

    /// The controller's record of its last connection.
    pub(super) fn last_connection(&self) -> ConnectionRecord {
        let mut records = self.controller.connections();
        // An engineer was logged in, so there is one.
        records.swap_remove(records.len() - 1)
    }

    pub(super) fn failure(&self, error: EngineerError) -> Failure {
        Failure::Engineer {
            robot: self.name().into(),
            error,
        }
    }
}
