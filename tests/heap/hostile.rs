//! A service that sends what no service sends. Each trial has a tunnel of its own, and nobody reads what the agent answers
//! before the trial is over.

use std::path::Path;
use std::time::Duration;

use cell::bench::service::Tunnel;
use cell::service::{Opcode, websocket_frame};
use cell::wire::Message;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use crate::budget::{ONE_TUNNEL, hold, hold_back_after_use};
use crate::site::{LIMIT, SERVICES, Site};
use crate::targets::{Manner, Target};

/// Bytes of the longest WebSocket message.
const MESSAGE: usize = 131_076;

/// Nothing goes out for so long: the agent reads no more.
const STUCK: Duration = Duration::from_millis(500);

/// A name, what is sent, and how often: a few times where every frame costs a line of the log.
type Trial = (&'static str, Vec<u8>, usize);

/// Every trial, and then the corpus of the fuzz target `frames`.
pub(crate) async fn frames() {
    let targets = SERVICES.map(|_| Target::start(Manner::Deaf));
    let mut site = Site::start(targets.each_ref().map(Target::address), |file| file).await;
    let idle = site.settled().await;
    let mut worst = 0;
    for (name, bytes, times) in trials() {
        site.meter.forget();
        let (tunnel, mut far) = site.open().await;
        let mut cut = false;
        for _ in 0..times {
            match timeout(STUCK, send(&mut far, &bytes)).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(_) => {
                    cut = true;
                    break;
                }
            }
        }
        // Whether the agent answers, or hangs up, it is through with all of it.
        let answers = timeout(LIMIT, far.answers()).await;
        let ends = match (answers.expect("an answer or the end"), cut) {
            (true, _) => "the tunnel goes on",
            (false, false) => "the tunnel is lost",
            (false, true) => "cut short, for the agent read no more, and lost",
        };
        let peak = site.meter.count().peak;
        worst = worst.max(peak);
        site.close(&tunnel).await;
        drop(far);
        site.empty().await;
        println!("heap: hostile: {name}: {peak} bytes, {ends}");
    }
    hold("hostile frames", worst, ONE_TUNNEL);

    site.meter.forget();
    let mut far: Option<(String, Tunnel)> = None;
    let corpus = corpus();
    assert!(corpus.len() > 100, "the corpus is not there");
    for message in &corpus {
        let (tunnel, mut at) = match far.take() {
            Some(open) => open,
            None => site.open().await,
        };
        let frame = websocket_frame(Opcode::Binary, true, message);
        let well = send(&mut at, &frame).await
            && timeout(LIMIT, at.answers())
                .await
                .expect("an answer or the end");
        if well {
            far = Some((tunnel, at));
        } else {
            site.close(&tunnel).await;
            drop(at);
            site.empty().await;
        }
    }
    if let Some((tunnel, _at)) = far.take() {
        site.close(&tunnel).await;
    }
    site.empty().await;
    let what = format!("hostile: {} messages of the corpus", corpus.len());
    hold(&what, site.meter.count().peak, ONE_TUNNEL);
    for target in &targets {
        target.read();
        target.wait_open(0).await;
    }
    hold_back_after_use("hostile", idle, site.settled().await);
    site.end();
}

/// Sends bytes below the WebSocket; false when the agent has ended it.
async fn send(far: &mut Tunnel, bytes: &[u8]) -> bool {
    let below = far.below();
    below.write_all(bytes).await.is_ok() && below.flush().await.is_ok()
}

