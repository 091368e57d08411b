//! The cell against itself: a strict service is only worth something if it is known to be strict.

mod agent;
mod broker;
mod gateway;
mod handshake;
mod mosquitto;
mod reference;
mod routing;
mod source;
mod switches;
mod target;

use std::io::Write as _;
use std::time::Duration;

use cell::service::{Protocol, Service, ServiceOptions, Tunnel};
use cell::source::{RawSource, SourceOptions};
use cell::wire::{Kind, Message, Mode};

/// Far above what anything here takes; a test that waits this long has failed.
const LIMIT: Duration = Duration::from_secs(10);

const SERVICES: [&str; 2] = ["robot1", "robot2"];

/// Says that a test did not run, past the capture of the test harness: a skip that nobody sees counts as a pass.
fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

async fn service() -> Service {
    Service::start(ServiceOptions::default())
        .await
        .expect("the service starts")
}

fn options(service: &Service, tunnel: &Tunnel, mode: Mode) -> SourceOptions {
    let options = SourceOptions::new(service, tunnel, Protocol::V3);
    let token = match mode {
        Mode::Source => tunnel.source_token.clone(),
        Mode::Destination => tunnel.destination_token.clone(),
    };
    SourceOptions { token, ..options }
}

/// A bare client, past its SERVICE_IDS.
async fn client(service: &Service, tunnel: &Tunnel, mode: Mode) -> RawSource {
    let mut client = RawSource::connect_as(mode, options(service, tunnel, mode))
        .await
        .expect("the service lets it in");
    let first = client.recv(LIMIT).await.expect("SERVICE_IDS");
    assert_eq!(first, Message::service_ids(&SERVICES));
    client
}

/// Both sides of a new tunnel, past their SERVICE_IDS.
async fn pair(service: &Service) -> (Tunnel, RawSource, RawSource) {
    let tunnel = service.open_tunnel(&SERVICES);
    let source = client(service, &tunnel, Mode::Source).await;
    let destination = client(service, &tunnel, Mode::Destination).await;
    (tunnel, source, destination)
}

/// Both sides, with a stream 1 of robot1 that both know.
async fn pair_with_stream(service: &Service) -> (Tunnel, RawSource, RawSource) {
    let (tunnel, mut source, mut destination) = pair(service).await;
    let start = Message::stream_start(1, "robot1", 1);
    source
        .send(start.clone())
        .await
        .expect("the service is there");
    let received = destination
        .expect(|message| message.kind() == Ok(Kind::StreamStart), LIMIT)
        .await;
    assert_eq!(received, Ok(start));
    (tunnel, source, destination)
}
