//! The flags, variables and folders of `localproxy -d`: a unit file that ran the reference runs cellgate.

mod stage;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use cell::agent::{Agent, AgentBuilder};
use cell::journal::Mark;
use cell::service::{Protocol, Service, ServiceOptions, Tunnel, client_token};
use cell::source::RawSource;
use cell::target::{Behaviour, Target};
use cell::wire::Message;

use crate::stage::{AGENT, LIMIT, Stage, receive};

fn echo() -> Target {
    Target::start(Behaviour::Echo).expect("a target")
}

fn echo_on_v6() -> Target {
    let address = SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 0);
    Target::start_at(address, Behaviour::Echo).expect("a target")
}

/// An agent that knows the service and has its token, and no more.
fn bare(service: &Service, tunnel: &Tunnel) -> AgentBuilder {
    trusting(service)
        .args(["-e", &service.endpoint()])
        .token(&tunnel.destination_token)
}

/// An agent that trusts the service, and no more.
fn trusting(service: &Service) -> AgentBuilder {
    let builder = AgentBuilder::new(AGENT).expect("a folder");
    let builder = builder.file("ca.pem", service.ca_pem()).expect("a file");
    let ca = builder.folder().join("ca.pem");
    builder.arg("-c").arg(ca)
}

async fn with(services: &[&str], flags: &[&str]) -> Stage {
    Stage::with(ServiceOptions::default(), services, |service, tunnel| {
        bare(service, tunnel).args(flags)
    })
    .await
}

/// A round trip in a new stream of a service; empty is a V1 source.
async fn round_trip(raw: &mut RawSource, service: &str) {
    let data = Message::data(1, service, 0, "there and back");
    raw.send_many(&[Message::stream_start(1, service, 0), data.clone()])
        .await
        .expect("connected");
    assert_eq!(receive(raw, &data, 14).await, b"there and back");
}

// ---- where to -----------------------------------------------------------------------------------

/// `-d DESTINATION` leads the service `ssh` to the target.
async fn leads_to(target: &Target, destination: &str) {
    let stage = with(&["ssh"], &["-d", destination]).await;
    let mut raw = stage.raw(Protocol::V3).await;
    round_trip(&mut raw, "ssh").await;
    assert_eq!(target.connections().len(), 1, "{destination}");
    stage.end();
}

#[tokio::test]
async fn every_form_of_a_destination() {
    for form in [
        "ssh=127.0.0.1:PORT",
        "ssh=localhost:PORT",
        "ssh=PORT",
        " ssh = 127.0.0.1:PORT ,",
        "127.0.0.1:PORT",
        "localhost:PORT",
        "PORT",
    ] {
        let target = echo();
        let port = target.address().port().to_string();
        leads_to(&target, &form.replace("PORT", &port)).await;
    }
    for form in ["ssh=[::1]:PORT", "[::1]:PORT", "localhost:PORT"] {
        let target = echo_on_v6();
        let port = target.address().port().to_string();
        leads_to(&target, &form.replace("PORT", &port)).await;
    }
}

#[tokio::test]
async fn several_services_in_one_destination() {
    let targets = [echo(), echo(), echo_on_v6()];
    let list = format!(
        "ssh={},web={},Camera_1={}",
        targets[0].address(),
        targets[1].address().port(),
        targets[2].address()
    );
    let stage = with(&["ssh", "web", "Camera_1"], &["--destination-app", &list]).await;
    let mut raw = stage.raw(Protocol::V3).await;
    for (place, service) in ["ssh", "web", "Camera_1"].into_iter().enumerate() {
        round_trip(&mut raw, service).await;
        let counts = targets.each_ref().map(|t| t.connections().len());
        assert_eq!(counts.iter().sum::<usize>(), place + 1);
        assert_eq!(counts[place], 1, "{service}");
    }
    stage.end();
}

#[tokio::test]
async fn a_bare_port_serves_a_source_that_names_no_service() {
    for services in [&[][..], &["ssh"]] {
        let target = echo();
        let port = target.address().port().to_string();
        let stage = with(services, &["-d", &port]).await;
        let mut raw = stage.raw(Protocol::V1).await;
        round_trip(&mut raw, "").await;
        stage.end();
    }
}

#[tokio::test]
async fn connections_come_from_the_bind_address() {
    let target = echo();
    let list = format!("ssh={}", target.address());
    let stage = with(&["ssh"], &["-d", &list, "-b", "127.0.0.2"]).await;
    let mut raw = stage.raw(Protocol::V3).await;
    round_trip(&mut raw, "ssh").await;
    let peer = target.connections()[0].peer.ip();
    assert_eq!(peer.to_string(), "127.0.0.2");
    stage.end();
}

