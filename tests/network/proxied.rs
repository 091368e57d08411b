//! Tunnels through each kind of proxy, and past it.

use cell::agent::AgentBuilder;
use cell::certs::{Authority, ServerCertificate};
use cell::pattern::{pattern, sha256};
use cell::proxy::{Event, Proxy, ProxyOptions};
use cell::service::{Kill, Protocol, Service, ServiceOptions, Tunnel};
use cell::target::{Behaviour, Target};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::stage::{LIMIT, Stage};
use crate::{LOGIN, PASSWORD, USER, agent, keeps_the_password, nowhere, proxy};

/// Bytes each way.
const LENGTH: usize = 3 << 20;

fn login() -> Option<(String, String)> {
    Some((USER.to_owned(), PASSWORD.to_owned()))
}

/// A tunnel whose bytes go both ways unchanged, all of them through the proxy, twice.
async fn carries(proxy: &Proxy, build: impl Fn(&Service, &Tunnel, &Target) -> AgentBuilder) {
    let target = Target::start(Behaviour::Echo).expect("a free port");
    let stage = Stage::with(ServiceOptions::default(), &["robot1"], |service, tunnel| {
        build(service, tunnel, &target)
    })
    .await;
    let source = stage.source(Protocol::V3).await;
    let mut engineer = TcpStream::connect(source.address("robot1"))
        .await
        .expect("it listens");
    let sent = pattern(3, LENGTH);
    let mut came = vec![0; LENGTH];
    let (mut from, mut to) = engineer.split();
    let both = async { tokio::join!(to.write_all(&sent), from.read_exact(&mut came)) };
    let (wrote, read) = timeout(LIMIT, both).await.expect("in time");
    wrote.expect("connected");
    read.expect("connected");
    assert_eq!(sha256(&came), sha256(&sent));

    let mark = stage.tunnel.mark();
    stage.tunnel.destination.kill(Kill::Reset).expect("there");
    stage.connected_after(mark).await;

    let host = stage.service.endpoint();
    let opened = proxy.count(|event| *event == Event::Opened(host.clone()));
    assert_eq!(opened, 2, "{:?}", proxy.events());
    assert_eq!(proxy.violations(), [""; 0]);
    keeps_the_password(&stage.agent);
    stage.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tunnel_goes_through_a_plain_proxy() {
    let proxy = proxy(ProxyOptions::default()).await;
    carries(&proxy, |service, tunnel, target| {
        let lines = format!("[proxy]\nurl = \"http://{}\"", proxy.address());
        agent(service, tunnel, target.address(), "", &lines)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tunnel_goes_through_a_proxy_that_demands_credentials() {
    let options = ProxyOptions {
        login: login(),
        ..ProxyOptions::default()
    };
    let proxy = proxy(options).await;
    carries(&proxy, |service, tunnel, target| {
        let lines = format!("[proxy]\nurl = \"http://{LOGIN}@{}\"", proxy.address());
        agent(service, tunnel, target.address(), "", &lines).args(["-v", "6"])
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tunnel_goes_through_a_proxy_that_is_reached_by_tls() {
    let authority = Authority::new().expect("an authority");
    let tls = authority
        .server_config(ServerCertificate::Good)
        .expect("a certificate");
    let options = ProxyOptions {
        login: login(),
        tls: Some(tls),
        ..ProxyOptions::default()
    };
    let proxy = proxy(options).await;
    carries(&proxy, |service, tunnel, target| {
        let port = proxy.address().port();
        let lines = format!("[proxy]\nurl = \"https://{LOGIN}@localhost:{port}\"");
        agent(
            service,
            tunnel,
            target.address(),
            &authority.ca_pem(),
            &lines,
        )
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_proxy_of_the_environment_is_used_and_its_password_is_hidden() {
    let options = ProxyOptions {
        login: login(),
        ..ProxyOptions::default()
    };
    let proxy = proxy(options).await;
    for variable in ["HTTPS_PROXY", "https_proxy"] {
        let stage = Stage::with(ServiceOptions::default(), &["robot1"], |service, tunnel| {
            let url = format!("http://{LOGIN}@{}", proxy.address());
            agent(service, tunnel, nowhere(), "", "").env(variable, url)
        })
        .await;
        let host = stage.service.endpoint();
        assert_eq!(
            proxy.count(|event| *event == Event::Opened(host.clone())),
            1
        );
        keeps_the_password(&stage.agent);
        stage.end();
    }
    assert_eq!(proxy.violations(), [""; 0]);
}

#[tokio::test]
async fn a_host_that_is_excepted_is_reached_without_the_proxy() {
    let proxy = proxy(ProxyOptions::default()).await;
    for (host, except) in [
        ("localhost", "LocalHost"),
        ("127.0.0.1", "127.0.0.0/8"),
        ("localhost", "*"),
    ] {
        for by_file in [true, false] {
            let stage = Stage::with(ServiceOptions::default(), &["robot1"], |service, tunnel| {
                let url = format!("http://{}", proxy.address());
                let builder = if by_file {
                    let lines = format!(
                        "[proxy]\nurl = \"{url}\"\nexcept = [\"{except}\", \"10.9.0.0/16\"]"
                    );
                    agent(service, tunnel, nowhere(), "", &lines)
                } else {
                    let builder = agent(service, tunnel, nowhere(), "", "");
                    builder
                        .env("HTTPS_PROXY", url)
                        .env("NO_PROXY", format!("{except},other.example"))
                };
                builder.args(["-e", &service.endpoint().replace("localhost", host)])
            })
            .await;
            stage.end();
        }
    }
    assert_eq!(proxy.events(), [], "nobody has asked the proxy");
}
