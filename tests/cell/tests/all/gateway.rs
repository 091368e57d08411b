//! The harness of a gateway, with shells in the agent's place; and what the service makes of rotated tokens.

use cell::agent::{AgentBuilder, Gateway};
use cell::certs::DeviceFiles;
use cell::notification::{notification, payload, topic};
use cell::service::{Protocol, client_token};
use cell::source::{ConnectError, RawSource, SourceOptions};
use cell::wire::Mode;
use serde_json::json;

use crate::{LIMIT, SERVICES, service};

/// A gateway whose agent is this script; `$0` is `--config`, `$1` the file.
async fn scripted(script: &str) -> Gateway {
    let service = service().await;
    Gateway::new("/bin/sh", &service)
        .expect("a folder")
        .build(|builder: AgentBuilder| builder.args(["-c", script]))
}

#[tokio::test]
async fn an_agent_that_was_killed_finds_what_it_left() {
    let gateway =
        scripted("run=$(sed -n 's/^runtime = \"\\(.*\\)\"/\\1/p' $1); echo found $(cat $run/left); echo left > $run/left; echo stored; exec sleep 60")
            .await;
    let mut agent = gateway.start().expect("a shell");
    agent
        .wait_line(|line| line == "found", LIMIT)
        .await
        .expect("nothing there yet");
    agent
        .wait_line(|line| line == "stored", LIMIT)
        .await
        .expect("it goes on");
    agent.kill().await.expect("it ran");
    agent.kill().await.expect_err("it is gone");
    drop(agent);
    let agent = gateway.start().expect("a shell");
    agent
        .wait_line(|line| line == "found left", LIMIT)
        .await
        .expect("the same folder");
    let folder = gateway.folder().to_owned();
    drop(gateway);
    assert!(folder.is_dir(), "the agent still has it");
    drop(agent);
    assert!(!folder.exists());
}

#[tokio::test]
async fn a_subcommand_has_input_output_and_a_code() {
    let service = service().await;
    let gateway = Gateway::new("/bin/sh", &service).expect("a folder");
    let script = "read line; echo \"got $line\"; echo \"$0 $1 $HTTPS_PROXY\" >&2; exit 3";
    let gateway = gateway.build(|builder| {
        builder
            .env("HTTPS_PROXY", "http://p:1")
            .wrapper(["env", "-u", "HTTPS_PROXY"])
    });
    let done = gateway
        .run(&["-c", script], b"a line\nmore\n")
        .await
        .expect("it ends");
    assert_eq!((done.code, done.stdout.as_str()), (Some(3), "got a line\n"));
    let config = gateway.file();
    assert_eq!(done.stderr, format!("--config {} \n", config.display()));
}

#[tokio::test]
async fn status_and_audit_are_read() {
    let gateway = scripted(":").await;
    assert_eq!(gateway.status().expect("none is no error"), None);
    assert_eq!(gateway.audit().expect("none is no error").len(), 0);
    std::fs::write(gateway.runtime().join("status.json"), "{\"up\":1}").expect("written");
    std::fs::write(gateway.audit_file(), "{\"n\":1}\n{\"n\":2}\n{\"n\"").expect("written");
    assert_eq!(gateway.status().expect("JSON"), Some(json!({"up": 1})));
    assert_eq!(
        gateway.audit().expect("JSON"),
        [json!({"n": 1}), json!({"n": 2})]
    );
    gateway
        .wait_audit(|line| line["n"] == 2, LIMIT)
        .await
        .expect("it is there");
    std::fs::write(gateway.runtime().join("status.json"), "{\"up\":").expect("written");
    gateway.status().expect_err("half a file");
}

#[tokio::test]
async fn the_file_says_where_everything_is() {
    let service = service().await;
    let device = DeviceFiles {
        thing: "cell-7".into(),
        ca: "/ca".into(),
        certificate: "/crt".into(),
        key: "/key".into(),
    };
    let gateway = Gateway::new("/bin/sh", &service)
        .expect("a folder")
        .configure(|file| {
            file.route("robot1", ([127, 0, 0, 1], 23).into(), "")
                .notify(443, &device)
        })
        .expect("written");
    let text = std::fs::read_to_string(gateway.file()).expect("a file");
    for part in [
        "thing = \"cell-7\"\n",
        &format!("[tunnel]\nendpoint = \"{}\"", service.endpoint()),
        "[notify]\nendpoint = \"localhost:443\"\n",
        &format!("runtime = \"{}\"", gateway.runtime().display()),
        &format!("audit = \"{}\"", gateway.audit_file().display()),
    ] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    assert!(!text.contains("token"), "{text}");
}

#[tokio::test]
async fn a_notification_is_as_aws_writes_it() {
    let service = service().await;
    let tunnel = service.open_tunnel(&SERVICES);
    assert_eq!(
        notification(&tunnel),
        json!({
            "clientAccessToken": tunnel.destination_token,
            "clientMode": "destination",
            "region": "eu-central-1",
            "services": SERVICES,
        })
    );
    let nameless = service.open_tunnel::<&str>(&[]);
    assert!(!String::from_utf8_lossy(&payload(&nameless)).contains("services"));
    assert_eq!(topic("cell-7"), "$aws/things/cell-7/tunnels/notify");
}

#[tokio::test]
async fn a_rotated_token_is_dead_and_the_new_one_is_fresh() {
    let service = service().await;
    let tunnel = service.open_tunnel(&SERVICES);
    let with = |token: &str, client_token: &str| SourceOptions {
        token: token.to_owned(),
        client_token: Some(client_token.to_owned()),
        ..SourceOptions::new(&service, &tunnel, Protocol::V3)
    };
    let connect = |options| RawSource::connect_as(Mode::Destination, options);
    let ours = client_token();
    let first = connect(with(&tunnel.destination_token, &ours))
        .await
        .expect("let in");
    let rotated = tunnel.rotate(Mode::Destination);
    assert_ne!(rotated.destination_token, tunnel.destination_token);
    assert_eq!(rotated.source_token, tunnel.source_token);
    assert!(tunnel.destination.is_connected(), "who is there stays");
    drop(first);
    let refused = connect(with(&tunnel.destination_token, &ours)).await;
    let refused = refused.map(|_| ()).expect_err("the old token is dead");
    assert!(
        matches!(refused, ConnectError::Refused { status: 403, .. }),
        "{refused:?}"
    );
    connect(with(&rotated.destination_token, &client_token()))
        .await
        .expect("the new one is fresh");
}

#[tokio::test]
async fn tunnels_do_not_know_each_other() {
    let service = service().await;
    let tunnels: Vec<_> = (0..5).map(|_| service.open_tunnel(&SERVICES)).collect();
    let mut connected = Vec::new();
    for tunnel in &tunnels {
        let options = SourceOptions {
            token: tunnel.destination_token.clone(),
            ..SourceOptions::new(&service, tunnel, Protocol::V3)
        };
        let destination = RawSource::connect_as(Mode::Destination, options).await;
        connected.push(destination.expect("let in"));
    }
    tunnels[2].close();
    tunnels[2]
        .wait_event(|event| event.is_closed(Mode::Destination), LIMIT)
        .await
        .expect("closed");
    for (index, tunnel) in tunnels.iter().enumerate() {
        assert_eq!(tunnel.destination.is_connected(), index != 2);
    }
}
