//! What is refused: exit 78, every fault at once, and nothing started. And what only prints.

use cell::agent::AgentBuilder;
use cell::journal::Mark;
use cell::service::{Service, ServiceOptions, Tunnel};

use crate::stage::{AGENT, LIMIT, Stage};
use crate::{bare, trusting};

/// Starts nothing: exit 78, every part is told, and nobody was dialled.
async fn refuses(what: &str, told: &[&str], build: impl FnOnce(&Service, &Tunnel) -> AgentBuilder) {
    let mut stage = Stage::started(ServiceOptions::default(), &["ssh"], build).await;
    let code = stage.agent.wait_exit(LIMIT).await.expect("it exits");
    assert_eq!(code, 78, "{what}");
    for part in told {
        let line = stage.agent.wait_line(|line| line.contains(part), LIMIT);
        line.await
            .unwrap_or_else(|why| panic!("{what}: {part:?}: {why}"));
    }
    let events = stage.service.count_events(Mark::START, |_| true);
    assert_eq!(events, 0, "{what}: nothing is started");
    stage.end_stopped();
}

/// As [`refuses`], for flags behind a command line that is good without them.
async fn refuses_flags(flags: &[&str], told: &[&str]) {
    refuses(&format!("{flags:?}"), told, |service, tunnel| {
        bare(service, tunnel).args(flags)
    })
    .await;
}

#[tokio::test]
async fn flags_that_are_refused_say_why_and_what_instead() {
    for flag in ["-k", "--no-ssl-host-verify"] {
        let told = ["-k/--no-ssl-host-verify", "reach the robots", "with -c"];
        refuses_flags(&["-d", "9", flag], &told).await;
    }
    for flag in ["-s", "--source-listen-port"] {
        let told = ["-s/--source-listen-port", "destination", "localproxy -s"];
        refuses_flags(&["-d", "9", flag, "5555"], &told).await;
    }
    refuses_flags(&["-d", "9", "-m", "source"], &["-m/--mode", "destination"]).await;
    let told = ["--settings-json", "cellgate.toml"];
    refuses_flags(&["-d", "9", "--settings-json", "x.json"], &told).await;
}

#[tokio::test]
async fn every_fault_is_told_at_once() {
    let flags = ["-d", "ssh=", "-k", "-b", "eth1", "-v", "loud", "--nonsense"];
    let told = [
        "5 faults",
        "-d/--destination-app",
        "-k/--no-ssl-host-verify",
        "-b/--local-bind-address",
        "-v/--verbose",
        "--nonsense",
    ];
    refuses_flags(&flags, &told).await;
}

#[tokio::test]
async fn a_bad_file_is_told_by_line_and_key() {
    let told = ["cellgate.toml:2", "targt", "cellgate.toml:4", "stall"];
    refuses("a bad file", &told, |service, tunnel| {
        let text =
            "[routes.robot1]\ntargt = \"127.0.0.1:23\"\ntarget = \"127.0.0.1:23\"\nstall = 10\n";
        bare(service, tunnel).config(text).expect("a file")
    })
    .await;
}

#[tokio::test]
async fn destinations_that_are_wrong() {
    for destination in [
        "",
        "ssh",
        "ssh=host",
        "ssh=:22",
        "ssh=127.0.0.1:0",
        "ssh=127.0.0.1:65536",
        "ssh=::1:22",
        "ssh=22,ssh=23",
        "ssh=22,23",
    ] {
        refuses_flags(&["-d", destination], &["-d/--destination-app", "expected"]).await;
    }
}

#[tokio::test]
async fn certificates_that_are_none() {
    let flag = "-c/--capath";
    // What is in the path, if it is a folder; what is in the file, if it is one.
    for (what, folder, file) in [
        ("an empty folder", true, None),
        ("a folder without certificates", true, Some("nothing")),
        ("a missing file", false, None),
        ("a file without certificates", false, Some("nothing")),
        (
            "a broken certificate",
            false,
            Some("-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n"),
        ),
    ] {
        refuses(what, &[flag, "expected"], |service, tunnel| {
            let builder = AgentBuilder::new(AGENT).expect("a folder");
            let path = builder.folder().join("roots");
            if folder {
                std::fs::create_dir(&path).expect("a folder");
            }
            if let Some(text) = file {
                let file = if folder {
                    path.join("a.pem")
                } else {
                    path.clone()
                };
                std::fs::write(file, text).expect("a file");
            }
            builder
                .args(["-e", &service.endpoint(), "-d", "9"])
                .arg("-c")
                .arg(path)
                .token(&tunnel.destination_token)
        })
        .await;
    }
}

#[tokio::test]
async fn what_is_missing_is_told() {
    refuses(
        "no token",
        &["no access token", "AWSIOT_TUNNEL_ACCESS_TOKEN"],
        |service, _| trusting(service).args(["-e", &service.endpoint(), "-d", "9"]),
    )
    .await;
    refuses(
        "no endpoint",
        &["neither region nor endpoint", "-r"],
        |service, tunnel| {
            let builder = trusting(service).args(["-d", "9"]);
            builder.token(&tunnel.destination_token)
        },
    )
    .await;
    refuses_flags(
        &["-d", "9", "-r", "eu-central-1"],
        &["an endpoint", "a region"],
    )
    .await;
    refuses("an empty map", &["--config-dir"], |service, tunnel| {
        let builder = bare(service, tunnel);
        let folder = builder.folder().join("maps");
        std::fs::create_dir(&folder).expect("a folder");
        builder.arg("--config-dir").arg(folder)
    })
    .await;
}

#[tokio::test]
async fn tokens_that_cannot_be_are_not_shown() {
    let access = "AQGAAX with a space and a secret";
    let client = "too-short-but-secret";
    let what = "wrong tokens";
    let told = [
        "AWSIOT_TUNNEL_ACCESS_TOKEN",
        "-i/--client-token",
        "not shown",
    ];
    let mut stage = Stage::started(ServiceOptions::default(), &["ssh"], |service, tunnel| {
        bare(service, tunnel)
            .token(access)
            .args(["-d", "9", "-i", client])
    })
    .await;
    assert_eq!(stage.agent.wait_exit(LIMIT).await.expect("it exits"), 78);
    for part in told {
        let line = stage.agent.wait_line(|line| line.contains(part), LIMIT);
        line.await
            .unwrap_or_else(|why| panic!("{what}: {part:?}: {why}"));
    }
    assert!(!stage.agent.log().concat().contains("secret"));
    stage.end_stopped();
}

#[tokio::test]
async fn help_and_version() {
    for (flag, told) in [
        ("--help", "-d, --destination-app"),
        ("-h", "AWSIOT_TUNNEL_ACCESS_TOKEN"),
        ("--version", concat!("cellgate ", env!("CARGO_PKG_VERSION"))),
        ("-V", "cellgate "),
    ] {
        let agent = AgentBuilder::new(AGENT).expect("a folder").arg(flag);
        let mut agent = agent.start().expect("an agent");
        assert_eq!(agent.wait_exit(LIMIT).await.expect("it exits"), 0, "{flag}");
        let line = agent.wait_line(|line| line.contains(told), LIMIT).await;
        line.unwrap_or_else(|why| panic!("{flag}: {why}"));
    }
}
