//! The handshake with the service: what the request says, which refusals are final, which are waited out, and what
//! the log tells the technician about each.

mod stage;

use std::time::Duration;

use cell::agent::AgentBuilder;
use cell::certs::{Authority, ServerCertificate};
use cell::journal::Mark;
use cell::service::{
    Bind, Event, Kill, Refusal, Service, ServiceOptions, Tunnel, client_token as new_client_token,
};
use cell::wire::Mode;
use cellgate::limits::ACCESS_TOKEN_MAX;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::stage::{AGENT, LIMIT, Stage, for_routes};

/// Nobody asks for a stream in these tests.
const NOWHERE: [(&str, std::net::SocketAddr); 1] = [(
    "robot1",
    std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9),
)];

/// An agent that has just been started, with its next handshakes refused.
async fn refused(refusals: &[Refusal]) -> Stage {
    let build = |service: &Service, tunnel: &Tunnel| {
        for refusal in refusals {
            tunnel.destination.refuse_next(1, refusal);
        }
        for_routes(service, tunnel, &NOWHERE)
    };
    Stage::started(ServiceOptions::default(), &["robot1"], build).await
}

fn status(status: u16, reason: &str) -> Refusal {
    Refusal::Status {
        status,
        retry_after: None,
        reason: Some(reason.to_owned()),
    }
}

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

// ---- the request --------------------------------------------------------------------------------

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

// ---- refusals that are final --------------------------------------------------------------------

/// The agent gives the token up after one refusal, and the log says all there is to know.
async fn is_final(mut stage: Stage, told: &[&str], attempts: usize) {
    let code = stage.agent.wait_exit(LIMIT).await.expect("it exits");
    assert_eq!(code, 69, "{told:?}");
    let whole = |line: &str| told.iter().all(|part| line.contains(part));
    let line = stage.agent.wait_line(whole, LIMIT).await;
    line.expect("one line with status, reason, channel-id and cause");
    let rejected = |event: &Event| matches!(event, Event::Rejected { .. });
    let count = stage.service.count_events(Mark::START, rejected);
    assert_eq!(count, attempts, "a dead token is not tried again");
    stage.end_stopped();
}

#[tokio::test]
async fn a_4xx_is_final() {
    for (code, reason, cause) in [
        (400, "Malformed request", "malformed"),
        (401, "Not authorized", "rotated"),
        (403, "Access token was already used", "used before"),
        (404, "No such tunnel", "closed"),
        (405, "Not like this", "open a new one"),
        (410, "Gone for good", "lifetime"),
        (451, "Not in this country", "open a new one"),
    ] {
        let stage = refused(&[status(code, reason)]).await;
        let http = format!("HTTP {code}");
        let told = [&http, reason, "channel-id", "likely cause", cause];
        is_final(stage, &told, 1).await;
    }
}

#[tokio::test]
async fn a_4xx_without_a_reason_is_final_too() {
    let stage = refused(&[Refusal::status(403)]).await;
    is_final(stage, &["HTTP 403", "likely cause", "expired"], 1).await;
}

#[tokio::test]
async fn a_token_that_another_agent_used_is_final() {
    let first = Stage::up(&NOWHERE).await;
    let second = for_routes(&first.service, &first.tunnel, &NOWHERE);
    let mut second = second.start().expect("an agent");
    let code = second.wait_exit(LIMIT).await.expect("it exits");
    assert_eq!(code, 69);
    let told = |line: &str| line.contains("already used") && line.contains("another client token");
    let line = second.wait_line(told, LIMIT).await;
    line.expect("the reason and the cause");
    first.end();
}

#[tokio::test]
async fn a_source_token_is_final() {
    let build = |service: &Service, tunnel: &Tunnel| {
        for_routes(service, tunnel, &NOWHERE).token(&tunnel.source_token)
    };
    let stage = Stage::started(ServiceOptions::default(), &["robot1"], build).await;
    is_final(stage, &["HTTP 403", "local-proxy-mode"], 1).await;
}

#[tokio::test]
async fn a_tunnel_that_is_closed_is_final() {
    let stage = Stage::up(&NOWHERE).await;
    stage.tunnel.close();
    is_final(stage, &["HTTP 403", "Tunnel is closed"], 1).await;
}

#[tokio::test]
async fn a_refusal_after_trouble_is_final() {
    let stage = refused(&[status(503, "Busy"), status(404, "No such tunnel")]).await;
    is_final(stage, &["HTTP 404", "No such tunnel"], 2).await;
}

// ---- refusals that are waited out ---------------------------------------------------------------

/// The agent tries again until it is let in, and says what was the matter.
async fn is_waited_out(refusals: Vec<Refusal>, told: &[&str]) {
    let stage = refused(&refusals).await;
    stage.connected_after(Mark::START).await;
    for part in told {
        let line = stage.agent.wait_line(|line| line.contains(part), LIMIT);
        line.await.unwrap_or_else(|why| panic!("{part:?}: {why}"));
    }
    let rejected = |event: &Event| matches!(event, Event::Rejected { .. });
    let count = stage.service.count_events(Mark::START, rejected);
    assert_eq!(count, refusals.len(), "{told:?}");
    stage.end();
}

#[tokio::test]
async fn a_5xx_is_waited_out() {
    let trouble = vec![status(500, "Oops"), status(503, "Busy")];
    let told = ["HTTP 500", "Oops", "HTTP 503", "Busy", "next attempt"];
    tokio::join!(
        is_waited_out(trouble, &told),
        is_waited_out(vec![status(502, "No way")], &["HTTP 502", "No way"]),
        is_waited_out(vec![Refusal::status(504)], &["HTTP 504"]),
        is_waited_out(vec![status(599, "Made up")], &["HTTP 599"]),
    );
}

