//! DNS servers that hang, are not there, or know nothing. The agent has its own `/etc/resolv.conf`, by a mount
//! namespace, which needs root.

use std::net::UdpSocket;
use std::process::Command;
use std::time::{Duration, Instant};

use cell::agent::Signal;
use cell::service::{Service, ServiceOptions, Tunnel};

use crate::stage::Stage;
use crate::{agent, nowhere, skipped, told};

/// Whether mount namespaces can be had.
fn has_namespaces(test: &str) -> bool {
    let made = Command::new("unshare").args(["-m", "true"]).status();
    let has = made.is_ok_and(|status| status.success());
    if !has {
        skipped(&format!("no mount namespaces here (root?): {test}"));
    }
    has
}

/// An agent that asks the DNS server at `nameserver` for a name of the service.
async fn asks(nameserver: &str) -> Stage {
    let build = |service: &Service, tunnel: &Tunnel| {
        let builder = agent(service, tunnel, nowhere(), "", "");
        let text = format!("nameserver {nameserver}\n");
        let builder = builder.file("resolv.conf", &text).expect("a file");
        let conf = builder.folder().join("resolv.conf");
        let mount = format!(
            "mount --bind '{}' /etc/resolv.conf && exec \"$@\"",
            conf.display()
        );
        let endpoint = ["-e", "data.tunneling.cell.example:443"];
        builder
            .args(endpoint)
            .wrapper(["unshare", "-m", "sh", "-c", &mount, "sh"])
    };
    Stage::started(ServiceOptions::default(), &["robot1"], build).await
}

#[tokio::test]
async fn a_dns_server_that_hangs_is_named_and_holds_nothing_up() {
    if !has_namespaces("a_dns_server_that_hangs_is_named_and_holds_nothing_up") {
        return;
    }
    let Ok(_silent) = UdpSocket::bind("127.0.0.77:53") else {
        skipped("port 53 is not to be had: a_dns_server_that_hangs_is_named_and_holds_nothing_up");
        return;
    };
    let mut stage = asks("127.0.0.77").await;
    told(
        &stage.agent,
        &[
            "not resolved",
            "no answer within 5 s from 127.0.0.77",
            "check the DNS",
        ],
    )
    .await;
    told(&stage.agent, &["next attempt (number 1)"]).await;
    // The thread of the resolver still hangs.
    let start = Instant::now();
    stage.agent.signal(Signal::SIGTERM).expect("it runs");
    let limit = Duration::from_secs(3);
    let code = stage.agent.wait_exit(limit).await.expect("in time");
    assert_eq!(code, 0, "after {:?}", start.elapsed());
    stage.end_stopped();
}

#[tokio::test]
async fn a_dns_server_that_is_not_there_is_named() {
    if !has_namespaces("a_dns_server_that_is_not_there_is_named") {
        return;
    }
    // Nobody has this address of the loopback. The kernel says so at once, which the resolver of glibc hears and that of
    // musl does not.
    let stage = asks("127.0.0.78").await;
    told(&stage.agent, &["127.0.0.78", "check the DNS server"]).await;
    stage.end();
}
