//! Refusals that are final: exit 69, one attempt, and one line with all there is to know.

use cell::journal::Mark;
use cell::service::{Event, Refusal, Service, ServiceOptions, Tunnel};

use crate::stage::{LIMIT, Stage, for_routes};
use crate::{NOWHERE, refused, status};

/// The agent gives the token up after one refusal, and the log says all there is to know.
async fn is_final(mut stage: Stage, told: &[&str], attempts: usize) {
    let code = stage.agent.wait_exit(LIMIT).await.expect("it exits");
    assert_eq!(code, 69, "{told:?}");
    let whole = |line: &str| told.iter().all(|part| line.contains(part));
    let line = stage.agent.wait_line(whole, LIMIT).await;
    line.expect("one line with status, reason, channel-id and cause");
    let rejected = |event: &Event| matches!(event, Event::Rejected { .. });
    let count = stage.service.count_events(Mark::START, rejected);
    assert_eq!(count, attempts, "a dead token is not tried again");
    stage.end_stopped();
}

#[tokio::test]
async fn a_4xx_is_final() {
    for (code, reason, cause) in [
        (400, "Malformed request", "malformed"),
        (401, "Not authorized", "rotated"),
        (403, "Access token was already used", "used before"),
        (404, "No such tunnel", "closed"),
        (405, "Not like this", "open a new one"),
        (410, "Gone for good", "lifetime"),
        (451, "Not in this country", "open a new one"),
    ] {
        let stage = refused(&[status(code, reason)]).await;
        let http = format!("HTTP {code}");
        let told = [&http, reason, "channel-id", "likely cause", cause];
        is_final(stage, &told, 1).await;
    }
}

#[tokio::test]
async fn a_4xx_without_a_reason_is_final_too() {
    let stage = refused(&[Refusal::status(403)]).await;
    is_final(stage, &["HTTP 403", "likely cause", "expired"], 1).await;
}

#[tokio::test]
async fn a_token_that_another_agent_used_is_final() {
    let first = Stage::up(&NOWHERE).await;
    let second = for_routes(&first.service, &first.tunnel, &NOWHERE);
    let mut second = second.start().expect("an agent");
    let code = second.wait_exit(LIMIT).await.expect("it exits");
    assert_eq!(code, 69);
    let told = |line: &str| line.contains("already used") && line.contains("another client token");
    let line = second.wait_line(told, LIMIT).await;
    line.expect("the reason and the cause");
    first.end();
}

#[tokio::test]
async fn a_source_token_is_final() {
    let build = |service: &Service, tunnel: &Tunnel| {
        for_routes(service, tunnel, &NOWHERE).token(&tunnel.source_token)
    };
    let stage = Stage::started(ServiceOptions::default(), &["robot1"], build).await;
    is_final(stage, &["HTTP 403", "local-proxy-mode"], 1).await;
}

#[tokio::test]
async fn a_tunnel_that_is_closed_is_final() {
    let stage = Stage::up(&NOWHERE).await;
    stage.tunnel.close();
    is_final(stage, &["HTTP 403", "Tunnel is closed"], 1).await;
}

#[tokio::test]
async fn a_refusal_after_trouble_is_final() {
    let stage = refused(&[status(503, "Busy"), status(404, "No such tunnel")]).await;
    is_final(stage, &["HTTP 404", "No such tunnel"], 2).await;
}
