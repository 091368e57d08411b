//! What the log and the process list must not show, and how loud the log is.

use cell::agent::Agent;
use cell::journal::Mark;
use cell::service::{Protocol, ServiceOptions, client_token};

use crate::stage::{LIMIT, Stage};
use crate::{echo, round_trip, trusting, with};

/// What anybody on the machine can see of a process.
fn visible(agent: &Agent) -> String {
    let mut bytes = agent.command_line().expect("it runs");
    let environment = std::fs::read(format!("/proc/{}/environ", agent.pid()));
    bytes.extend(environment.expect("the test may read it"));
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn secrets_are_in_no_log_and_not_visible_to_others() {
    for by_flag in [true, false] {
        let target = echo();
        let client = client_token();
        let stage = Stage::with(ServiceOptions::default(), &["ssh"], |service, tunnel| {
            let token = &tunnel.destination_token;
            let builder = trusting(service)
                .args(["-e", &service.endpoint(), "-v", "6"])
                .args(["-d", &format!("ssh={}", target.address())]);
            if by_flag {
                builder.args(["-t", token, "-i", &client])
            } else {
                builder
                    .env("AWSIOT_TUNNEL_ACCESS_TOKEN", token)
                    .env("AWSIOT_TUNNEL_CLIENT_TOKEN", &client)
            }
        })
        .await;
        let mut raw = stage.raw(Protocol::V3).await;
        round_trip(&mut raw, "ssh").await;
        let mark = stage.tunnel.mark();
        let killed = stage.tunnel.destination.kill(cell::service::Kill::Reset);
        killed.expect("there");
        stage.connected_after(mark).await;

        let log = stage.agent.log().join("\n");
        assert!(log.contains("TRACE"), "this is the log at its loudest");
        let seen = visible(&stage.agent);
        // Enough of a token to be one.
        let access = &stage.tunnel.destination_token[6..26];
        for (name, secret) in [("access token", access), ("client token", &client[..18])] {
            assert!(!log.contains(secret), "the {name} is in the log");
            assert!(!seen.contains(secret), "the {name} is visible in /proc");
        }
        stage.end();
    }
}

#[tokio::test]
async fn a_token_made_by_the_agent_is_not_logged() {
    let stage = with(&["ssh"], &["-d", "9", "-v", "255"]).await;
    let connected = stage.connected_after(Mark::START).await;
    let cell::service::Event::Connected {
        client_token: Some(token),
        ..
    } = connected
    else {
        panic!("no client token in {connected:?}");
    };
    let loudest = stage.agent.wait_line(|line| line.contains("TRACE"), LIMIT);
    loudest.await.expect("this is the log at its loudest");
    let log = stage.agent.log().join("\n");
    assert!(!log.contains(&token[..18]));
    stage.end();
}

#[tokio::test]
async fn verbosity_is_that_of_the_reference() {
    for (level, marks, missing) in [
        (
            "0",
            &[][..],
            &["ERROR", "WARN", "INFO", "DEBUG", "TRACE"][..],
        ),
        ("3", &["WARN"], &["INFO", "DEBUG", "TRACE"]),
        ("4", &["WARN", "INFO"], &["DEBUG", "TRACE"]),
    ] {
        let stage = with(&["ssh", "web"], &["-d", "ssh=9", "-v", level]).await;
        for mark in marks {
            // `web` has no route, which is a warning.
            let line = stage.agent.wait_line(|line| line.contains(mark), LIMIT);
            line.await.unwrap_or_else(|why| panic!("-v {level}: {why}"));
        }
        let log = stage.agent.log().join("\n");
        for mark in missing {
            assert!(!log.contains(mark), "-v {level}: {log}");
        }
        stage.end();
    }
}
