//! Whatever answers in the place of the service, at the broker and at the local socket.

use std::time::Duration;

use cell::broker::Broker;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::budget::{ONE_TUNNEL, hold, hold_back_after_use};
use crate::site::{LIMIT, SERVICES, Site};
use crate::targets::{Manner, Target};

/// Whose notifications the broker has.
const THING: &str = "cell-0042";

/// Bytes of an answer that has no end.
const ENDLESS: usize = 4 << 20;

/// An answer that is not taken any further, for so long.
const STUCK: Duration = Duration::from_secs(1);

/// Answers that are no WebSocket, notifications that are none, requests that are none.
pub(crate) async fn whatever_answers() {
    let targets = SERVICES.map(|_| Target::start(Manner::Echo));
    let broker = Broker::start().expect("a broker");
    let device = broker.device(THING).expect("a certificate");
    let port = broker.port();
    let site = Site::start(targets.each_ref().map(Target::address), |file| {
        file.notify(port, &device)
    })
    .await;
    site.subscribed().await;
    let idle = site.settled().await;

    for (number, (name, answer)) in (1..).zip(answers()) {
        site.meter.forget();
        let tunnel = site.hand_over(number).await;
        answered(&site, &answer).await;
        // One that was refused for good is over already.
        site.asked(&json!({ "close": tunnel }).to_string()).await;
        site.empty().await;
        hold(
            &format!("upset: {name}"),
            site.meter.count().peak,
            ONE_TUNNEL,
        );
    }

    site.meter.forget();
    notifications(&broker).await;
    hold(
        "upset: notifications that are none",
        site.meter.count().peak,
        ONE_TUNNEL,
    );

    site.meter.forget();
    site.asked_too_much(&"x".repeat(1 << 20)).await;
    for request in requests() {
        let told = site.asked(&request).await;
        assert!(told["refused"].is_string(), "{told}");
    }
    hold(
        "upset: requests that are none",
        site.meter.count().peak,
        ONE_TUNNEL,
    );
    hold_back_after_use("upset", idle, site.settled().await);
    site.end();
}

fn answers() -> Vec<(&'static str, Vec<u8>)> {
    let line = b"X-Nonsense: 0123456789012345678901234567890123456789\r\n";
    let head = b"HTTP/1.1 101 Switching Protocols\r\n";
    let forbidden = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 4194304\r\n\r\n";
    vec![
        (
            "header lines without end",
            [&head[..], &line.repeat(ENDLESS / line.len())].concat(),
        ),
        (
            "a header line without end",
            [&head[..], b"X-Nonsense: ", &[b'x'; ENDLESS]].concat(),
        ),
        ("no HTTP", vec![0xff; ENDLESS]),
        (
            "a body without end",
            [&forbidden[..], &[b'x'; ENDLESS]].concat(),
        ),
    ]
}

/// Answers the next tunnel's request with these bytes, for as long as the agent takes them.
async fn answered(site: &Site, answer: &[u8]) {
    let stream = timeout(LIMIT, site.service.accept_tls()).await;
    let mut stream = stream.expect("it dials").expect("TLS");
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let read = stream.read_buf(&mut request).await;
        assert!(read.expect("connected") > 0, "no request");
    }
    // An agent that has heard enough hangs up.
    let write = async {
        if stream.write_all(answer).await.is_ok() && stream.flush().await.is_ok() {
            let _ = stream.shutdown().await;
        }
    };
    let _ = timeout(STUCK, write).await;
}

async fn notifications(broker: &Broker) {
    let good = json!({
        "clientAccessToken": "AQGA",
        "clientMode": "source",
        "region": "eu-central-1",
        "services": SERVICES,
    });
    let mark = broker.mark();
    let mut sent = 0;
    for _ in 0..20 {
        for payload in [
            vec![b'x'; 120 * 1024],
            vec![b'['; 8 * 1024],
            b"{\"services\":[".repeat(600),
            good.to_string().into_bytes(),
        ] {
            broker.notify(THING, &payload).expect("published");
            sent += 1;
        }
    }
    let all = async {
        while broker.count_events(mark, |event| event.is_puback(THING)) < sent {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LIMIT, all).await.expect("each is acknowledged");
}

fn requests() -> Vec<String> {
    vec![
        format!("{{\"open\":{}", "[".repeat(8_000)),
        format!("{{\"open_token\":\"{}\"}}", "\\u0007".repeat(1_200)),
        format!("{{\"close\":\"{}\"}}", "f".repeat(8_000)),
        "[".repeat(8_000),
    ]
}
