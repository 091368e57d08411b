//! The harness of the agent, with a shell in the agent's place.

use std::time::Duration;

use cell::agent::{Agent, AgentBuilder, Signal};

use crate::{LIMIT, SERVICES, service};

fn shell(script: &str) -> Agent {
    AgentBuilder::new("/bin/sh")
        .expect("a folder")
        .args(["-c", script])
        .start()
        .expect("there is a shell")
}

#[tokio::test]
async fn lines_signals_and_the_exit_code_are_seen() {
    let mut agent =
        shell("trap 'echo told; exit 7' TERM; echo ready >&2; while :; do sleep 0.01; done");
    agent
        .wait_line(|line| line == "ready", LIMIT)
        .await
        .expect("it starts");
    assert!(agent.is_running().expect("the system knows"));
    agent.signal(Signal::SIGTERM).expect("it runs");
    assert_eq!(agent.wait_exit(LIMIT).await.expect("it exits"), 7);
    agent
        .wait_line(|line| line == "told", LIMIT)
        .await
        .expect("standard output too");
    agent
        .signal(Signal::SIGTERM)
        .expect_err("its pid may be somebody else's by now");
}

#[tokio::test]
async fn an_end_by_a_signal_is_no_exit_code() {
    let mut agent = shell("kill -KILL $$");
    let error = agent.wait_exit(LIMIT).await.expect_err("no code");
    assert!(error.to_string().contains("signal"), "{error}");
    let mut agent = shell("sleep 60");
    let error = agent
        .wait_exit(Duration::from_millis(50))
        .await
        .expect_err("it runs");
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn proc_is_read() {
    let agent = shell("exec 3</dev/null; echo ready; while :; do sleep 0.01; done");
    agent
        .wait_line(|line| line == "ready", LIMIT)
        .await
        .expect("it starts");
    assert!(agent.rss().expect("it runs") > 100_000);
    assert!(agent.peak_rss().expect("it runs") >= agent.rss_anonymous().expect("it runs"));
    assert!(agent.fds().expect("it runs") >= 4);
    assert_eq!(agent.threads().expect("it runs"), 1);
    let arguments = agent.command_line().expect("it runs");
    assert!(arguments.starts_with(b"/bin/sh\0-c\0"), "{arguments:?}");
    agent.cpu().expect("it runs");
}

#[tokio::test]
async fn it_is_killed_and_its_folder_goes() {
    let agent = shell("echo ready; sleep 60");
    agent
        .wait_line(|line| line == "ready", LIMIT)
        .await
        .expect("it starts");
    let (pid, folder) = (agent.pid(), agent.folder().to_owned());
    assert!(folder.is_dir());
    drop(agent);
    assert!(!folder.exists());
    // Killed at once; the zombie is reaped by the runtime.
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    assert!(
        state.is_empty() || state.contains(") Z ") || state.contains(") R "),
        "{state}"
    );
}

#[tokio::test]
async fn the_agent_is_told_where_and_who() {
    let service = service().await;
    let tunnel = service.open_tunnel(&SERVICES);
    let target = ([127, 0, 0, 1], 9_105).into();
    // A shell that shows its arguments and the token. `-e` and `-c` would be its own.
    let builder = AgentBuilder::for_tunnel(
        "/bin/sh",
        &service,
        &tunnel,
        &[("robot1", target), ("robot2", target)],
    )
    .expect("a folder");
    let ca = std::fs::read_to_string(builder.folder().join("ca.pem")).expect("written");
    assert_eq!(ca, service.ca_pem());
    let shown = format!("{builder:?}");
    assert!(
        shown.contains("robot1=127.0.0.1:9105,robot2=127.0.0.1:9105"),
        "{shown}"
    );
    assert!(shown.contains(&service.endpoint()), "{shown}");

    let builder = AgentBuilder::configured(
        "/bin/sh",
        &service,
        &tunnel,
        &[("robot1", target, "stall = \"2s\"")],
    )
    .expect("a folder");
    let text = std::fs::read_to_string(builder.folder().join("cellgate.toml")).expect("written");
    assert!(
        text.contains("[routes.robot1]\ntarget = \"127.0.0.1:9105\"\nstall = \"2s\"\n"),
        "{text}"
    );

    let token = shell_with_token(&tunnel.destination_token).await;
    assert_eq!(token, tunnel.destination_token);
}

async fn shell_with_token(token: &str) -> String {
    let agent = AgentBuilder::new("/bin/sh")
        .expect("a folder")
        .args(["-c", "echo \"$AWSIOT_TUNNEL_ACCESS_TOKEN\""])
        .token(token)
        .start()
        .expect("there is a shell");
    agent.wait_line(|_| true, LIMIT).await.expect("a line")
}
