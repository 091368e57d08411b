//! The simulated cell: everything around the agent, for its tests and its demo.
//!
//! It is the *other side* of the agent, so it shares no code with it: an error of the agent must not be mirrored here.
//!
//! - [`service`]: the tunnelling service, stricter than the real one, with switches for faults; records what it saw.
//! - [`source`]: the source of a tunnel, with listening ports (V1, V2, V3) or as a bare WebSocket.
//! - [`agent`]: the real agent binary as a child process, for one tunnel or as the service of a gateway.
//! - [`broker`]: an MQTT broker as strict as that of AWS IoT, with switches for faults; [`mosquitto`]: a real one;
//!   [`notification`]: what is published there.
//! - [`controller`]: Kawasaki controllers; [`program`]: the AS programs in them; [`engineer`]: the terminal of a person.
//! - [`proxy`]: an HTTP proxy on the way to the service, and the login page of a guest network.
//! - [`demo`]: `cargo cell`. [`bench`]: `tests/bench/run`, what the agent costs beside what it must cost. [`soak`]:
//!   `tests/soak/run`, mixed load with faults at random.
//! - [`target`]: plain TCP targets; [`pattern`]: the bytes of transfers that are compared.
//! - [`wire`]: the messages and what a client may not send.
//! - [`held`]: ports of listeners that go and come back.
//! - [`certs`]: an authority and certificates, good and wrong.
//! - [`journal`]: the record that service, source and agent let a test wait on.
//!
//! A test starts the parts it needs, on loopback ports that are free, and waits for events instead of for time:
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use cell::agent::Agent;
//! use cell::service::{Protocol, Service, ServiceOptions};
//! use cell::source::{Source, SourceOptions};
//! use cell::target::{Behaviour, Target};
//! use cell::wire::Mode;
//! use tokio::net::TcpStream;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let limit = Duration::from_secs(10);
//! let service = Service::start(ServiceOptions::default()).await?;
//! let tunnel = service.open_tunnel(&["robot1"]);
//! let robot = Target::start(Behaviour::Echo)?;
//! let agent = Agent::for_tunnel("cellgate", &service, &tunnel, &[("robot1", robot.address())])?;
//! tunnel.wait_event(|event| event.is_connected(Mode::Destination), limit).await?;
//!
//! let source = Source::connect(SourceOptions::new(&service, &tunnel, Protocol::V3)).await?;
//! let engineer = TcpStream::connect(source.address("robot1")).await?;
//! tunnel.destination.switch(|switches| switches.delay = Duration::from_millis(75));
//! robot.wait_open(0, limit).await?;
//!
//! drop(engineer);
//! let record = robot.wait_ended(0, limit).await?;
//! assert!(record.ended_by_fin());
//! assert!(tunnel.violations().is_empty());
//! # drop(agent);
//! # Ok(())
//! # }
//! ```

pub mod agent;
pub mod bench;
pub mod broker;
pub mod certs;
pub mod controller;
pub mod demo;
pub mod engineer;
pub mod held;
pub mod journal;
pub mod mosquitto;
pub mod notification;
pub mod pattern;
pub mod program;
pub mod proxy;
pub mod service;
pub mod soak;
pub mod source;
pub mod target;
pub mod wire;
