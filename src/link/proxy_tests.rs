//! What proxies answer, and what cellgate says of it. The bytes go through a pipe in memory.

use tokio::io::duplex;

use super::*;
use crate::secret::Secret;

const LOGIN: &str = "Basic cm9ib3Q6aHVudGVyMg==";

fn proxy(login: Option<&str>) -> Proxy {
    Proxy {
        endpoint: to("proxy.example", 3128),
        tls: false,
        login: login.map(|login| Secret::new(login.to_owned())),
        except: Vec::new(),
    }
}

fn to(host: &str, port: u16) -> Endpoint {
    Endpoint {
        host: host.to_owned(),
        port,
    }
}

/// What a proxy hears, what comes of its answer, and what is left in the stream behind it.
async fn asked(login: Option<&str>, answer: &[u8]) -> (String, Result<(), ProxyError>, Vec<u8>) {
    let (mut near, mut far) = duplex(64 * 1024);
    far.write_all(answer).await.expect("room");
    far.shutdown().await.expect("open");
    let host = to("data.tunneling.example", 443);
    let outcome = connect(&mut near, &proxy(login), &host).await;
    let mut rest = Vec::new();
    near.read_to_end(&mut rest).await.expect("open");
    drop(near);
    let mut heard = String::new();
    far.read_to_string(&mut heard).await.expect("text");
    (heard, outcome, rest)
}

async fn said(login: Option<&str>, answer: &[u8]) -> String {
    let (_, outcome, _) = asked(login, answer).await;
    let said = outcome.expect_err("it is no way").to_string();
    assert!(!said.contains("cm9ib3Q6"), "{said}");
    said
}

#[tokio::test]
async fn the_request_is_whole_and_the_answer_is_read_to_its_end_and_no_further() {
    for head in [
        "HTTP/1.1 200 Connection established\r\n\r\n",
        "HTTP/1.0 200\r\nContent-Length: 7\r\n\r\n",
        "HTTP/1.1 204 \nVia: 1.1 old\n\n",
    ] {
        let answer = format!("{head}\x16\x03\x03 behind it");
        let (heard, outcome, rest) = asked(None, answer.as_bytes()).await;
        outcome.expect(head);
        assert_eq!(rest, b"\x16\x03\x03 behind it");
        let version = env!("CARGO_PKG_VERSION");
        let wanted = format!(
            "CONNECT data.tunneling.example:443 HTTP/1.1\r\nHost: data.tunneling.example:443\r\n\
             User-Agent: cellgate/{version}\r\n\r\n"
        );
        assert_eq!(heard, wanted);
    }
    let (heard, ..) = asked(Some(LOGIN), b"HTTP/1.1 200 OK\r\n\r\n").await;
    let wanted = format!("\r\nProxy-Authorization: {LOGIN}\r\n\r\n");
    assert!(heard.ends_with(&wanted), "{heard}");
    let six = request(&proxy(None), &to("2001:db8::1", 8883));
    assert!(six.starts_with("CONNECT [2001:db8::1]:8883 HTTP/1.1\r\nHost: [2001:db8::1]:8883\r\n"));
}

#[tokio::test]
async fn a_407_is_explained_by_what_it_offers() {
    let basic = b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"a, NTLM\"\r\n\r\n";
    assert!(
        said(None, basic)
            .await
            .contains("no credentials are configured: [proxy] url")
    );
    assert!(
        said(Some(LOGIN), basic)
            .await
            .contains("the credentials were refused")
    );
    let other: &[u8] =
        b"HTTP/1.1 407 No\r\nproxy-authenticate: Negotiate, NTLM\r\nProxy-Authenticate: \
        Digest realm=\"x\", nonce=\"a,b\", qop=auth\r\n\r\n";
    for login in [None, Some(LOGIN)] {
        let said = said(login, other).await;
        assert!(
            said.contains("it wants Negotiate or NTLM or Digest; cellgate has Basic only"),
            "{said}"
        );
    }
    assert!(
        said(None, b"HTTP/1.1 407\r\n\r\n")
            .await
            .contains("without saying of which kind")
    );
}

#[tokio::test]
async fn other_answers_are_named() {
    for (answer, told) in [
        (
            "HTTP/1.1 403 Forbidden\r\n\r\n",
            "HTTP 403 Forbidden; it forbids this way",
        ),
        (
            "HTTP/1.1 403 Forbidden\r\n\r\n",
            "allow CONNECT to data.tunneling.example:443",
        ),
        ("HTTP/1.1 405 Not Allowed\r\n\r\n", "does not do CONNECT"),
        (
            "HTTP/1.1 502 Bad Gateway\r\n\r\n",
            "HTTP 502 Bad Gateway; it cannot reach",
        ),
        ("HTTP/1.1 504\r\n\r\n", "HTTP 504; it cannot reach"),
        (
            "HTTP/1.1 418 Teapot\r\n\r\n",
            "HTTP 418 Teapot; it does not open the way",
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: http://portal/login\r\n\r\n",
            "captive portal",
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: http://portal/login\r\n\r\n",
            "sends people to http://portal/login",
        ),
        ("HTTP/1.1 511 Log in\r\n\r\n", "captive portal"),
        (
            "SSH-2.0-OpenSSH_9\r\n",
            "is no HTTP (\"SSH-2.0-OpenSSH_9\\r\")",
        ),
        (
            "\x15\x03\x01\0\x02\x02\x46",
            "it speaks TLS; write [proxy] url with https://",
        ),
        ("HTTP/1.1 what\r\n\r\n", "is no HTTP"),
        ("HTTP/2 200\r\n\r\n", "is no HTTP"),
        ("ICY", "is no HTTP (\"ICY\")"),
        ("", "closed the connection"),
        ("HTTP/1.1 200 OK\r\nVia: x", "closed the connection"),
    ] {
        let said = said(None, answer.as_bytes()).await;
        assert!(said.contains(told), "{answer:?}: {said:?} lacks {told:?}");
    }
}

#[tokio::test]
async fn an_answer_is_bounded() {
    let endless = format!("HTTP/1.1 200 OK\r\nA: {}", "a".repeat(20_000));
    assert!(
        said(None, endless.as_bytes())
            .await
            .contains("longer than 8192 bytes")
    );
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(100));
    assert!(
        said(None, many.as_bytes())
            .await
            .contains("64 header lines")
    );
    let schemes = (0..100)
        .map(|n| format!("Proxy-Authenticate: Kind{n}\r\n"))
        .take(60);
    let many: String = schemes.collect();
    let many = format!("HTTP/1.1 407 No\r\n{many}\r\n");
    let text = said(None, many.as_bytes()).await;
    assert!(text.contains("Kind7;") && !text.contains("Kind8"), "{text}");
}

#[tokio::test]
async fn garbage_that_never_ends_is_found_at_once() {
    // The other end stays open and says no more.
    let (mut near, mut far) = duplex(1024);
    far.write_all(b"220 mail.example ESMTP\r\n")
        .await
        .expect("room");
    let outcome = connect(&mut near, &proxy(None), &to("host", 443)).await;
    assert!(matches!(outcome, Err(ProxyError::NoHttp(_))), "{outcome:?}");
}
