//! Clients of the local socket that keep no rule: others are answered, and nothing of them stays.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::gateway::Cell;
use crate::stage::LIMIT;

/// Somebody who asks gets an answer within this, whoever else is connected.
const AT_ONCE: Duration = Duration::from_secs(1);

async fn connect(cell: &Cell) -> UnixStream {
    let socket = UnixStream::connect(cell.gateway.socket()).await;
    socket.expect("the socket takes connections")
}

/// A connection on which this was sent, as far as the agent takes it.
async fn client(cell: &Cell, sent: &[u8]) -> UnixStream {
    let mut socket = connect(cell).await;
    // The agent may end it in the middle.
    let _ = timeout(LIMIT, socket.write_all(sent)).await;
    socket
}

/// Others are answered at once.
async fn others_are_answered(cell: &Cell, beside: &str) {
    let took = cell.answers().await;
    assert!(took < AT_ONCE, "beside {beside} an answer took {took:?}");
}

/// The agent ends the connection by itself.
async fn is_ended(mut socket: UnixStream, what: &str) -> Vec<u8> {
    let mut rest = Vec::new();
    let end = timeout(LIMIT, socket.read_to_end(&mut rest)).await;
    // A reset is an end as well: not all was read.
    let _ = end.unwrap_or_else(|_| panic!("{what}: the connection is kept for ever"));
    rest
}

/// The descriptors of the agent come down to what they were. Closing them is not to be seen from outside but here.
async fn descriptors_come_back(cell: &Cell, before: usize) {
    let back = async {
        while cell.agent.fds().expect("it runs") > before {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = timeout(LIMIT, back).await;
    assert!(waited.is_ok(), "{before}, now {:?}", cell.agent.fds());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_keeps_silent_is_shown_the_door_and_others_are_answered() {
    let cell = Cell::start().await;
    let tunnel = cell.opened().await;
    others_are_answered(&cell, "nobody").await;
    let before = cell.agent.fds().expect("it runs");
    let rss = cell.agent.rss().expect("it runs");
    let kinds = [
        ("silence", &b""[..]),
        ("half a request", b"{\"close\":"),
        ("a request without an end", b"\"status\""),
    ];
    let mut clients = Vec::new();
    for (what, sent) in kinds.iter().cycle().take(60) {
        clients.push((what, client(&cell, sent).await));
        if clients.len() % 20 == 0 {
            others_are_answered(&cell, what).await;
        }
    }
    for (what, client) in clients {
        let answer = is_ended(client, what).await;
        assert!(answer.is_empty(), "{what}: {answer:?}");
    }
    descriptors_come_back(&cell, before).await;
    let grown = cell.agent.rss().expect("it runs").saturating_sub(rss);
    assert!(grown < 1_000_000, "{grown} bytes of memory more");
    cell.carries(&tunnel).await;
    cell.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_connections_at_once_keep_nobody_away() {
    let cell = Cell::start().await;
    let tunnel = cell.opened().await;
    let before = cell.agent.fds().expect("it runs");
    let mut most = before;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(connect(&cell).await);
        most = most.max(cell.agent.fds().expect("it runs"));
    }
    others_are_answered(&cell, "a hundred silent ones").await;
    most = most.max(cell.agent.fds().expect("it runs"));
    // One at a time is a descriptor; a hundred would be an agent without any for its robots.
    assert!(most <= before + 8, "{before}, at most {most}");
    cell.carries(&tunnel).await;
    for client in silent {
        is_ended(client, "one of a hundred").await;
    }
    // A hundred honest ones at once all get their answer.
    let mut honest = JoinSet::new();
    for _ in 0..100 {
        let path = cell.gateway.socket();
        honest.spawn(async move {
            let mut socket = UnixStream::connect(path).await?;
            socket.write_all(b"\"status\"\n").await?;
            let mut answer = Vec::new();
            socket.read_to_end(&mut answer).await?;
            Ok::<_, std::io::Error>(answer)
        });
    }
    let all = timeout(LIMIT, honest.join_all()).await.expect("in time");
    for answer in all {
        let answer = answer.expect("an answer");
        let answer: serde_json::Value = serde_json::from_slice(&answer).expect("JSON");
        assert!(answer["status"].is_object(), "{answer}");
    }
    descriptors_come_back(&cell, before).await;
    cell.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_is_refused_and_does_nothing() {
    let cell = Cell::start().await;
    let tunnel = cell.opened().await;
    let before = cell.agent.fds().expect("it runs");
    let long = vec![b'a'; 1 << 20];
    let deep = vec![b'['; 8_000];
    for (what, sent, refused) in [
        ("a line of 1 MB", &long[..], false),
        ("deep nesting without an end", &deep, false),
        ("a NUL", b"\0\n", true),
        ("an empty line", b"\n", true),
        ("what is no UTF-8", b"\xff\xfe\xff\n", true),
        ("HTTP", b"GET / HTTP/1.1\r\n\r\n", true),
        ("an unknown word", b"\"shutdown\"\n", true),
        ("an unknown key", b"{\"exec\":\"/bin/sh\"}\n", true),
        ("two keys", b"{\"close\":null,\"status\":null}\n", true),
        ("a name that is none", b"{\"close\":\"../../x\"}\n", true),
        ("an open without a token", b"{\"open\":{}}\n", true),
        ("a token that is none", b"{\"open_token\":\"a b\"}\n", true),
        ("a list", b"[1,2,3]\n", true),
    ] {
        let client = client(&cell, sent).await;
        let answer = is_ended(client, what).await;
        if refused {
            let answer: serde_json::Value = serde_json::from_slice(&answer).expect(what);
            let reason = answer["refused"].as_str().expect(what);
            assert!(reason.len() > 20, "{what}: {reason}");
        }
        others_are_answered(&cell, what).await;
    }
    // One who asks and does not wait for the answer, and one who asks much at once, each have one request.
    drop(client(&cell, b"\"status\"\n").await);
    let many = client(&cell, &b"\"status\"\n".repeat(100)).await;
    let answers = is_ended(many, "many requests").await;
    assert!(answers.iter().filter(|byte| **byte == b'\n').count() <= 1);
    others_are_answered(&cell, "one who asks much").await;
    descriptors_come_back(&cell, before).await;
    assert_eq!(cell.status().await["places"]["taken"], 1);
    cell.carries(&tunnel).await;
    // It is noted, but a client cannot fill the log.
    let noted = |line: &&String| line.contains("control socket");
    let lines = cell.agent.log();
    let lines: Vec<_> = lines.iter().filter(noted).collect();
    assert!((1..=3).contains(&lines.len()), "{lines:?}");
    cell.end().await;
}
