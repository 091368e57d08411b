//! Any network: proxies of every kind, login pages, DNS that hangs, addresses that lead nowhere, and a way out that
//! changes. The real agent, with a service behind it that must be reached in the end.

#[path = "../stage/mod.rs"]
mod stage;

mod addresses;
mod dns;
mod portal;
mod proxied;
mod refused;
mod routes;

use std::io::Write as _;
use std::net::SocketAddr;

use cell::agent::{Agent, AgentBuilder};
use cell::proxy::{Proxy, ProxyOptions};
use cell::service::{Service, Tunnel};

use crate::stage::{AGENT, LIMIT};

/// User and password of the proxies; the password has what is awkward in a URL.
const USER: &str = "robot";
const PASSWORD: &str = "hunt%r@2:xyzzy";

/// The same as the owner has to write them.
const LOGIN: &str = "robot:hunt%25r%402%3Axyzzy";

/// The end of them as they are sent, in base64, and the beginning.
const ENCODED: [&str; 2] = ["cm9ib3Q6aHVudCVy", "dCVyQDI6eHl6enk"];

/// Nobody asks for a stream.
fn nowhere() -> SocketAddr {
    ([127, 0, 0, 1], 9).into()
}

async fn proxy(options: ProxyOptions) -> Proxy {
    Proxy::start(options).await.expect("a free port")
}

/// An agent with a configuration file: the service, one route, and `lines` such as `[proxy]`. It trusts the service
/// and `authority`.
fn agent(
    service: &Service,
    tunnel: &Tunnel,
    to: SocketAddr,
    authority: &str,
    lines: &str,
) -> AgentBuilder {
    let builder = AgentBuilder::new(AGENT).expect("a folder");
    let both = format!("{}{authority}", service.ca_pem());
    let builder = builder.file("ca.pem", &both).expect("a file");
    let ca = builder.folder().join("ca.pem");
    let text = format!(
        "[tunnel]\nendpoint = \"{}\"\nca = \"{}\"\n[routes.robot1]\ntarget = \"{to}\"\n{lines}\n",
        service.endpoint(),
        ca.display()
    );
    let builder = builder.config(&text).expect("a file");
    builder.token(&tunnel.destination_token)
}

/// Waits for one line that has all these parts.
async fn told(agent: &Agent, parts: &[&str]) -> String {
    let whole = |line: &str| parts.iter().all(|part| line.contains(part));
    let line = agent.wait_line(whole, LIMIT).await;
    line.unwrap_or_else(|why| panic!("no line with {parts:?}: {why}"))
}

/// The password is neither in the log nor to be seen by others, in no form.
fn keeps_the_password(agent: &Agent) {
    let mut seen = agent.command_line().expect("it runs");
    let environment = std::fs::read(format!("/proc/{}/environ", agent.pid()));
    seen.extend(environment.expect("the test may read it"));
    let seen = String::from_utf8_lossy(&seen).into_owned();
    let log = agent.log().join("\n");
    for secret in [PASSWORD, &LOGIN[6..], "xyzzy", ENCODED[0], ENCODED[1]] {
        assert!(!log.contains(secret), "{secret} is in the log");
        assert!(!seen.contains(secret), "{secret} is to be seen in /proc");
    }
}

/// Says past the capture of the test harness what was left out: a skip that nobody sees counts as a pass.
fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}
