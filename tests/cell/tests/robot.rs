//! An engineer at a controller, without a tunnel: what a session, LOAD and SAVE look like on the wire.

use std::net::SocketAddr;
use std::time::Duration;

use cell::controller::{Controller, ControllerOptions, End, Faults, Negotiation};
use cell::engineer::{Answer, Cause, Engineer, EngineerOptions, Stage, chunk};
use cell::program::Program;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const LIMIT: Duration = Duration::from_secs(10);

async fn controller() -> Controller {
    Controller::start(ControllerOptions::default())
        .await
        .expect("a free port")
}

async fn engineer(controller: &Controller) -> Engineer {
    Engineer::connect(controller.address())
        .await
        .expect("login as \"as\"")
}

/// A socket that sends bytes and expects bytes, as in a recording.
struct Script(TcpStream);

impl Script {
    async fn connect(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.expect("it listens"))
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.expect("it is open");
    }

    async fn expect(&mut self, bytes: &[u8]) {
        let mut got = vec![0; bytes.len()];
        let read = tokio::time::timeout(LIMIT, self.0.read_exact(&mut got));
        read.await
            .unwrap_or_else(|_| panic!("not in time: {}", bytes.escape_ascii()))
            .expect("it is open");
        assert_eq!(
            got.escape_ascii().to_string(),
            bytes.escape_ascii().to_string()
        );
    }
}

/// The bytes of the recordings, both ways. Engineer and controller share code; this does not.
#[tokio::test]
async fn a_session_is_byte_for_byte_as_recorded() {
    let controller = controller().await;
    let mut line = Script::connect(controller.address()).await;
    line.expect(b"\xFF\xFD\x18\xFF\xFB\x01\xFF\xFA\x18\x01\x01\xFF\xF0\xFF\xFB\x03\x0D")
        .await;
    line.expect(b"Connecting to Kawasaki E Controller\r\n\r\nlogin: ")
        .await;
    line.send(b"\xFF\xFD\x01\xFF\xFB\x18\xFF\xFA\x18\x00VT100\x00\xFF\xF0as\r\n")
        .await;
    line.expect(b"as\r\nThis is AS monitor terminal \"AUX1\"\r\n>")
        .await;

    line.send(b"LOAD gripper\r\n").await;
    line.expect(b"LOAD gripper\r\n\x05\x02\x41gripper\x17")
        .await;
    line.send(b"\x02\x41\x20\x20\x20\x20\x30\x17").await;
    line.expect(b"Loading...(gripper)\r\n\x05\x02\x43\x17")
        .await;
    line.send(b"\x02\x43\x20\x20\x20\x20\x30.PROGRAM a()\r\n\xFC.END\r\n\x17")
        .await;
    line.expect(b"\x05\x02\x43\x17").await;
    line.send(b"\x02\x43\x20\x20\x20\x20\x30\x1A\x17").await;
    line.expect(b"\x05\x02\x45\x17").await;
    line.send(b"\x02\x45\x20\x20\x20\x20\x30\x17").await;
    line.expect(b"File load completed. (0 errors)\r\n>").await;

    line.send(b"SAVE gripper\r\n").await;
    line.expect(b"SAVE gripper\r\n\x05\x02\x42gripper.as\x17Saving...(gripper)\r\n")
        .await;
    line.send(b"\x02\x42\x20\x20\x20\x20\x30\x17").await;
    line.expect(b"\x05\x02\x44.PROGRAM a()\r\n\xFC.END\r\n\x17\x05\x02\x45\x17")
        .await;
    line.send(b"\x02\x45\x20\x20\x20\x20\x30\x17").await;
    line.expect(b"File save completed.\r\n>").await;
}

#[tokio::test]
async fn a_program_comes_back_whatever_the_chunk_and_the_opening() {
    let program = Program::generate(1, 40_000).text;
    for negotiation in [Negotiation::Normal, Negotiation::None, Negotiation::Odd] {
        for (answer, size) in [
            (Answer::Vt100, chunk::KRTERM),
            (Answer::Silent, chunk::OTHERS),
            (Answer::Vt100, chunk::KIDE),
        ] {
            let faults = Faults {
                negotiation,
                ..Faults::default()
            };
            round_trip(faults, answer, &program, size).await;
        }
    }
}

