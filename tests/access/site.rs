//! A gateway as a service: tunnels are handed over at its local socket, and its cell has a key switch.
//!
//! Is responsible for: starting the real agent with a configuration of the test's own, and what holds at the end of
//! every test.

// Each test binary uses its own part of the site.
#![allow(dead_code)]

use std::path::PathBuf;

use cell::agent::{Agent, Gateway};
use cell::journal::Mark;
use cell::notification::notification;
use cell::pattern::sha256;
use cell::service::{Event, Protocol, Service, ServiceOptions, Tunnel};
use cell::source::{RawSource, SourceOptions};
use cell::wire::{Kind, Mode};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::stage::{AGENT, LIMIT};

/// A gateway that is not started yet, and the service that its tunnels are of.
pub(crate) struct Plan {
    pub(crate) service: Service,
    pub(crate) gateway: Gateway,
}

impl Plan {
    pub(crate) async fn new(options: ServiceOptions) -> Plan {
        let service = Service::start(options).await.expect("a service");
        let gateway = Gateway::new(AGENT, &service).expect("a folder");
        std::fs::create_dir(gateway.folder().join("cell")).expect("a folder");
        Plan { service, gateway }
    }

    /// Adds a table to the configuration file.
    pub(crate) fn table(self, name: &str, lines: &str) -> Plan {
        self.change(|gateway| {
            gateway
                .configure(|file| file.table(name, lines))
                .expect("a file")
        })
    }

    /// `[access]` with the key switch and further lines.
    pub(crate) fn with_switch(self, lines: &str) -> Plan {
        let switch = switch_of(&self.gateway);
        let lines = format!("key-switch = \"{}\"\n{lines}", switch.display());
        self.table("access", &lines)
    }

    /// A route with further lines of its table.
    pub(crate) fn route(self, name: &str, target: std::net::SocketAddr, lines: &str) -> Plan {
        self.change(|gateway| {
            gateway
                .configure(|file| file.route(name, target, lines))
                .expect("a file")
        })
    }

    pub(crate) fn change(self, change: impl FnOnce(Gateway) -> Gateway) -> Plan {
        Plan {
            gateway: change(self.gateway),
            ..self
        }
    }

    /// Starts the agent, and waits until it takes requests.
    pub(crate) async fn start(self) -> Site {
        let agent = self.gateway.start().expect("an agent");
        let serves = |line: &str| line.ends_with(": takes requests");
        agent.wait_line(serves, LIMIT).await.expect("it serves");
        // Behind its first look at the key switch: a turn from now on is a change.
        let looked = |line: &str| line.contains(" access: on: ") || line.contains(" access: off: ");
        agent.wait_line(looked, LIMIT).await.expect("it looks");
        Site {
            service: self.service,
            gateway: self.gateway,
            agent,
        }
    }
}

/// The running gateway.
pub(crate) struct Site {
    pub(crate) service: Service,
    pub(crate) gateway: Gateway,
    pub(crate) agent: Agent,
}

impl Site {
    /// Hands a tunnel's notification over, and gives the agent's answer.
    pub(crate) async fn hand_over(&self, tunnel: &Tunnel) -> Value {
        let line = format!("{}\n", json!({ "open": notification(tunnel) }));
        let asked = async {
            let socket = UnixStream::connect(self.gateway.socket()).await;
            let mut socket = BufReader::new(socket.expect("the agent listens"));
            socket.write_all(line.as_bytes()).await.expect("it reads");
            let mut answer = String::new();
            socket.read_line(&mut answer).await.expect("it answers");
            serde_json::from_str(&answer).expect("JSON")
        };
        timeout(LIMIT, asked).await.expect("it answers in time")
    }

    /// Hands a tunnel over that gets a place.
    pub(crate) async fn open(&self, tunnel: &Tunnel) {
        let answer = self.hand_over(tunnel).await;
        assert!(answer["done"].is_string(), "{answer}");
    }

    /// The same, and waits until it is up.
    pub(crate) async fn open_up(&self, tunnel: &Tunnel) {
        let mark = tunnel.mark();
        self.open(tunnel).await;
        connected_after(tunnel, mark).await;
    }

    /// A bare source past its SERVICE_IDS, in the form and with the subprotocol of `version`.
    pub(crate) async fn raw_as(
        &self,
        tunnel: &Tunnel,
        version: Protocol,
        subprotocol: Protocol,
    ) -> RawSource {
        let options = SourceOptions {
            subprotocol,
            ..SourceOptions::new(&self.service, tunnel, version)
        };
        let mut raw = RawSource::connect(options).await.expect("a source");
        let first = raw.recv(LIMIT).await.expect("SERVICE_IDS");
        assert_eq!(first.kind(), Ok(Kind::ServiceIds));
        raw
    }

    pub(crate) async fn raw(&self, tunnel: &Tunnel) -> RawSource {
        self.raw_as(tunnel, Protocol::V3, Protocol::V3).await
    }

    /// Turns the key switch on.
    pub(crate) fn switch_on(&self) {
        std::fs::write(switch_of(&self.gateway), "").expect("a folder");
    }

    /// Turns it off.
    pub(crate) fn switch_off(&self) {
        std::fs::remove_file(switch_of(&self.gateway)).expect("it was on");
    }

    /// Waits until the status shows that the only tunnel does this.
    pub(crate) async fn wait_state(&self, state: &str) -> Value {
        self.gateway
            .wait_status(|status| status["tunnels"][0]["state"] == state, LIMIT)
            .await
            .expect("the status shows it")
    }

    /// Waits for a line of the log with all these parts.
    pub(crate) async fn wait_log(&self, parts: &[&str]) -> String {
        self.agent
            .wait_line(|line| parts.iter().all(|part| line.contains(part)), LIMIT)
            .await
            .unwrap_or_else(|why| panic!("no line with {parts:?}: {why}"))
    }

    /// What holds at the end of every test: the agent runs, it broke no rule, it kept its secrets.
    pub(crate) fn end(mut self, tunnels: &[&Tunnel]) {
        assert!(self.agent.is_running().expect("the system knows"));
        let mut texts = self.agent.log();
        texts.extend(self.gateway.audit_lines().expect("a file"));
        for tunnel in tunnels {
            assert_eq!(tunnel.violations(), [], "the agent broke a rule");
            for line in &texts {
                assert!(!line.contains("panicked"), "{line}");
                for token in [&tunnel.destination_token, &tunnel.source_token] {
                    assert!(!line.contains(token.as_str()), "a secret in a file");
                }
            }
        }
    }
}

/// The file that is the key switch.
pub(crate) fn switch_of(gateway: &Gateway) -> PathBuf {
    gateway.folder().join("cell/remote-enabled")
}

/// The name by which log, status and audit know a tunnel.
pub(crate) fn name_of(tunnel: &Tunnel) -> String {
    sha256(tunnel.destination_token.as_bytes())[..8].to_owned()
}

/// Waits until the agent is connected, at a time behind `mark`; gives its client token.
pub(crate) async fn connected_after(tunnel: &Tunnel, mark: Mark) -> String {
    let connected = |event: &Event| event.is_connected(Mode::Destination);
    let waited = tunnel.wait_event_after(mark, connected, LIMIT).await;
    let (event, _) = waited.expect("the agent connects");
    let Event::Connected { client_token, .. } = event else {
        panic!("{event:?}")
    };
    client_token.expect("it brings one")
}

/// How often the agent was let in.
pub(crate) fn connections(tunnel: &Tunnel) -> usize {
    let events = tunnel.events().into_iter();
    events
        .filter(|entry| entry.what.is_connected(Mode::Destination))
        .count()
}
