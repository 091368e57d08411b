//! What the request says, byte for byte and through the eyes of the service.

use cell::agent::AgentBuilder;
use cell::certs::{Authority, ServerCertificate};
use cell::journal::Mark;
use cell::service::{Bind, Event, Kill, ServiceOptions, client_token as new_client_token};
use cell::wire::Mode;
use cellgate::limits::ACCESS_TOKEN_MAX;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::NOWHERE;
use crate::stage::{AGENT, LIMIT, Stage, for_routes, has_ipv6};

fn client_token(event: &Event) -> &str {
    let Event::Connected {
        client_token: Some(token),
        ..
    } = event
    else {
        panic!("no client token in {event:?}");
    };
    token
}

/// Takes the first request of an agent down, byte for byte, on a server that knows nothing of tunnels.
async fn request(token: &str, flags: &[&str]) -> String {
    let authority = Authority::new().expect("an authority");
    let tls = authority.server_config(ServerCertificate::Good);
    let acceptor = TlsAcceptor::from(tls.expect("a certificate"));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let builder = AgentBuilder::new(AGENT).expect("a folder");
    let builder = builder.file("ca.pem", &authority.ca_pem()).expect("a file");
    let ca = builder.folder().join("ca.pem");
    let _agent = builder
        .arg("-c")
        .arg(ca)
        .args(["-e", &format!("localhost:{}", address.port()), "-d", "9"])
        .args(flags)
        .token(token)
        .start()
        .expect("an agent");
    let take = async {
        let (tcp, _) = listener.accept().await?;
        let mut stream = acceptor.accept(tcp).await?;
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            bytes.push(stream.read_u8().await?);
        }
        std::io::Result::Ok(bytes)
    };
    let bytes = tokio::time::timeout(LIMIT, take).await.expect("in time");
    String::from_utf8(bytes.expect("a request")).expect("text")
}

/// The values of a header, by its name in lower case.
fn header<'a>(request: &'a str, wanted: &str) -> Vec<&'a str> {
    request
        .lines()
        .filter_map(|line| line.split_once(": "))
        .filter(|(name, _)| name.eq_ignore_ascii_case(wanted))
        .map(|(_, value)| value)
        .collect()
}

fn is_uuid_v4(token: &str) -> bool {
    let lengths: Vec<usize> = token.split('-').map(str::len).collect();
    let hex = |c: char| c == '-' || c.is_ascii_hexdigit();
    lengths == [8, 4, 4, 4, 12]
        && token.chars().all(hex)
        && token.as_bytes()[14] == b'4'
        && b"89ab".contains(&token.as_bytes()[19])
}

#[tokio::test]
async fn the_request_keeps_the_rules_of_the_service() {
    let request = request("AQGAAX-token", &[]).await;
    let first = "GET /tunnel?local-proxy-mode=destination HTTP/1.1\r\n";
    assert!(request.starts_with(first), "{request}");
    let offered =
        "aws.iot.securetunneling-3.0, aws.iot.securetunneling-2.0, aws.iot.securetunneling-1.0";
    assert_eq!(header(&request, "Sec-WebSocket-Protocol"), [offered]);
    assert_eq!(header(&request, "access-token"), ["AQGAAX-token"]);
    assert_eq!(header(&request, "cookie"), [""; 0]);
    assert_eq!(header(&request, "host").len(), 1);
    assert_eq!(header(&request, "Sec-WebSocket-Version"), ["13"]);
    // Nothing was offered that the service would have to refuse.
    assert_eq!(header(&request, "Sec-WebSocket-Extensions"), [""; 0]);
    let client = header(&request, "client-token");
    assert_eq!(client.len(), 1);
    assert!(is_uuid_v4(client[0]), "{client:?}");
}

#[tokio::test]
async fn the_longest_tokens_fit_the_request() {
    let access = "A".repeat(ACCESS_TOKEN_MAX);
    let client = "c".repeat(128);
    let request = request(&access, &["-i", &client]).await;
    assert_eq!(header(&request, "access-token"), [access]);
    assert_eq!(header(&request, "client-token"), [client]);
    // The longest name that DNS allows in the place of ours, and five digits of a port.
    let host = header(&request, "host")[0].len();
    let longest = request.len() - host + 253 + ":65535".len();
    assert!(longest < 4_096, "{longest} bytes");
}

#[tokio::test]
async fn the_client_token_is_the_same_at_every_try() {
    let stage = Stage::up(&NOWHERE).await;
    let connected = |event: &Event| event.is_connected(Mode::Destination);
    let first = stage.connected_after(Mark::START).await;
    assert!(is_uuid_v4(client_token(&first)), "{first:?}");
    for _ in 0..2 {
        let mark = stage.tunnel.mark();
        stage.tunnel.destination.kill(Kill::Reset).expect("there");
        let again = stage.connected_after(mark).await;
        assert_eq!(client_token(&again), client_token(&first));
    }
    assert_eq!(stage.service.count_events(Mark::START, connected), 3);
    stage.end();

    let other = Stage::up(&NOWHERE).await;
    let second = other.connected_after(Mark::START).await;
    assert_ne!(client_token(&second), client_token(&first));
    other.end();
}

#[tokio::test]
async fn a_client_token_that_is_given_is_used() {
    for by_flag in [true, false] {
        let given = new_client_token();
        let stage = Stage::with(ServiceOptions::default(), &["robot1"], |service, tunnel| {
            let builder = for_routes(service, tunnel, &NOWHERE);
            if by_flag {
                builder.args(["-i", &given])
            } else {
                builder.env("AWSIOT_TUNNEL_CLIENT_TOKEN", &given)
            }
        })
        .await;
        let first = stage.connected_after(Mark::START).await;
        assert_eq!(client_token(&first), given);
        assert!(!stage.agent.log().iter().any(|line| line.contains(&given)));
        stage.end();
    }
}

#[tokio::test]
async fn the_service_is_reached_by_name_and_by_address() {
    for (bind, host) in [
        (Bind::V4, "localhost"),
        (Bind::V4, "127.0.0.1"),
        (Bind::V6, "[::1]"),
        (Bind::Both, "LocalHost"),
    ] {
        if bind != Bind::V4 && !has_ipv6("the_service_is_reached_by_name_and_by_address") {
            return;
        }
        let options = ServiceOptions {
            bind,
            ..ServiceOptions::default()
        };
        let stage = Stage::with(options, &["robot1"], |service, tunnel| {
            let endpoint = service.endpoint().replace("localhost", host);
            let builder = AgentBuilder::new(AGENT).expect("a folder");
            let builder = builder.file("ca.pem", service.ca_pem()).expect("a file");
            let ca = builder.folder().join("ca.pem");
            let builder = builder.arg("-c").arg(ca).args(["-e", &endpoint, "-d", "9"]);
            builder.token(&tunnel.destination_token)
        })
        .await;
        stage.end();
    }
}
