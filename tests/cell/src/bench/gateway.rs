//! An agent with several tunnels, as a gateway has them.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use super::options::Options;
use super::process::Process;
use super::scene::of;
use super::service::{Service, Tunnel};
use crate::agent::{Agent, Gateway};
use crate::notification::REGION;
use crate::service::random_hex;

const LIMIT: Duration = Duration::from_secs(20);

/// An agent that serves a gateway, and the tunnels handed to it so far.
pub(super) struct Site {
    pub(super) tunnels: Vec<Tunnel>,
    pub(super) process: Process,
    services: Vec<&'static str>,
    gateway: Gateway,
    service: Service,
    _agent: Agent,
}

impl Site {
    /// With these routes and no tunnel yet. `lines` are further lines of each route's table.
    pub(super) async fn start(
        options: &Options,
        routes: &[(&'static str, SocketAddr)],
        lines: &str,
    ) -> io::Result<Site> {
        let service = Service::start().await?;
        let binary = std::path::absolute(&options.agent)?;
        let ca = service.authority().ca_pem();
        let gateway = Gateway::at(binary, &service.endpoint()?, &ca)?.configure(|file| {
            let add = |file: crate::agent::Configuration, route: &(&str, SocketAddr)| {
                file.route(route.0, route.1, lines)
            };
            routes.iter().fold(file, add)
        })?;
        let agent = gateway.start()?;
        agent
            .wait_line(|line| line.contains("takes requests"), LIMIT)
            .await
            .map_err(io::Error::other)?;
        Ok(Site {
            tunnels: Vec::new(),
            process: of(&agent)?,
            services: routes.iter().map(|(name, _)| *name).collect(),
            gateway,
            service,
            _agent: agent,
        })
    }

    /// Hands a tunnel over and waits until it is up.
    pub(super) async fn open_tunnel(&mut self) -> io::Result<()> {
        let notification = json!({
            "clientAccessToken": random_hex(),
            "clientMode": "destination",
            "region": REGION,
            "services": self.services,
        })
        .to_string();
        let open = self.gateway.run(&["open"], notification.as_bytes());
        let up = timeout(LIMIT, self.service.accept_with(&self.services));
        let (open, up) = tokio::join!(open, up);
        let open = open?;
        if open.code != Some(0) {
            return Err(io::Error::other(open.stderr));
        }
        self.tunnels.push(up.map_err(io::Error::other)??);
        Ok(())
    }

    /// How many connections the agent says it has.
    pub(super) async fn connections(&self) -> io::Result<usize> {
        let status = self.gateway.run(&["status", "--json"], b"").await?;
        let status: Value = serde_json::from_str(&status.stdout)?;
        let tunnels = status["tunnels"].as_array().into_iter().flatten();
        let streams = tunnels.filter_map(|tunnel| tunnel["streams"].as_array());
        Ok(streams.map(Vec::len).sum())
    }
}
