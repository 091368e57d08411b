//! The handshake with the service: what the request says, which refusals are final, which are waited out, and what
//! the log tells the technician about each.

#[path = "../stage/mod.rs"]
mod stage;

mod certificate;
mod refusals;
mod request;
mod retries;

use cell::service::{Refusal, Service, ServiceOptions, Tunnel};

use crate::stage::{Stage, for_routes};

/// Nobody asks for a stream in these tests.
const NOWHERE: [(&str, std::net::SocketAddr); 1] = [(
    "robot1",
    std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9),
)];

/// An agent that has just been started, with its next handshakes refused.
async fn refused(refusals: &[Refusal]) -> Stage {
    let build = |service: &Service, tunnel: &Tunnel| {
        for refusal in refusals {
            tunnel.destination.refuse_next(1, refusal);
        }
        for_routes(service, tunnel, &NOWHERE)
    };
    Stage::started(ServiceOptions::default(), &["robot1"], build).await
}

fn status(status: u16, reason: &str) -> Refusal {
    Refusal::Status {
        status,
        retry_after: None,
        reason: Some(reason.to_owned()),
    }
}
