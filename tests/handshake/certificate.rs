//! Services that are not who they should be.

use cell::agent::AgentBuilder;
use cell::certs::ServerCertificate;
use cell::journal::Mark;
use cell::service::{Event, Service, ServiceOptions, Tunnel};

use crate::NOWHERE;
use crate::stage::{AGENT, LIMIT, Stage, for_routes};

/// The agent does not talk to a service with this certificate, says why, and tries again.
async fn is_not_trusted(certificate: ServerCertificate, told: &[&str]) {
    let options = ServiceOptions {
        certificate,
        ..ServiceOptions::default()
    };
    let build = |service: &Service, tunnel: &Tunnel| for_routes(service, tunnel, &NOWHERE);
    let stage = Stage::started(options, &["robot1"], build).await;
    let failed = |event: &Event| matches!(event, Event::TlsFailed { .. });
    let mut mark = Mark::START;
    for attempt in ["first", "second"] {
        let waited = stage.service.wait_event_after(mark, failed, LIMIT).await;
        mark = waited.unwrap_or_else(|why| panic!("{attempt}: {why}")).1;
    }
    let whole = |line: &str| told.iter().all(|part| line.contains(part));
    let line = stage.agent.wait_line(whole, LIMIT).await;
    line.expect("one line that says why");
    let others = stage
        .service
        .count_events(Mark::START, |event| !failed(event));
    assert_eq!(others, 0, "not a byte of the request was sent");
    stage.end();
}

#[tokio::test]
async fn a_certificate_that_is_not_good_is_not_trusted() {
    tokio::join!(
        is_not_trusted(
            ServerCertificate::OtherAuthority,
            // An authority of the same name as the one trusted, but with another key: made anew, perhaps.
            &["TLS failed", "-c/--capath"]
        ),
        is_not_trusted(
            ServerCertificate::WrongName,
            &["TLS failed", "wrong.example", "check the endpoint"]
        ),
        is_not_trusted(
            ServerCertificate::Expired,
            &["TLS failed", "check the clock"]
        ),
    );
}

#[tokio::test]
async fn an_authority_that_was_not_given_is_not_trusted() {
    let build = |service: &Service, tunnel: &Tunnel| {
        let builder = AgentBuilder::new(AGENT).expect("a folder");
        let builder = builder.args(["-e", &service.endpoint(), "-d", "9"]);
        builder.token(&tunnel.destination_token)
    };
    let stage = Stage::started(ServiceOptions::default(), &["robot1"], build).await;
    let told = |line: &str| line.contains("TLS failed") && line.contains("issuer");
    let line = stage.agent.wait_line(told, LIMIT).await;
    line.expect("it says why");
    stage.end();
}