#[tokio::test]
async fn a_program_comes_back_through_fragments() {
    let program = Program::generate(2, 20_000).text;
    for (negotiation, fragments) in [
        (Negotiation::Normal, 1),
        (Negotiation::Odd, 1),
        (Negotiation::Normal, 16),
    ] {
        let faults = Faults {
            negotiation,
            fragments: Some(fragments),
            ..Faults::default()
        };
        round_trip(faults, Answer::Vt100, &program, chunk::KRTERM).await;
    }
}

async fn round_trip(faults: Faults, answer: Answer, program: &[u8], size: usize) {
    let case = format!("{faults:?}, {answer:?}, {size}");
    let controller = Controller::start(ControllerOptions {
        faults,
        ..ControllerOptions::default()
    })
    .await
    .expect("a free port");
    let options = EngineerOptions {
        answer,
        ..EngineerOptions::default()
    };
    let mut engineer = Engineer::connect_with(controller.address(), options)
        .await
        .expect(&case);

    let mut seen = 0;
    let done = engineer
        .load("gripper", program, size, |progress| {
            seen += 1;
            assert_eq!(progress.blocks, seen);
        })
        .await
        .expect(&case);
    assert_eq!(done.bytes, program.len());
    assert_eq!(done.blocks, program.len().div_ceil(size));
    // One for the file, one for each chunk, and the first request, the end of file and the closing.
    assert_eq!(done.round_trips, done.blocks + 4);
    assert_eq!(controller.program("gripper").expect(&case), program);
    assert!(engineer.save("gripper").await.expect(&case) == program);

    let (sent, received) = engineer.tapes();
    let (sent, received) = (sent.clone(), received.clone());
    engineer.close().await.expect(&case);
    let records = controller
        .wait_for(LIMIT, |records| records[0].end.is_some())
        .await
        .expect(&case);
    assert_eq!(records[0].end, Some(End::PeerFin), "{case}");
    assert_eq!(records[0].received, sent, "{case}");
    assert_eq!(records[0].sent, received, "{case}");
    assert_eq!(records[0].faults, [""; 0], "{case}");
}

/// Every byte but the two that the framing gives a meaning.
#[tokio::test]
async fn all_bytes_that_the_framing_can_carry_come_back() {
    let controller = controller().await;
    let mut engineer = engineer(&controller).await;
    let bytes: Vec<u8> = (0..=255)
        .filter(|byte| ![0x17, 0x1A].contains(byte))
        .collect();
    let bytes = bytes.repeat(20);
    engineer
        .load("all", &bytes, 500, |_| {})
        .await
        .expect("a load");
    assert!(engineer.save("all").await.expect("a save") == bytes);

    let error = engineer
        .load("all", b"ab\x17", 500, |_| {})
        .await
        .expect_err("it has no escape");
    assert!(matches!(
        error.cause,
        Cause::Unsendable {
            byte: 0x17,
            offset: 2
        }
    ));
}

#[tokio::test]
async fn a_save_can_choose() {
    let controller = controller().await;
    controller.put("one.as", b".PROGRAM one()\r\n.END\r\n");
    controller.put("two", b".PROGRAM two()\r\n.END\r\n");
    let mut engineer = engineer(&controller).await;
    assert_eq!(
        engineer.save("x=two").await.expect("a save"),
        b".PROGRAM two()\r\n.END\r\n"
    );
    let robot = engineer
        .save_with("SAVE/ROB", "using.rcc", |_| {})
        .await
        .expect("a save");
    assert_eq!(robot.len(), 70_000);
    let all = engineer.save("using.rcc").await.expect("a save");
    assert!(all.starts_with(&robot) && all.ends_with(b".PROGRAM two()\r\n.END\r\n"));
    let error = engineer.save("x=three").await.expect_err("no such program");
    assert!(error.to_string().contains("three"), "{error}");
}

