//! Proxies that do not let the agent through: named for what they are, tried again, and never the end of a token.

use cell::certs::{Authority, ServerCertificate};
use cell::journal::Mark;
use cell::proxy::{Answer, Event, Proxy, ProxyOptions};
use cell::service::{Service, ServiceOptions, Tunnel};

use crate::stage::{LIMIT, Stage};
use crate::{LOGIN, PASSWORD, USER, agent, keeps_the_password, nowhere, proxy, told};

fn head(status: &str, headers: &[&str]) -> Answer {
    let headers = headers.iter().map(|header| (*header).to_owned());
    Answer::Head(status.to_owned(), headers.collect())
}

async fn started(proxy: &Proxy, login: &str) -> Stage {
    let build = |service: &Service, tunnel: &Tunnel| {
        let lines = format!("[proxy]\nurl = \"http://{login}{}\"", proxy.address());
        agent(service, tunnel, nowhere(), "", &lines).args(["-v", "6"])
    };
    Stage::started(ServiceOptions::default(), &["robot1"], build).await
}

/// The agent says what is the matter, asks again, and is there as soon as the proxy lets it through.
async fn is_waited_out(answer: Answer, parts: &[&str]) {
    let options = ProxyOptions {
        answer,
        ..ProxyOptions::default()
    };
    let proxy = proxy(options).await;
    let stage = started(&proxy, "").await;
    let name = format!("the proxy {}", proxy.address());
    let all: Vec<&str> = parts.iter().copied().chain([name.as_str()]).collect();
    told(&stage.agent, &all).await;
    let asked = |event: &Event| matches!(event, Event::Asked { .. });
    let (_, mark) = proxy
        .wait_event_after(Mark::START, asked, LIMIT)
        .await
        .expect("once");
    proxy
        .wait_event_after(mark, asked, LIMIT)
        .await
        .expect("and once more");
    proxy.answer(Answer::LetThrough);
    stage.connected_after(Mark::START).await;
    assert_eq!(proxy.violations(), [""; 0]);
    stage.end();
}

#[tokio::test]
async fn a_proxy_that_wants_what_we_have_not() {
    tokio::join!(
        is_waited_out(
            head(
                "407 Proxy Authentication Required",
                &["Proxy-Authenticate: NTLM", "Proxy-Authenticate: Negotiate"]
            ),
            &["407", "wants NTLM or Negotiate", "Basic only"],
        ),
        is_waited_out(
            head("407 No", &["Proxy-Authenticate: Basic realm=\"x\""]),
            &["no credentials are configured: [proxy] url"]
        ),
    );
}

#[tokio::test]
async fn a_proxy_that_refuses() {
    tokio::join!(
        is_waited_out(
            head("403 Forbidden", &[]),
            &["HTTP 403 Forbidden", "allow CONNECT to localhost:"]
        ),
        is_waited_out(head("404 Not Found", &[]), &["HTTP 404 Not Found"]),
        is_waited_out(
            head("502 Bad Gateway", &[]),
            &["HTTP 502 Bad Gateway", "cannot reach localhost:"]
        ),
        is_waited_out(
            head("504 Gateway Timeout", &[]),
            &["HTTP 504", "cannot reach"]
        ),
        is_waited_out(Answer::Close, &["closed the connection"]),
    );
}

#[tokio::test]
async fn what_is_no_proxy() {
    tokio::join!(
        is_waited_out(
            Answer::Bytes(b"220 mail.plant ESMTP\r\n".to_vec()),
            &["no HTTP (\"220 mail.plant ESMTP"]
        ),
        is_waited_out(
            head("302 Found", &["Location: http://guests.plant/login"]),
            &["captive portal", "http://guests.plant/login"],
        ),
        is_waited_out(
            head("511 Network Authentication Required", &[]),
            &["HTTP 511", "captive portal"]
        ),
    );
}

#[tokio::test]
async fn a_proxy_that_does_not_answer() {
    let options = ProxyOptions {
        answer: Answer::Silence,
        ..ProxyOptions::default()
    };
    let proxy = proxy(options).await;
    let stage = started(&proxy, "").await;
    told(&stage.agent, &["the proxy", "did not answer within 15 s"]).await;
    proxy.answer(Answer::LetThrough);
    stage.connected_after(Mark::START).await;
    stage.end();
}

#[tokio::test]
async fn wrong_credentials_are_named_and_not_shown() {
    let options = ProxyOptions {
        login: Some((USER.to_owned(), "another".to_owned())),
        ..ProxyOptions::default()
    };
    let proxy = proxy(options).await;
    let stage = started(&proxy, &format!("{LOGIN}@")).await;
    told(&stage.agent, &["407", "the credentials were refused"]).await;
    let refused = |event: &Event| *event == Event::Answered(407);
    let (_, mark) = proxy
        .wait_event_after(Mark::START, refused, LIMIT)
        .await
        .expect("once");
    proxy
        .wait_event_after(mark, refused, LIMIT)
        .await
        .expect("and once more");
    keeps_the_password(&stage.agent);
    assert!(!stage.agent.log().iter().any(|line| line.contains(PASSWORD)));
    assert_eq!(proxy.violations(), [""; 0]);
    stage.end();
}

#[tokio::test]
async fn http_and_https_that_are_mixed_up_are_told_apart() {
    let plain = proxy(ProxyOptions::default()).await;
    let authority = Authority::new().expect("an authority");
    let tls = authority
        .server_config(ServerCertificate::Good)
        .expect("a certificate");
    let by_tls = proxy(ProxyOptions {
        tls: Some(tls),
        ..ProxyOptions::default()
    })
    .await;
    for (scheme, proxy, advice) in [
        (
            "http",
            &by_tls,
            "it speaks TLS; write [proxy] url with https://",
        ),
        (
            "https",
            &plain,
            "it does not speak TLS; write [proxy] url with http://",
        ),
        // Its authority is not trusted.
        ("https", &by_tls, "TLS to it failed"),
    ] {
        let build = |service: &Service, tunnel: &Tunnel| {
            let port = proxy.address().port();
            let lines = format!("[proxy]\nurl = \"{scheme}://localhost:{port}\"");
            agent(service, tunnel, nowhere(), "", &lines)
        };
        let stage = Stage::started(ServiceOptions::default(), &["robot1"], build).await;
        told(&stage.agent, &["the proxy localhost:", advice]).await;
        stage.end();
    }
}
