//! A program in a tunnel: the agent, or the C++ localproxy that it is measured beside.

use std::io;
use std::path::Path;

use super::options::Options;
use super::process::Process;
use super::scene::{accepted, of, tunnel};
use super::service::{Service, Tunnel};
use super::targets::{Kind, Targets};
use crate::agent::{Agent, reference};
use crate::service::random_hex;

/// What the reference is called in the results.
pub(super) const REFERENCE: &str = "reference";

/// A running program, and the far end of its tunnel. Dropping it ends it.
pub(super) struct Program {
    pub(super) name: &'static str,
    pub(super) tunnel: Tunnel,
    pub(super) process: Process,
    _agent: Agent,
}

impl Program {
    pub(super) async fn agent(
        options: &Options,
        service: &Service,
        targets: &Targets,
    ) -> io::Result<Program> {
        let (agent, tunnel) = tunnel(options, service, targets).await?;
        Program::new("agent", agent, tunnel)
    }

    pub(super) async fn reference(
        binary: &Path,
        service: &Service,
        targets: &Targets,
    ) -> io::Result<Program> {
        let builder = reference(binary, &service.endpoint()?, &service.authority().ca_pem())?;
        let routes = Kind::ALL.map(|kind| format!("{}={}", kind.service(), targets.address(kind)));
        let agent = builder
            .args(["-d", &routes.join(",")])
            .token(&random_hex())
            .start()?;
        let tunnel = accepted(service).await?;
        Program::new(REFERENCE, agent, tunnel)
    }

    fn new(name: &'static str, agent: Agent, tunnel: Tunnel) -> io::Result<Program> {
        Ok(Program {
            name,
            tunnel,
            process: of(&agent)?,
            _agent: agent,
        })
    }
}
