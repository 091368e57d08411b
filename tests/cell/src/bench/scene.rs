//! What stands ready for a measurement: targets, service, the agent in a tunnel, the bare loop.

use std::io;
use std::time::Duration;

use tokio::time::timeout;

use super::bare::Bare;
use super::options::Options;
use super::process::Process;
use super::program::Program;
use super::service::{Service, Tunnel};
use super::targets::{Kind, Targets};
use super::way::Way;
use crate::agent::{Agent, AgentBuilder};
use crate::service::random_hex;

/// The agent connects in a few milliseconds, or does not.
const LIMIT: Duration = Duration::from_secs(20);

/// Everything that a bulk transfer and a round trip need.
pub(super) struct Scene {
    pub(super) targets: Targets,
    pub(super) ways: Vec<Way>,
    service: Service,
}

impl Scene {
    pub(super) async fn start(options: &Options) -> io::Result<Scene> {
        let targets = Targets::start()?;
        let service = Service::start().await?;
        let agent = Program::agent(options, &service, &targets).await?;
        let bare = Bare::start(service.authority(), &targets)?;
        let mut ways = vec![Way::Tunnel(Box::new(agent)), Way::Loop(bare), Way::Straight];
        if let Some(binary) = &options.reference {
            let reference = Program::reference(binary, &service, &targets).await?;
            ways.push(Way::Tunnel(Box::new(reference)));
        }
        Ok(Scene {
            targets,
            ways,
            service,
        })
    }

    /// The reference anew: it may have died in a transfer, or grown.
    pub(super) async fn renew(&mut self, options: &Options) -> io::Result<()> {
        if let (Some(binary), Some(way)) = (&options.reference, self.ways.last_mut()) {
            let reference = Program::reference(binary, &self.service, &self.targets).await?;
            *way = Way::Tunnel(Box::new(reference));
        }
        Ok(())
    }
}

/// The agent with the drop-in flags, and its tunnel.
pub(super) async fn tunnel(
    options: &Options,
    service: &Service,
    targets: &Targets,
) -> io::Result<(Agent, Tunnel)> {
    let agent = builder(options, service, targets)?.start()?;
    let tunnel = accepted(service).await?;
    Ok((agent, tunnel))
}

/// How that agent is started.
pub(super) fn builder(
    options: &Options,
    service: &Service,
    targets: &Targets,
) -> io::Result<AgentBuilder> {
    let builder = AgentBuilder::new(std::path::absolute(&options.agent)?)?;
    let builder = builder.file("ca.pem", &service.authority().ca_pem())?;
    let ca = builder.folder().join("ca.pem");
    let routes = Kind::ALL.map(|kind| format!("{}={}", kind.service(), targets.address(kind)));
    Ok(builder
        .args(["-e", &service.endpoint()?])
        .arg("-c")
        .arg(ca)
        .args(["-d", &routes.join(",")])
        .token(&random_hex()))
}

/// The tunnel of an agent that has just been started.
pub(super) async fn accepted(service: &Service) -> io::Result<Tunnel> {
    timeout(LIMIT, service.accept())
        .await
        .map_err(|_| io::Error::other("the agent does not connect"))?
}

/// The process of an agent.
pub(super) fn of(agent: &Agent) -> io::Result<Process> {
    let pid = u32::try_from(agent.pid()).map_err(io::Error::other)?;
    Ok(Process::new(pid))
}
