//! What every end-to-end test starts: a service with one tunnel, the real agent in it, and a source.
//!
//! All of it is real but the network: the binary under test runs as a child process, and each test has its own
//! ports and its own folder.

// Each test binary uses its own part of the stage.
#![allow(dead_code)]

use std::io::Write as _;
use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use cell::agent::{Agent, AgentBuilder};
use cell::journal::Mark;
use cell::service::{Event, Protocol, Service, ServiceOptions, Tunnel};
use cell::source::{RawSource, Source, SourceOptions};
use cell::wire::{Kind, Message, Mode};
use tokio::time::sleep;

/// The binary under test.
pub(crate) const AGENT: &str = env!("CARGO_BIN_EXE_cellgate");

/// Far above what anything here takes; a test that waits this long has failed.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// A service, a tunnel of it, and the agent.
pub(crate) struct Stage {
    pub(crate) service: Service,
    pub(crate) tunnel: Tunnel,
    pub(crate) agent: Agent,
}

impl Stage {
    /// A tunnel whose services are the names of these routes, and an agent with the drop-in flags, connected.
    pub(crate) async fn up(routes: &[(&str, SocketAddr)]) -> Stage {
        let services: Vec<&str> = routes.iter().map(|(name, _)| *name).collect();
        Stage::with(ServiceOptions::default(), &services, |service, tunnel| {
            for_routes(service, tunnel, routes)
        })
        .await
    }

    /// Whatever the test wants, with the agent connected. `build` may also turn switches of the tunnel.
    pub(crate) async fn with(
        options: ServiceOptions,
        services: &[&str],
        build: impl FnOnce(&Service, &Tunnel) -> AgentBuilder,
    ) -> Stage {
        let stage = Stage::started(options, services, build).await;
        stage.connected_after(Mark::START).await;
        stage
    }

    /// As [`with`](Self::with), but the agent has only just been started.
    pub(crate) async fn started(
        options: ServiceOptions,
        services: &[&str],
        build: impl FnOnce(&Service, &Tunnel) -> AgentBuilder,
    ) -> Stage {
        let service = Service::start(options).await.expect("a service");
        let tunnel = service.open_tunnel(services);
        let agent = build(&service, &tunnel).start().expect("an agent");
        Stage {
            service,
            tunnel,
            agent,
        }
    }

    /// Waits until the agent is connected, at a time behind `mark`.
    pub(crate) async fn connected_after(&self, mark: Mark) -> Event {
        let connected = |event: &Event| event.is_connected(Mode::Destination);
        let waited = self.tunnel.wait_event_after(mark, connected, LIMIT).await;
        waited.expect("the agent connects").0
    }

    /// A bare source in the form of `version`, past its SERVICE_IDS. The subprotocol is that of the agent.
    pub(crate) async fn raw(&self, version: Protocol) -> RawSource {
        let options = SourceOptions {
            subprotocol: Protocol::V3,
            ..SourceOptions::new(&self.service, &self.tunnel, version)
        };
        let mut raw = RawSource::connect(options).await.expect("a source");
        let first = raw.recv(LIMIT).await.expect("SERVICE_IDS");
        assert_eq!(first.kind(), Ok(Kind::ServiceIds));
        raw
    }

    /// A source with a listening port for each service.
    pub(crate) async fn source(&self, version: Protocol) -> Source {
        let options = SourceOptions {
            subprotocol: Protocol::V3,
            ..SourceOptions::new(&self.service, &self.tunnel, version)
        };
        Source::connect(options).await.expect("a source")
    }

    /// Watches the agent for so long: a loop that asks again and again takes nearly all of the processor, and it may take
    /// 200 ms.
    pub(crate) async fn idles(&self, watched: Duration) {
        const CPU_MAX: Duration = Duration::from_millis(200);
        let before = self.agent.cpu().expect("it runs");
        sleep(watched).await;
        let cpu = self.agent.cpu().expect("it runs") - before;
        assert!(
            cpu < CPU_MAX,
            "{cpu:?} of the processor in {watched:?}; at most {CPU_MAX:?} were expected"
        );
    }

    /// What holds at the end of every test in which the agent goes on: it runs, it broke no rule, it kept its
    /// secrets.
    pub(crate) fn end(mut self) {
        assert!(self.agent.is_running().expect("the system knows"));
        self.end_stopped();
    }

    /// As [`end`](Self::end), for an agent that has exited.
    pub(crate) fn end_stopped(self) {
        assert_eq!(self.tunnel.violations(), [], "the agent broke a rule");
        for line in self.agent.log() {
            assert!(!line.contains("panicked"), "{line}");
            for token in [&self.tunnel.destination_token, &self.tunnel.source_token] {
                assert!(!line.contains(token.as_str()), "a secret in the log");
            }
        }
    }
}

/// An agent by the drop-in flags.
pub(crate) fn for_routes(
    service: &Service,
    tunnel: &Tunnel,
    routes: &[(&str, SocketAddr)],
) -> AgentBuilder {
    AgentBuilder::for_tunnel(AGENT, service, tunnel, routes).expect("a folder")
}

/// Whether `test` can use `[::1]`; many containers have none. Says so past the capture of
/// the test harness if it cannot: a skip that nobody sees counts as a pass.
pub(crate) fn has_ipv6(test: &str) -> bool {
    let has = std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    if !has {
        let _ = writeln!(std::io::stderr(), "SKIPPED: no IPv6 loopback here: {test}");
    }
    has
}

/// Whether a message is of a kind.
pub(crate) fn is(kind: Kind) -> impl Fn(&Message) -> bool {
    move |message| message.kind() == Ok(kind)
}

/// The payloads of the next DATA messages of one connection, until there are `length` bytes. Anything else that
/// comes is a failure.
pub(crate) async fn receive(raw: &mut RawSource, from: &Message, length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < length {
        let message = raw.recv(LIMIT).await.expect("DATA");
        let payload = message.payload.clone();
        let place = Message {
            payload: from.payload.clone(),
            ..message
        };
        assert_eq!(&place, from, "a message of another kind or place");
        bytes.extend_from_slice(&payload);
    }
    assert_eq!(bytes.len(), length, "more than was asked for");
    bytes
}