/// How long the agent waited after a refusal with this `Retry-After`.
async fn waited(code: u16, retry_after: Option<&str>) -> Duration {
    let refusal = Refusal::Status {
        status: code,
        retry_after: retry_after.map(str::to_owned),
        reason: None,
    };
    let stage = refused(&[refusal]).await;
    stage.connected_after(Mark::START).await;
    let events = stage.service.events();
    let time = |fits: &dyn Fn(&Event) -> bool| {
        let found = events.iter().find(|entry| fits(&entry.what));
        found.expect("it happened").at
    };
    let rejected = time(&|event| event.is_rejected(code));
    let connected = time(&|event| event.is_connected(Mode::Destination));
    stage.end();
    connected - rejected
}

#[tokio::test]
async fn retry_after_is_obeyed() {
    let two = Duration::from_secs(2);
    // The backoff alone is half a second at most here.
    let most = Duration::from_secs(4);
    let (a, b, c, d, e) = tokio::join!(
        waited(429, Some("2")),
        waited(408, Some("2")),
        waited(503, Some("2")),
        waited(429, None),
        waited(408, Some("soon")),
    );
    for waited in [a, b, c] {
        assert!(waited >= two, "{waited:?} is too early");
        assert!(waited < most, "{waited:?} is too late");
    }
    for waited in [d, e] {
        assert!(waited < two, "{waited:?} is too late");
    }
}

#[tokio::test]
async fn a_captive_portal_is_waited_out_and_named() {
    let redirect = |code| vec![status(code, "Log in first")];
    tokio::join!(
        is_waited_out(
            vec![Refusal::CaptivePortal],
            &["HTTP 200", "captive portal"]
        ),
        is_waited_out(redirect(301), &["HTTP 301", "captive portal"]),
        is_waited_out(redirect(302), &["HTTP 302", "captive portal"]),
        is_waited_out(redirect(307), &["HTTP 307", "captive portal"]),
    );
}

#[tokio::test]
async fn an_answer_that_is_no_handshake_is_waited_out() {
    let told = ["not reached"];
    tokio::join!(
        is_waited_out(vec![Refusal::WrongAccept], &told),
        is_waited_out(vec![Refusal::NoSubprotocol], &told),
        is_waited_out(vec![Refusal::OtherSubprotocol], &told),
        is_waited_out(vec![Refusal::Cut(Kill::Reset)], &told),
        is_waited_out(vec![Refusal::Cut(Kill::Fin)], &told),
    );
}

#[tokio::test]
async fn a_service_that_does_not_listen_is_waited_out() {
    let stage = Stage::up(&NOWHERE).await;
    stage.service.stop_listening().await.expect("it stops");
    let mark = stage.tunnel.mark();
    stage.tunnel.destination.kill(Kill::Fin).expect("there");
    let told = |line: &str| line.contains("no TCP connection") && line.contains("refused");
    let line = stage.agent.wait_line(told, LIMIT).await;
    line.expect("it tries");
    stage
        .service
        .listen_again()
        .await
        .expect("the port is ours");
    stage.connected_after(mark).await;
    stage.end();
}

// ---- the certificate ----------------------------------------------------------------------------

/// The agent does not talk to a service with this certificate, says why, and tries again.
async fn is_not_trusted(certificate: ServerCertificate, told: &[&str]) {
    let options = ServiceOptions {
        certificate,
        ..ServiceOptions::default()
    };
    let build = |service: &Service, tunnel: &Tunnel| for_routes(service, tunnel, &NOWHERE);
    let stage = Stage::started(options, &["robot1"], build).await;
    let failed = |event: &Event| matches!(event, Event::TlsFailed { .. });
    let mut mark = Mark::START;
    for attempt in ["first", "second"] {
        let waited = stage.service.wait_event_after(mark, failed, LIMIT).await;
        mark = waited.unwrap_or_else(|why| panic!("{attempt}: {why}")).1;
    }
    let whole = |line: &str| told.iter().all(|part| line.contains(part));
    let line = stage.agent.wait_line(whole, LIMIT).await;
    line.expect("one line that says why");
    let others = stage
        .service
        .count_events(Mark::START, |event| !failed(event));
    assert_eq!(others, 0, "not a byte of the request was sent");
    stage.end();
}

#[tokio::test]
async fn a_certificate_that_is_not_good_is_not_trusted() {
    tokio::join!(
        is_not_trusted(
            ServerCertificate::OtherAuthority,
            // An authority of the same name as the one trusted, but with another key: made anew, perhaps.
            &["TLS failed", "-c/--capath"]
        ),
        is_not_trusted(
            ServerCertificate::WrongName,
            &["TLS failed", "wrong.example", "check the endpoint"]
        ),
        is_not_trusted(
            ServerCertificate::Expired,
            &["TLS failed", "check the clock"]
        ),
    );
}

#[tokio::test]
async fn an_authority_that_was_not_given_is_not_trusted() {
    let build = |service: &Service, tunnel: &Tunnel| {
        let builder = AgentBuilder::new(AGENT).expect("a folder");
        let builder = builder.args(["-e", &service.endpoint(), "-d", "9"]);
        builder.token(&tunnel.destination_token)
    };
    let stage = Stage::started(ServiceOptions::default(), &["robot1"], build).await;
    let told = |line: &str| line.contains("TLS failed") && line.contains("issuer");
    let line = stage.agent.wait_line(told, LIMIT).await;
    line.expect("it says why");
    stage.end();
}
