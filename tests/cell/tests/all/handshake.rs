//! Who is let in, and how the others are told.

use std::io;

use cell::certs::ServerCertificate;
use cell::service::{
    Bind, Event, Kill, MAX_REQUEST, Protocol, Refusal, Service, ServiceOptions, Tunnel,
    client_token,
};
use cell::source::{ConnectError, RawSource, SourceOptions, connect_tls};
use cell::wire::{Message, Mode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::{LIMIT, SERVICES, client, options, service, skipped};

/// A good request, as text.
fn request(tunnel: &Tunnel) -> String {
    format!(
        "GET /tunnel?local-proxy-mode=destination HTTP/1.1\r\n\
         Host: localhost\r\n\
         Upgrade: websocket\r\n\
         Connection: upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: aws.iot.securetunneling-3.0\r\n\
         access-token: {}\r\n\r\n",
        tunnel.destination_token
    )
}

/// Sends bytes and gives the head of the answer.
async fn answer(service: &Service, bytes: &[u8]) -> String {
    let mut stream = connect_tls(&service.endpoint(), service.ca_pem())
        .await
        .expect("TLS");
    stream.write_all(bytes).await.expect("the service reads");
    let mut reply = Vec::new();
    let read = async {
        while !reply.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).await.expect("a whole answer");
            reply.push(byte[0]);
        }
    };
    timeout(LIMIT, read).await.expect("an answer in time");
    String::from_utf8(reply).expect("text")
}

fn refused(result: Result<RawSource, ConnectError>) -> (u16, String) {
    match result {
        Err(ConnectError::Refused {
            status,
            reason,
            channel_id,
        }) => {
            assert!(channel_id.is_some(), "refusals carry a channel-id");
            (status, reason.unwrap_or_default())
        }
        Err(other) => panic!("refused in another way: {other}"),
        Ok(_) => panic!("it was let in"),
    }
}

#[tokio::test]
async fn the_reply_is_that_of_the_guide() {
    let service = service().await;
    let tunnel = service.open_tunnel(&SERVICES);
    let reply = answer(&service, request(&tunnel).as_bytes()).await;
    assert!(reply.starts_with("HTTP/1.1 101 "), "{reply}");
    // RFC 6455, section 1.3.
    assert!(
        reply.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
        "{reply}"
    );
    assert!(
        reply.contains("sec-websocket-protocol: aws.iot.securetunneling-3.0\r\n"),
        "{reply}"
    );
    assert!(reply.contains("channel-id: "), "{reply}");
}

#[tokio::test]
async fn a_request_of_4096_bytes_passes_and_one_more_does_not() {
    let service = service().await;
    let tunnel = service.open_tunnel(&SERVICES);
    let padded = |size: usize| {
        let request = request(&tunnel);
        let padding = size - request.len() - "x: \r\n".len();
        request.replace(
            "\r\n\r\n",
            &format!("\r\nx: {}\r\n\r\n", "p".repeat(padding)),
        )
    };
    let large = padded(MAX_REQUEST + 1);
    assert_eq!(large.len(), MAX_REQUEST + 1);
    let reply = answer(&service, large.as_bytes()).await;
    assert!(
        reply.starts_with("HTTP/1.1 400 ") && reply.contains("4096"),
        "{reply}"
    );
    // Nobody waits for the end of a request that is too large already.
    let endless = answer(&service, &large.as_bytes()[..MAX_REQUEST + 1 - 4].repeat(2)).await;
    assert!(endless.starts_with("HTTP/1.1 400 "), "{endless}");
    let reply = answer(&service, padded(MAX_REQUEST).as_bytes()).await;
    assert!(reply.starts_with("HTTP/1.1 101 "), "{reply}");
}

