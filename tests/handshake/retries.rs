//! Refusals that are waited out, and what looks like one.

use std::time::Duration;

use cell::journal::Mark;
use cell::service::{Event, Kill, Refusal};
use cell::wire::Mode;

use crate::stage::{LIMIT, Stage};
use crate::{NOWHERE, refused, status};

/// The agent tries again until it is let in, and says what was the matter.
async fn is_waited_out(refusals: Vec<Refusal>, told: &[&str]) {
    let stage = refused(&refusals).await;
    stage.connected_after(Mark::START).await;
    for part in told {
        let line = stage.agent.wait_line(|line| line.contains(part), LIMIT);
        line.await.unwrap_or_else(|why| panic!("{part:?}: {why}"));
    }
    let rejected = |event: &Event| matches!(event, Event::Rejected { .. });
    let count = stage.service.count_events(Mark::START, rejected);
    assert_eq!(count, refusals.len(), "{told:?}");
    stage.end();
}

#[tokio::test]
async fn a_5xx_is_waited_out() {
    let trouble = vec![status(500, "Oops"), status(503, "Busy")];
    let told = ["HTTP 500", "Oops", "HTTP 503", "Busy", "next attempt"];
    tokio::join!(
        is_waited_out(trouble, &told),
        is_waited_out(vec![status(502, "No way")], &["HTTP 502", "No way"]),
        is_waited_out(vec![Refusal::status(504)], &["HTTP 504"]),
        is_waited_out(vec![status(599, "Made up")], &["HTTP 599"]),
    );
}

/// How long the agent waited after a refusal with this `Retry-After`.
async fn waited(code: u16, retry_after: Option<&str>) -> Duration {
    let refusal = Refusal::Status {
        status: code,
        retry_after: retry_after.map(str::to_owned),
        reason: None,
    };
    let stage = refused(&[refusal]).await;
    stage.connected_after(Mark::START).await;
    let events = stage.service.events();
    let time = |fits: &dyn Fn(&Event) -> bool| {
        let found = events.iter().find(|entry| fits(&entry.what));
        found.expect("it happened").at
    };
    let rejected = time(&|event| event.is_rejected(code));
    let connected = time(&|event| event.is_connected(Mode::Destination));
    stage.end();
    connected - rejected
}

#[tokio::test]
async fn retry_after_is_obeyed() {
    let two = Duration::from_secs(2);
    // What the jitter adds at most is as long as what the service asks for; the backoff alone is half a second at most here.
    let most = two * 2 + Duration::from_secs(2);
    let (a, b, c, d, e) = tokio::join!(
        waited(429, Some("2")),
        waited(408, Some("2")),
        waited(503, Some("2")),
        waited(429, None),
        waited(408, Some("soon")),
    );
    for waited in [a, b, c] {
        assert!(waited >= two, "{waited:?} is too early");
        assert!(waited < most, "{waited:?} is too late");
    }
    for waited in [d, e] {
        assert!(waited < two, "{waited:?} is too late");
    }
}

#[tokio::test]
async fn a_captive_portal_is_waited_out_and_named() {
    let redirect = |code| vec![status(code, "Log in first")];
    tokio::join!(
        is_waited_out(
            vec![Refusal::CaptivePortal],
            &["HTTP 200", "captive portal"]
        ),
        is_waited_out(redirect(301), &["HTTP 301", "captive portal"]),
        is_waited_out(redirect(302), &["HTTP 302", "captive portal"]),
        is_waited_out(redirect(307), &["HTTP 307", "captive portal"]),
    );
}

#[tokio::test]
async fn an_answer_that_is_no_handshake_is_waited_out() {
    let told = ["not reached"];
    tokio::join!(
        is_waited_out(vec![Refusal::WrongAccept], &told),
        is_waited_out(vec![Refusal::NoSubprotocol], &told),
        is_waited_out(vec![Refusal::OtherSubprotocol], &told),
        is_waited_out(vec![Refusal::Cut(Kill::Reset)], &told),
        is_waited_out(vec![Refusal::Cut(Kill::Fin)], &told),
    );
}

#[tokio::test]
async fn a_service_that_does_not_listen_is_waited_out() {
    let stage = Stage::up(&NOWHERE).await;
    stage.service.stop_listening().await.expect("it stops");
    let mark = stage.tunnel.mark();
    stage.tunnel.destination.kill(Kill::Fin).expect("there");
    let told = |line: &str| line.contains("no TCP connection") && line.contains("refused");
    let line = stage.agent.wait_line(told, LIMIT).await;
    line.expect("it tries");
    stage
        .service
        .listen_again()
        .await
        .expect("the port is ours");
    stage.connected_after(mark).await;
    stage.end();
}