#[tokio::test]
async fn a_bind_address_that_is_not_here_resets_the_stream() {
    let target = echo();
    let list = format!("ssh={}", target.address());
    let flags = ["-d", &list, "--local-bind-address", "192.0.2.1"];
    let stage = with(&["ssh"], &flags).await;
    let mut raw = stage.raw(Protocol::V3).await;
    raw.send(Message::stream_start(1, "ssh", 1))
        .await
        .expect("connected");
    let reset = raw.recv(Duration::from_secs(10)).await;
    assert_eq!(reset, Ok(Message::stream_reset(1, "ssh")));
    assert_eq!(target.connections().len(), 0);
    stage.end();
}

#[tokio::test]
async fn a_folder_of_ini_maps() {
    let targets = [echo(), echo(), echo_on_v6()];
    let [one, two, three] = &targets;
    let stage = Stage::with(
        ServiceOptions::default(),
        &["ssh", "web", "vnc"],
        |service, tunnel| {
            let builder = bare(service, tunnel);
            let folder = builder.folder().join("maps");
            let deeper = folder.join("line 4");
            std::fs::create_dir_all(&deeper).expect("a folder");
            let write = |path: std::path::PathBuf, text: String| {
                std::fs::write(path, text).expect("a file");
            };
            let text = format!(
                "; robots\nssh = {}\n\n# and\nweb={}\n",
                one.address(),
                two.address()
            );
            write(folder.join("robots.ini"), text);
            let text = format!("vnc={}\n", three.address());
            write(deeper.join("screen.ini"), text);
            builder.arg("--config-dir").arg(folder)
        },
    )
    .await;
    let mut raw = stage.raw(Protocol::V3).await;
    for (place, service) in ["ssh", "web", "vnc"].into_iter().enumerate() {
        round_trip(&mut raw, service).await;
        assert_eq!(targets[place].connections().len(), 1, "{service}");
    }
    stage.end();
}

// ---- the tunnel ---------------------------------------------------------------------------------

#[tokio::test]
async fn the_variables_of_the_reference() {
    let target = echo();
    let client = client_token();
    let stage = Stage::with(ServiceOptions::default(), &["ssh"], |service, tunnel| {
        trusting(service)
            .args(["-d", &format!("ssh={}", target.address())])
            .env("AWSIOT_TUNNEL_ENDPOINT", service.endpoint())
            .env("AWSIOT_TUNNEL_ACCESS_TOKEN", &tunnel.destination_token)
            .env("AWSIOT_TUNNEL_CLIENT_TOKEN", &client)
            // Empty ones, as unit files leave them, say nothing.
            .env("AWSIOT_TUNNEL_REGION", "")
    })
    .await;
    let mut raw = stage.raw(Protocol::V3).await;
    round_trip(&mut raw, "ssh").await;
    stage.end();
}

#[tokio::test]
async fn flags_go_before_variables() {
    let stage = Stage::with(ServiceOptions::default(), &["ssh"], |service, tunnel| {
        bare(service, tunnel)
            .token("AQGAAX-not-this-one")
            .args([
                "-t",
                &tunnel.destination_token,
                "-d",
                "9",
                "-m",
                "destination",
            ])
            .env("AWSIOT_TUNNEL_ENDPOINT", "localhost:9")
            .env("AWSIOT_TUNNEL_REGION", "eu-central-1")
    })
    .await;
    let told = |line: &str| line.contains("-t/--access-token") && line.contains("prefer");
    let line = stage.agent.wait_line(told, LIMIT).await;
    line.expect("a warning about the token on the command line");
    stage.end();
}

#[tokio::test]
async fn a_folder_of_authorities_is_trusted() {
    let stage = Stage::with(ServiceOptions::default(), &["ssh"], |service, tunnel| {
        let builder = AgentBuilder::new(AGENT).expect("a folder");
        let folder = builder.folder().join("certs");
        std::fs::create_dir(&folder).expect("a folder");
        let write = |name: &str, text: &str| {
            std::fs::write(folder.join(name), text).expect("a file");
        };
        let other = cell::certs::Authority::new().expect("an authority");
        write("a.pem", &other.ca_pem());
        write("b.crt", service.ca_pem());
        write("README", "Authorities of the plant.\n");
        builder
            .args(["-e", &service.endpoint(), "-d", "9"])
            .arg("--capath")
            .arg(folder)
            .token(&tunnel.destination_token)
    })
    .await;
    stage.end();
}

// ---- what is refused ----------------------------------------------------------------------------

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

// ---- secrets ------------------------------------------------------------------------------------

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
