//! The local socket: whatever a client sends, in whatever pieces, it gets one line that our own client understands or
//! nothing; what reaches the agent is a request; and the next client is served.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use cellgate::config::{is_access_token, paths};
use cellgate::control::{Ask, Reply, Request, Server};
use cellgate::limits::{CONTROL_ANSWER, CONTROL_CONNECTIONS, CONTROL_REPLY_MAX, CONTROL_TRANSFER};
use cellgate::supervise::heartbeat::Heartbeat;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep, timeout};

/// What a bound of the socket may be passed by.
const SLACK: Duration = Duration::from_secs(1);

/// In an input: the bytes before are sent, and a second passes.
const PAUSE: u8 = 0xfe;

/// In an input: the client goes away in the middle, and the rest is the next one's.
const GONE: u8 = 0xff;

pub fn run(input: &[u8]) {
    // The clock stands still but for waits, so that five seconds cost nothing.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    LocalSet::new().block_on(&runtime, async {
        let server = Server::bind(folder()).expect("nobody else has the folder");
        let (asks, asked) = mpsc::channel(CONTROL_CONNECTIONS);
        let serving = tokio::task::spawn_local(server.serve(asks, Heartbeat::new().watch("fuzz")));
        let agent = tokio::task::spawn_local(agent(asked));
        for client in input.split(|byte| *byte == GONE).take(8) {
            odd_client(client).await;
        }
        let status = ask(b"\"status\"\n").await;
        assert_eq!(status.as_deref(), Some("{\"done\":\"status\"}\n"));
        serving.abort();
        agent.abort();
        let _ = (serving.await, agent.await);
    });
}

fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = std::env::temp_dir().join(format!("cellgate-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a writable temporary folder");
        folder
    })
}

async fn agent(mut asked: mpsc::Receiver<Ask>) {
    while let Some(Ask { request, reply }) = asked.recv().await {
        let said = match request {
            Request::Open(notification) => {
                assert!(is_access_token(notification.access_token.expose()));
                "open"
            }
            Request::Close(name) => {
                assert!(name.is_none_or(|name| {
                    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
                    (1..=8).contains(&name.len()) && name.bytes().all(digit)
                }));
                "close"
            }
            Request::Status => "status",
        };
        // A client that has gone does not listen.
        let _ = reply.send(Reply::Done(said.to_owned()));
    }
}

/// Sends what it is told, and looks at what comes back.
async fn odd_client(input: &[u8]) {
    let began = Instant::now();
    let mut stream = connect().await;
    for piece in input.split_inclusive(|byte| *byte == PAUSE) {
        let (bytes, pause) = match piece.split_last() {
            Some((&PAUSE, bytes)) => (bytes, true),
            _ => (piece, false),
        };
        // The server may have had enough of it.
        if stream.write_all(bytes).await.is_err() {
            break;
        }
        if pause {
            sleep(Duration::from_secs(1)).await;
        }
    }
    let whole = input.iter().filter(|byte| **byte != PAUSE).count();
    if whole % 3 == 0 {
        let _ = stream.shutdown().await;
    } else if whole % 3 == 1 {
        return;
    }
    let reply = answer(stream).await;
    assert!(began.elapsed() <= pauses(input) + 2 * CONTROL_TRANSFER + CONTROL_ANSWER + SLACK);
    if let Some(reply) = &reply {
        let known = ["{\"done\":\"", "{\"refused\":\""]
            .iter()
            .any(|known| reply.starts_with(known));
        assert!(
            known && reply.ends_with("\"}\n") && reply.lines().count() == 1,
            "{reply:?}"
        );
    }
}

fn pauses(input: &[u8]) -> Duration {
    let pauses = input.iter().filter(|byte| **byte == PAUSE).count();
    Duration::from_secs(u64::try_from(pauses).unwrap_or(u64::MAX))
}

async fn connect() -> UnixStream {
    UnixStream::connect(paths::socket(folder()))
        .await
        .expect("the server listens")
}

async fn ask(line: &[u8]) -> Option<String> {
    let mut stream = connect().await;
    stream.write_all(line).await.expect("a place is free");
    answer(stream).await
}

/// What the server says until it closes.
async fn answer(mut stream: UnixStream) -> Option<String> {
    let mut said = Vec::new();
    let limit = 2 * CONTROL_TRANSFER + CONTROL_ANSWER + SLACK;
    let read = timeout(limit, stream.read_to_end(&mut said)).await;
    // A reset says that it did not want to read the rest.
    let _ = read.expect("the server ends every connection in its time");
    assert!(said.len() <= CONTROL_REPLY_MAX);
    (!said.is_empty()).then(|| String::from_utf8(said).expect("JSON is UTF-8"))
}