fn trials() -> Vec<Trial> {
    let (binary, on, text) = (Opcode::Binary, Opcode::Continuation, Opcode::Text);
    let frame = websocket_frame;
    let service = SERVICES[0];
    let data = Message::data(1, service, 1, vec![7; 64_512]).frame();
    let mut claims = vec![0x82, 127];
    claims.extend_from_slice(&(1_u64 << 62).to_be_bytes());
    claims.extend_from_slice(&[7; MESSAGE]);
    let names = |name: &str, count: usize| filled(&Message::service_ids(&vec![name; count]));
    let numbered = |message: &dyn Fn(i32) -> Message| {
        let mut whole = Vec::new();
        for number in 1.. {
            let frame = message(number).frame();
            if whole.len() + frame.len() > MESSAGE {
                break;
            }
            whole.extend_from_slice(&frame);
        }
        websocket_frame(Opcode::Binary, true, &whole).to_vec()
    };
    vec![
        (
            "a message of the largest size in fragments of one byte",
            fragments(MESSAGE, 1, true),
            4,
        ),
        (
            "a message of the largest size in two fragments",
            fragments(MESSAGE, MESSAGE - 1, true),
            50,
        ),
        (
            "fragments without an end",
            fragments(4 * MESSAGE, 4096, false),
            4,
        ),
        ("a frame that claims 2^62 bytes", claims, 4),
        (
            "a message one byte too long",
            frame(binary, true, &[0; MESSAGE + 1]).to_vec(),
            4,
        ),
        (
            "frames of no byte",
            frame(binary, true, &[0; MESSAGE / 8]).to_vec(),
            1,
        ),
        (
            "a frame cut into messages of one byte",
            data.iter()
                .flat_map(|byte| frame(binary, true, &[*byte]).to_vec())
                .collect(),
            4,
        ),
        (
            "messages of no byte",
            frame(binary, true, &[]).repeat(50_000),
            1,
        ),
        (
            "DATA for connections that are not there",
            numbered(&|n| Message::data(n, service, 1, "x")),
            4,
        ),
        (
            "one stream after the other",
            numbered(&|n| Message::stream_start(n, service, 1)),
            1,
        ),
        (
            "streams of services that are not there",
            numbered(&|n| Message::stream_start(n, &format!("robot{n}"), 1)),
            4,
        ),
        (
            "connections beyond all places",
            [
                frame(binary, true, &Message::stream_start(1, service, 1).frame()).to_vec(),
                numbered(&|n| Message::connection_start(1, service, u32::try_from(n).unwrap_or(1))),
            ]
            .concat(),
            2,
        ),
        (
            "resets of what is not there",
            numbered(&|n| Message::connection_reset(n, service, 1)),
            4,
        ),
        ("SERVICE_IDS of empty names", names("", 32_000), 20),
        ("SERVICE_IDS of long names", names(&"x".repeat(128), 20), 50),
        (
            "kinds that nobody knows",
            numbered(&|n| Message {
                r#type: 100 + n,
                ..Message::data(n, service, 1, "x")
            }),
            2,
        ),
        (
            "no protobuf",
            frame(binary, true, &[0xff; MESSAGE]).to_vec(),
            4,
        ),
        (
            "pings without end",
            frame(Opcode::Ping, true, &[7; 125]).repeat(20_000),
            4,
        ),
        (
            "pongs that nobody asked for",
            frame(Opcode::Pong, true, &[7; 125]).repeat(20_000),
            4,
        ),
        (
            "a text of the largest size",
            frame(text, true, &[b'x'; MESSAGE]).to_vec(),
            4,
        ),
        (
            "a fragment that begins nothing",
            frame(on, true, &[7; 4096]).to_vec(),
            4,
        ),
        (
            "a close with a long reason, and more",
            frame(Opcode::Close, true, &[b'x'; 125]).repeat(2_000),
            1,
        ),
    ]
}

/// A message in fragments of `piece` bytes: DATA for nobody, so that all of it must be looked at, and frames of no byte.
fn fragments(length: usize, piece: usize, ends: bool) -> Vec<u8> {
    let data = Message::data(1, SERVICES[0], 9, vec![7; 64_000]).frame();
    let mut whole = data.repeat(MESSAGE / data.len());
    whole.resize(length, 0);
    let pieces: Vec<&[u8]> = whole.chunks(piece).collect();
    let mut bytes = Vec::new();
    for (number, part) in pieces.iter().enumerate() {
        let opcode = match number {
            0 => Opcode::Binary,
            _ => Opcode::Continuation,
        };
        let last = ends && number + 1 == pieces.len();
        bytes.extend_from_slice(&websocket_frame(opcode, last, part));
    }
    bytes
}

/// One frame as often as it fits into a message.
fn filled(message: &Message) -> Vec<u8> {
    let frame = message.frame();
    websocket_frame(Opcode::Binary, true, &frame.repeat(MESSAGE / frame.len())).to_vec()
}

/// What the fuzz target of the frames has found worth keeping. Its first bytes say how it is cut; here they are the first
/// of the message, as hostile as the others.
fn corpus() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus/frames");
    let files = std::fs::read_dir(folder).expect("the corpus");
    let mut paths: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    paths.sort();
    let read = |path| std::fs::read(path).expect("a file");
    let mut all: Vec<Vec<u8>> = paths.into_iter().map(read).collect();
    all.retain(|bytes| bytes.len() <= MESSAGE);
    all
}