#[tokio::test]
async fn the_tokens_rules_hold() {
    let service = service().await;
    let tunnel = service.open_tunnel(&SERVICES);
    let with = |token: &str, client_token: Option<String>| SourceOptions {
        token: token.to_owned(),
        client_token,
        ..options(&service, &tunnel, Mode::Destination)
    };
    let connect = |options| RawSource::connect_as(Mode::Destination, options);

    assert_eq!(
        refused(connect(with("unknown", None)).await),
        (403, "Invalid access token".to_owned())
    );
    let (status, reason) = refused(connect(with(&tunnel.source_token, None)).await);
    assert!(
        status == 403 && reason.contains("local-proxy-mode"),
        "{status} {reason}"
    );

    let first = client_token();
    let ours = with(&tunnel.destination_token, Some(first.clone()));
    connect(ours.clone()).await.expect("a fresh token");
    connect(ours.clone()).await.expect("the same client token");
    for other in [None, Some(client_token())] {
        let (status, reason) = refused(connect(with(&tunnel.destination_token, other)).await);
        assert!(
            status == 403 && reason.contains("already used"),
            "{status} {reason}"
        );
    }

    let second = service.open_tunnel(&SERVICES);
    let once = with(&second.destination_token, None);
    connect(once.clone()).await.expect("a fresh token");
    assert_eq!(refused(connect(once).await).0, 403);
    assert_eq!(
        refused(connect(with(&second.destination_token, Some(first))).await).0,
        403
    );

    tunnel.close();
    assert_eq!(
        refused(connect(ours).await),
        (403, "Tunnel is closed".to_owned())
    );
    service
        .wait_event(|event| event.is_rejected(403), LIMIT)
        .await
        .expect("refusals are recorded");
}

#[tokio::test]
async fn the_subprotocol_is_chosen_and_decides_about_service_ids() {
    for (supported, offered, chosen) in [
        (
            vec![Protocol::V3, Protocol::V2, Protocol::V1],
            Protocol::V3,
            Some(Protocol::V3),
        ),
        (
            vec![Protocol::V3, Protocol::V2, Protocol::V1],
            Protocol::V1,
            Some(Protocol::V1),
        ),
        (vec![Protocol::V2], Protocol::V2, Some(Protocol::V2)),
        (vec![Protocol::V2], Protocol::V3, None),
    ] {
        let service = Service::start(ServiceOptions {
            protocols: supported,
            ..ServiceOptions::default()
        })
        .await
        .expect("the service starts");
        let tunnel = service.open_tunnel(&SERVICES);
        let options = SourceOptions {
            subprotocol: offered,
            ..options(&service, &tunnel, Mode::Destination)
        };
        let connected = RawSource::connect_as(Mode::Destination, options).await;
        let Some(chosen) = chosen else {
            assert_eq!(
                refused(connected),
                (400, "no supported subprotocol".to_owned())
            );
            continue;
        };
        let mut client = connected.expect("let in");
        let is_ours = |event: &Event| matches!(event, Event::Connected { protocol, .. } if *protocol == chosen.name());
        tunnel.wait_event(is_ours, LIMIT).await.expect("connected");
        // Whatever comes first comes before this.
        tunnel
            .destination
            .send(&Message::session_reset())
            .expect("connected");
        let first = client.recv(LIMIT).await.expect("a message");
        let expected = match chosen {
            Protocol::V1 => Message::session_reset(),
            Protocol::V2 | Protocol::V3 => Message::service_ids(&SERVICES),
        };
        assert_eq!(first, expected);
    }
}

