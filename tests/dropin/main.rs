//! The flags, variables and folders of `localproxy -d`: a unit file that ran the reference runs cellgate.

#[path = "../stage/mod.rs"]
mod stage;

mod faults;
mod reference;
mod secrets;
mod targets;
mod tunnel;

use cell::agent::AgentBuilder;
use cell::service::{Service, ServiceOptions, Tunnel};
use cell::source::RawSource;
use cell::target::{Behaviour, Target};
use cell::wire::Message;

use crate::stage::{AGENT, Stage, receive};

fn echo() -> Target {
    Target::start(Behaviour::Echo).expect("a target")
}

/// An agent that knows the service and has its token, and no more.
fn bare(service: &Service, tunnel: &Tunnel) -> AgentBuilder {
    trusting(service)
        .args(["-e", &service.endpoint()])
        .token(&tunnel.destination_token)
}

/// An agent that trusts the service, and no more.
fn trusting(service: &Service) -> AgentBuilder {
    let builder = AgentBuilder::new(AGENT).expect("a folder");
    let builder = builder.file("ca.pem", service.ca_pem()).expect("a file");
    let ca = builder.folder().join("ca.pem");
    builder.arg("-c").arg(ca)
}

async fn with(services: &[&str], flags: &[&str]) -> Stage {
    Stage::with(ServiceOptions::default(), services, |service, tunnel| {
        bare(service, tunnel).args(flags)
    })
    .await
}

/// A round trip in a new stream of a service; empty is a V1 source.
async fn round_trip(raw: &mut RawSource, service: &str) {
    let data = Message::data(1, service, 0, "there and back");
    raw.send_many(&[Message::stream_start(1, service, 0), data.clone()])
        .await
        .expect("connected");
    assert_eq!(receive(raw, &data, 14).await, b"there and back");
}
