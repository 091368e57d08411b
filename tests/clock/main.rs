//! Gateways whose clock is wrong: one that boots in 1970 waits, and a certificate that is not valid yet is named.

use std::time::Duration;

use cell::certs::ServerCertificate;
use cell::journal::Mark;
use cell::service::{Event, ServiceOptions};
use tokio::time::Instant;

use crate::faked::Faked;
use crate::site::{Plan, connected_after};
use crate::stage::LIMIT;

mod faked;
#[path = "../access/site.rs"]
mod site;
#[path = "../stage/mod.rs"]
mod stage;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_boots_in_1970_dials_when_its_clock_is_set() {
    let Some(faked) = Faked::at("1970-01-01T00:03:20Z", "a clock at 1970") else {
        return;
    };
    let plan = Plan::new(ServiceOptions::default()).await;
    let plan = plan.table("routes.robot1", "target = \"127.0.0.1:9\"");
    let plan = plan.change(|gateway| gateway.build(|builder| faked.built(builder)));
    let site = plan.start().await;
    let tunnel = site.service.open_tunnel(&["robot1"]);
    site.open(&tunnel).await;
    site.wait_log(&[
        "tunnel ",
        "the clock says 1970-01-01 00:0",
        "older than this build",
        "waits until NTP or the modem sets it",
    ])
    .await;
    let status = site.wait_state("waits for the clock").await;
    assert_eq!(status["clock_plausible"], false, "{status}");
    assert_eq!(status["state"], "trouble", "{status}");
    let time = status["time"].as_str().unwrap_or_default();
    assert!(time.starts_with("1970-01-01T00:0"), "{time}");

    let set = Instant::now();
    faked.set("2026-12-01T10:00:00Z");
    connected_after(&tunnel, Mark::START).await;
    let events = site.service.events();
    assert!(
        events.iter().all(|entry| entry.at >= set),
        "it dialled before its clock was set: {events:?}"
    );
    let after = events[0].at - set;
    assert!(after < Duration::from_secs(2), "it dialled after {after:?}");
    site.wait_log(&["the clock was set to 2026-12-01 10:00 UTC", "goes on"])
        .await;
    let status = site.wait_state("up").await;
    assert_eq!(status["clock_plausible"], true, "{status}");
    let said = |line: &&String| line.contains("the clock says");
    assert_eq!(
        site.agent.log().iter().filter(said).count(),
        1,
        "once a minute"
    );
    site.end(&[&tunnel]);
}

/// The clock could be right, and is not: the technician is told both times. When it is set, the tunnel comes up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_is_not_yet_valid_is_named_as_what_it_is() {
    let Some(faked) = Faked::at("2026-12-01T10:00:00Z", "a certificate of the future") else {
        return;
    };
    let options = ServiceOptions {
        certificate: ServerCertificate::NotYetValid,
        ..ServiceOptions::default()
    };
    let plan = Plan::new(options).await;
    let plan = plan.table("routes.robot1", "target = \"127.0.0.1:9\"");
    let plan = plan.change(|gateway| gateway.build(|builder| faked.built(builder)));
    let site = plan.start().await;
    let tunnel = site.service.open_tunnel(&["robot1"]);
    site.open(&tunnel).await;
    let parts = [
        "TLS failed",
        "it is not valid before 2030-01-01T00:00:00Z",
        "this gateway's clock says 2026-12-01T10:00:",
        "check the clock",
    ];
    site.wait_log(&parts).await;
    let status = site.wait_state("waits to retry").await;
    assert_eq!(status["clock_plausible"], true, "{status}");
    let error = status["tunnels"][0]["last_error"]
        .as_str()
        .unwrap_or_default();
    assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    let connected = |event: &Event| matches!(event, Event::Connected { .. });
    assert_eq!(site.service.count_events(Mark::START, connected), 0);

    faked.set("2030-01-02T00:00:00Z");
    connected_after(&tunnel, Mark::START).await;
    let status = site
        .gateway
        .wait_status(|status| status["tunnels"][0]["up"] == true, LIMIT)
        .await
        .expect("it is up");
    assert_eq!(status["tunnels"][0]["failures"], 0, "{status}");
    site.end(&[&tunnel]);
}
