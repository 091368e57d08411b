//! The way out of the gateway changes under a tunnel. A gateway with two ways out is a network namespace with two
//! veth pairs, which needs root.

use std::net::SocketAddr;
use std::process::Command;

use cell::proxy::{Proxy, ProxyOptions};
use cell::service::{Kill, Service, ServiceOptions, Tunnel};

use crate::stage::Stage;
use crate::{agent, nowhere, proxy, skipped, told};

/// A namespace with two ways to its host, which has the address `10.213.0.1`. It goes away when it is dropped.
struct Gateway {
    name: String,
    number: u8,
}

impl Gateway {
    /// Nothing where namespaces cannot be had.
    fn new(number: u8) -> Option<Gateway> {
        let name = format!("cellgate-{}-{number}", std::process::id() % 10_000);
        let gateway = Gateway { name, number };
        gateway.build().then_some(gateway)
    }

    fn build(&self) -> bool {
        let Gateway { name, number } = self;
        let host = self.host();
        let mut lines = vec![
            format!("netns add {name}"),
            format!("-n {name} link set lo up"),
        ];
        for way in 1..=2 {
            let (near, far) = (format!("cg{number}h{way}"), format!("cg{number}g{way}"));
            lines.extend([
                format!("link add {near} type veth peer name {far} netns {name}"),
                format!("addr add 10.213.{number}{way}.1/24 dev {near}"),
                format!("link set {near} up"),
                format!("-n {name} addr add 10.213.{number}{way}.2/24 dev {far}"),
                format!("-n {name} link set {far} up"),
            ]);
        }
        lines.push(format!("addr add {host}/32 dev cg{number}h1"));
        lines.iter().all(|line| ip(line)) && self.way(1)
    }

    fn host(&self) -> String {
        format!("10.213.{}0.1", self.number)
    }

    /// Leads the way to the host over the one or the other.
    fn way(&self, way: u8) -> bool {
        let Gateway { name, number } = self;
        let host = self.host();
        ip(&format!(
            "-n {name} route replace {host} via 10.213.{number}{way}.1"
        ))
    }

    fn no_way(&self) -> bool {
        ip(&format!("-n {} route del {}", self.name, self.host()))
    }

    async fn proxy(&self) -> Proxy {
        let address: SocketAddr = format!("{}:0", self.host()).parse().expect("an address");
        proxy(ProxyOptions {
            address,
            ..ProxyOptions::default()
        })
        .await
    }

    /// A tunnel of an agent in the namespace, through a proxy on the host.
    async fn stage(&self, proxy: &Proxy) -> Stage {
        let build = |service: &Service, tunnel: &Tunnel| {
            let lines = format!("[proxy]\nurl = \"http://{}\"", proxy.address());
            let builder = agent(service, tunnel, nowhere(), "", &lines);
            builder.wrapper(["ip", "netns", "exec", &self.name])
        };
        Stage::with(ServiceOptions::default(), &["robot1"], build).await
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // The veth pairs go with it; but the kernel takes its time, and the next test has other names.
        for way in 1..=2 {
            ip(&format!("link del cg{}h{way}", self.number));
        }
        ip(&format!("netns del {}", self.name));
    }
}

fn ip(line: &str) -> bool {
    let ran = Command::new("ip").args(line.split(' ')).output();
    match ran {
        Ok(output) if output.status.success() => true,
        Ok(output) => {
            println!(
                "ip {line}: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
            false
        }
        Err(error) => {
            println!("ip {line}: {error}");
            false
        }
    }
}

#[tokio::test]
async fn a_way_out_that_changed_is_named() {
    let Some(gateway) = Gateway::new(1) else {
        return skipped("no network namespaces here (root?): a_way_out_that_changed_is_named");
    };
    let proxy = gateway.proxy().await;
    let stage = gateway.stage(&proxy).await;
    assert!(gateway.way(2));
    let mark = stage.tunnel.mark();
    stage.tunnel.destination.kill(Kill::Reset).expect("there");
    let changed = "it was from 10.213.11.2, now it is from 10.213.12.2";
    told(&stage.agent, &["WebSocket lost", changed]).await;
    stage.connected_after(mark).await;
    stage.end();
}

#[tokio::test]
async fn a_way_out_that_is_gone_is_named() {
    let Some(gateway) = Gateway::new(2) else {
        return skipped("no network namespaces here (root?): a_way_out_that_is_gone_is_named");
    };
    let proxy = gateway.proxy().await;
    let stage = gateway.stage(&proxy).await;
    let mark = stage.tunnel.mark();
    assert!(gateway.no_way());
    stage.tunnel.destination.kill(Kill::Reset).expect("there");
    told(
        &stage.agent,
        &["WebSocket lost", "no route to 10.213.20.1 now"],
    )
    .await;
    told(
        &stage.agent,
        &["no TCP connection to 10.213.20.1", "check the cable"],
    )
    .await;
    assert!(gateway.way(1), "the uplink is back");
    stage.connected_after(mark).await;
    stage.end();
}
