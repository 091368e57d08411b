//! Where to: `-d`, `-b` and `--config-dir`.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use cell::service::{Protocol, ServiceOptions};
use cell::target::{Behaviour, Target};
use cell::wire::Message;

use crate::stage::{Stage, has_ipv6};
use crate::{bare, echo, round_trip, with};

fn echo_on_v6() -> Target {
    let address = SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 0);
    Target::start_at(address, Behaviour::Echo).expect("a target")
}

/// On IPv6 where the machine has it; the rest of `test` is worth running without.
fn echo_on_v6_if_any(test: &str) -> Target {
    if has_ipv6(&format!("{test} (its IPv6 target only)")) {
        echo_on_v6()
    } else {
        echo()
    }
}

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
}

#[tokio::test]
async fn every_form_of_an_ipv6_destination() {
    if !has_ipv6("every_form_of_an_ipv6_destination") {
        return;
    }
    for form in ["ssh=[::1]:PORT", "[::1]:PORT", "localhost:PORT"] {
        let target = echo_on_v6();
        let port = target.address().port().to_string();
        leads_to(&target, &form.replace("PORT", &port)).await;
    }
}

#[tokio::test]
async fn several_services_in_one_destination() {
    let third = echo_on_v6_if_any("several_services_in_one_destination");
    let targets = [echo(), echo(), third];
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
    let third = echo_on_v6_if_any("a_folder_of_ini_maps");
    let targets = [echo(), echo(), third];
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