#[tokio::test]
async fn refusals_can_be_ordered_and_leave_the_token_fresh() {
    let service = service().await;
    let tunnel = service.open_tunnel(&SERVICES);
    // Without a client token, so that a used token would show.
    let options = SourceOptions {
        client_token: None,
        ..options(&service, &tunnel, Mode::Destination)
    };
    let connect = || RawSource::connect_as(Mode::Destination, options.clone());

    tunnel.destination.refuse_next(2, &Refusal::status(503));
    assert_eq!(refused(connect().await).0, 503);
    assert_eq!(refused(connect().await).0, 503);

    let busy = Refusal::Status {
        status: 429,
        retry_after: Some("7".to_owned()),
        reason: Some("slow down".to_owned()),
    };
    tunnel.destination.refuse_next(1, &busy);
    let reply = answer(&service, request(&tunnel).as_bytes()).await;
    assert!(
        reply.starts_with("HTTP/1.1 429 Too Many Requests\r\n"),
        "{reply}"
    );
    assert!(
        reply.contains("Retry-After: 7\r\n") && reply.contains("X-Status-Reason: slow down\r\n"),
        "{reply}"
    );

    tunnel.destination.refuse_next(1, &Refusal::CaptivePortal);
    let reply = answer(&service, request(&tunnel).as_bytes()).await;
    assert!(
        reply.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"),
        "{reply}"
    );

    for refusal in [
        Refusal::WrongAccept,
        Refusal::NoSubprotocol,
        Refusal::OtherSubprotocol,
    ] {
        tunnel.destination.refuse_next(1, &refusal);
        match connect().await {
            Err(ConnectError::WebSocket(_)) => {}
            Err(other) => panic!("{refusal:?} gave {other}"),
            Ok(_) => panic!("{refusal:?} was taken for a handshake"),
        }
    }

    for (kill, kind) in [
        (Kill::Reset, io::ErrorKind::ConnectionReset),
        (Kill::Fin, io::ErrorKind::UnexpectedEof),
    ] {
        tunnel.destination.refuse_next(1, &Refusal::Cut(kill));
        let mut stream = connect_tls(&service.endpoint(), service.ca_pem())
            .await
            .expect("TLS");
        stream
            .write_all(request(&tunnel).as_bytes())
            .await
            .expect("the service reads");
        let error = stream.read(&mut [0]).await.expect_err("no TLS end");
        assert_eq!(error.kind(), kind, "{kill:?}");
    }

    tunnel.destination.refuse_next(1, &Refusal::Hang);
    let mark = tunnel.mark();
    let hanging = tokio::spawn(RawSource::connect_as(Mode::Destination, options.clone()));
    tunnel
        .wait_event_after(mark, |event| event.is_rejected(0), LIMIT)
        .await
        .expect("it hangs");
    assert!(!hanging.is_finished());
    hanging.abort();

    connect().await.expect("the token is still fresh");
}

#[tokio::test]
async fn it_can_stop_listening_and_listen_again() {
    let service = service().await;
    let tunnel = service.open_tunnel(&SERVICES);
    let mut destination = client(&service, &tunnel, Mode::Destination).await;
    service
        .stop_listening()
        .await
        .expect("the listener is there");
    let error = connect_tls(&service.endpoint(), service.ca_pem())
        .await
        .expect_err("nobody listens");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    // Who is connected stays so.
    tunnel.destination.session_reset().expect("connected");
    assert_eq!(destination.recv(LIMIT).await, Ok(Message::session_reset()));
    service
        .listen_again()
        .await
        .expect("the port is still free");
    connect_tls(&service.endpoint(), service.ca_pem())
        .await
        .expect("it listens again");
}

#[tokio::test]
async fn wrong_certificates_are_found_wrong() {
    for certificate in [
        ServerCertificate::OtherAuthority,
        ServerCertificate::WrongName,
        ServerCertificate::Expired,
    ] {
        let service = Service::start(ServiceOptions {
            certificate,
            ..ServiceOptions::default()
        })
        .await
        .expect("the service starts");
        let error = connect_tls(&service.endpoint(), service.ca_pem())
            .await
            .expect_err("it is wrong");
        assert_eq!(
            error.kind(),
            io::ErrorKind::InvalidData,
            "{certificate:?}: {error}"
        );
        service
            .wait_event(|event| matches!(event, Event::TlsFailed { .. }), LIMIT)
            .await
            .expect("the client's alert is recorded");
    }
}

#[tokio::test]
async fn both_families_share_a_port() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        skipped("no IPv6 loopback here: both_families_share_a_port");
        return;
    }
    let service = Service::start(ServiceOptions {
        bind: Bind::Both,
        ..ServiceOptions::default()
    })
    .await
    .expect("the service starts");
    let port = service.endpoint().replace("localhost:", "");
    for address in [format!("127.0.0.1:{port}"), format!("[::1]:{port}")] {
        connect_tls(&address, service.ca_pem())
            .await
            .expect(&address);
    }
}
