//! `cellgate status` on a terminal of 80 columns.

use cell::notification;
use cell::service::Refusal;
use cell::target::{Behaviour, Target};
use cell::wire::Message;

use crate::client::{connect, echo};
use crate::gateway::{Cell, name};
use crate::stage::LIMIT;

/// Nothing in it moves a cursor, changes a colour or leaves the 80 columns.
fn fits_a_terminal(text: &str) {
    assert!(text.ends_with('\n') && !text.is_empty());
    for line in text.lines() {
        assert!(
            line.chars().count() <= 80,
            "{} columns: {line}",
            line.chars().count()
        );
        let strange = |c: &char| {
            c.is_control()
                || matches!(c, '\u{ad}' | '\u{300}'..='\u{36f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
        };
        assert_eq!(line.chars().find(strange), None, "{line:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_tunnels_with_many_streams_and_long_names_fit() {
    const STREAMS: usize = 12;
    // As long as the service takes them.
    let long = format!("robot-{}", "x".repeat(122));
    let robot = Target::start(Behaviour::Echo).expect("a free port");
    let cell = Cell::with(
        Behaviour::Echo,
        |file| file.route(&long, robot.address(), ""),
        |agent| agent,
    )
    .await;
    let mut alive = Vec::new();
    let mut names = Vec::new();
    let mut sources = Vec::new();
    for _ in 0..4 {
        let tunnel = cell.tunnel_of(&["robot1", &long]);
        let ran = cell.open(&notification::payload(&tunnel)).await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        cell.connected(&tunnel).await;
        names.push(name(&tunnel));
        let source = cell.source(&tunnel).await;
        for number in 0..STREAMS {
            let service = if number % 2 == 0 { "robot1" } else { &long };
            let mut engineer = connect(&source, service).await;
            echo(&mut engineer, &vec![b'x'; 1_500]).await;
            alive.push(engineer);
        }
        sources.push(source);
    }
    let ran = cell.run(&["status"], b"").await;
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    fits_a_terminal(&ran.stdout);
    for part in [
        "CONNECTED: 4 tunnels up, 48 streams open",
        "4 of 4 places taken",
    ] {
        assert!(ran.stdout.contains(part), "no {part}:\n{}", ran.stdout);
    }
    for name in &names {
        assert!(
            ran.stdout.contains(&format!("tunnel {name}  UP")),
            "{}",
            ran.stdout
        );
    }
    let rows = ran
        .stdout
        .lines()
        .filter(|line| line.contains(" open ") && line.contains("1.5k"));
    assert_eq!(rows.count(), 4 * STREAMS, "{}", ran.stdout);
    let cut = ran
        .stdout
        .lines()
        .filter(|line| line.contains("robot-xxxxx…"));
    assert_eq!(cut.count(), 4 * STREAMS / 2, "{}", ran.stdout);
    cell.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_words_of_the_service_and_the_source_do_nothing_to_a_terminal() {
    let cell = Cell::start().await;
    // The service's own words, in an answer for which there is another attempt.
    let stormy = cell.tunnel();
    // What HTTP lets through: tabs, and bytes above ASCII that are C1 controls or turn the line around.
    let reason = format!("\t\u{9b}2J\u{202e}{}\u{301} red", "wide\u{673a}".repeat(60));
    let hostile = Refusal::Status {
        status: 503,
        retry_after: Some("900".to_owned()),
        reason: Some(reason),
    };
    stormy.destination.refuse_next(100, &hostile);
    let ran = cell.open(&notification::payload(&stormy)).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    cell.status_that(|status| status["tunnels"][0]["state"] == "waits to retry")
        .await;
    let ran = cell.run(&["status"], b"").await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    fits_a_terminal(&ran.stdout);
    assert!(
        ran.stdout.contains("TROUBLE: tunnel") && ran.stdout.contains("503"),
        "{}",
        ran.stdout
    );

    // The source's words: services that nobody has, in every kind of text. The strict service would not let a source
    // say them, so it says them itself.
    let tunnel = cell.opened().await;
    let escape = format!("\u{1b}[2J\u{1b}]0;owned\u{7}{}", "\u{1b}[31m".repeat(10));
    let turned = "\u{202e}机\u{ad}\u{301}".repeat(12);
    for (stream, service) in [(1, escape), (2, "a\nb\r\0c".to_owned()), (3, turned)] {
        let start = Message::stream_start(stream, &service, 1);
        tunnel.destination.send(&start).expect("connected");
    }
    let told = |line: &str| line.contains("\\u{202e}\\u{673a}") || line.contains("\\u{202e}机");
    let told = cell.agent.wait_line(told, LIMIT).await;
    told.expect("the agent says what it was sent, escaped");
    let ran = cell.run(&["status"], b"").await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    fits_a_terminal(&ran.stdout);
    // The log is a terminal's as well.
    for line in cell.agent.log() {
        assert!(
            !line.contains(['\u{1b}', '\u{7}', '\r', '\0', '\u{9b}']),
            "{line:?}"
        );
    }
    // Programs get it in JSON, where it is escaped or plain text.
    let ran = cell.run(&["status", "--json"], b"").await;
    assert!(!ran.stdout.contains('\u{1b}'), "{ran:?}");
    serde_json::from_str::<serde_json::Value>(&ran.stdout).expect("JSON");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_text_says_what_to_do_next() {
    let cell = Cell::start().await;
    let ran = cell.run(&["status"], b"").await;
    fits_a_terminal(&ran.stdout);
    for part in [
        "READY: waits for a tunnel; hand one over with `cellgate open`",
        "none configured ([notify])",
        "0 of 4 places taken",
        "of 8.0 MiB",
        "no warning and no error in the log",
    ] {
        assert!(ran.stdout.contains(part), "no {part}:\n{}", ran.stdout);
    }
    let pid = format!("process {}", cell.agent.pid());
    assert!(ran.stdout.contains(&pid), "{}", ran.stdout);
    cell.end().await;
}

/// The agent of before goes on with what it read; whoever mends the file can still look, open and close.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_a_broken_file_everything_still_works() {
    let cell = Cell::start().await;
    let good = std::fs::read_to_string(cell.gateway.file()).expect("a file");
    let broken = format!("colour = 1\n{good}\n[tunel]\nca = 3\nwrong = = 3\n");
    std::fs::write(cell.gateway.file(), broken).expect("our file");
    let tunnel = cell.opened().await;
    cell.carries(&tunnel).await;
    assert_eq!(cell.status().await["places"]["taken"], 1);
    let ran = cell.run(&["status"], b"").await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("CONNECTED"), "{ran:?}");
    let ran = cell.run(&["close"], b"").await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    cell.end().await;
}