#[tokio::test]
async fn commands_end_at_their_prompt() {
    let controller = controller().await;
    controller.put(
        "a",
        b".PROGRAM first()\r\n.END\r\n.PROGRAM second()\r\n.END\r\n",
    );
    let mut engineer = engineer(&controller).await;
    assert_eq!(engineer.terminal(), "AUX1");
    assert_eq!(engineer.command("").await.expect("a prompt"), "");
    assert_eq!(engineer.command("MESSAGES ON").await.expect("a prompt"), "");
    let id = engineer.command("ID").await.expect("a prompt");
    assert!(id.contains("(robot1)"), "{id}");
    let delay = engineer.command("TYPE gripper.delay").await;
    assert_eq!(delay.expect("a prompt").trim(), "0.350");
    let listing = engineer.command("DIRECTORY").await.expect("a prompt");
    assert!(listing.ends_with("first\r\n  second"), "{listing}");
    let error = engineer.command("EXPLODE").await.expect("a prompt");
    assert_eq!(error, "(P0100)Illegal input data.");

    let sure = "No:0) ";
    engineer
        .command_answering("DELETE first", sure, "0")
        .await
        .expect("a prompt");
    assert_eq!(controller.programs(), ["first", "second"]);
    engineer
        .command_answering("DELETE first", sure, "1")
        .await
        .expect("a prompt");
    assert_eq!(controller.programs(), ["second"]);

    let first = engineer.command("TYPE clock").await.expect("a prompt");
    tokio::time::sleep(Duration::from_millis(5)).await;
    let second = engineer.command("TYPE clock").await.expect("a prompt");
    assert_ne!(first, second);
}

#[tokio::test]
async fn a_stream_goes_on_until_a_key_is_pressed() {
    let controller = Controller::start(ControllerOptions {
        where_interval: Duration::from_millis(5),
        ..ControllerOptions::default()
    })
    .await
    .expect("a free port");
    let mut engineer = engineer(&controller).await;
    let lines = engineer.watch("WHERE 10", 40).await.expect("a stream");
    assert_eq!(lines.len(), 40);
    assert_eq!(lines.iter().filter(|line| line.contains("JT1")).count(), 10);
    assert!(lines[1] != lines[37], "the arm moves");
    let once = engineer.command("WHERE").await.expect("a prompt");
    assert_eq!(once.lines().count(), 4);
}

#[tokio::test]
async fn only_as_may_log_in() {
    let controller = controller().await;
    let options = EngineerOptions {
        user: "guest".into(),
        ..EngineerOptions::default()
    };
    let error = Engineer::connect_with(controller.address(), options)
        .await
        .expect_err("a wrong name");
    assert_eq!(error.stage, Stage::Login);
    assert!(matches!(error.cause, Cause::Refused(_)), "{error}");

    let mut line = Script::connect(controller.address()).await;
    line.send(b"a\r\nb\r\nc\r\n").await;
    let records = controller
        .wait_for(LIMIT, |records| {
            records.get(1).is_some_and(|r| r.end.is_some())
        })
        .await
        .expect("three wrong names are enough");
    assert_eq!(records[1].end, Some(End::NotLoggedIn));
}

/// A `telnet` in character mode sends a return and a NUL, one in line mode the line at once; both reach LOAD.
#[tokio::test]
async fn line_ends_of_any_client_do_not_reach_the_framing() {
    let controller = controller().await;
    let mut line = Script::connect(controller.address()).await;
    for end in [&b"\r\0"[..], b"\r\n", b"\n"] {
        line = Script::connect(controller.address()).await;
        line.send(&[b"as", end, b"LOAD x", end].concat()).await;
        line.send(b"\x02\x41    0\x17\x02\x43    0abc\x17\x02\x43    0\x1A\x17\x02\x45    0\x17")
            .await;
        line.0.shutdown().await.expect("it is open");
        let mut all = Vec::new();
        line.0.read_to_end(&mut all).await.expect("it closes");
        assert!(all.ends_with(b"(0 errors)\r\n>"), "{}", all.escape_ascii());
    }
    drop(line);
}
