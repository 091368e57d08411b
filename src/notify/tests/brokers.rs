//! Real brokers over loopback, with real TLS.

use std::ffi::OsString;
use std::io::Write as _;
use std::rc::Rc;
use std::time::{Duration, Instant};

use cell::broker::{Broker, Ending, Event};
use cell::certs::DeviceFiles;
use cell::journal::Mark;
use cell::mosquitto::Mosquitto;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::*;
use crate::config::{Config, Start};
use crate::link::way::Way;
use crate::notify::board::{Board, State};
use crate::notify::{ALPN, Setup, Told, probe, run_by, topic_of};
use crate::supervise::heartbeat::Heartbeat;

const PATIENCE: Duration = Duration::from_secs(20);

struct Gateway {
    setup: Setup,
    board: Rc<Board>,
    taken: mpsc::Receiver<Told>,
}

/// What the agent would make of a configuration.
fn gateway(port: u16, device: &DeviceFiles, room: usize) -> Gateway {
    capture();
    let folder = cell::agent::Folder::new("notify").expect("a folder");
    let text = format!(
        "thing = \"{}\"\n[notify]\nendpoint = \"localhost:{port}\"\ncertificate = {:?}\nkey = {:?}\nca = {:?}\n\
         [routes.r]\ntarget = \"127.0.0.1:1\"\n",
        device.thing, device.certificate, device.key, device.ca
    );
    let file = folder.write("cellgate.toml", &text).expect("written");
    let args = [OsString::from("--config"), file.into_os_string()];
    let Ok(Start::Run { config, .. }) = Config::load(args.into_iter(), &mut |_| None) else {
        panic!("the configuration is good");
    };
    let (arrivals, taken) = mpsc::channel(room);
    let board = Rc::new(Board::new(Instant::now()));
    let setup = Setup {
        thing: config.thing.expect("a thing"),
        notify: config.notify.expect("a broker"),
        way: Way::new(None, &[]).expect("no roots"),
        arrivals,
        board: Rc::clone(&board),
        pulse: Heartbeat::new().watch("test"),
    };
    Gateway {
        setup,
        board,
        taken,
    }
}

/// Runs a gateway as long as the test goes on.
async fn while_running<T>(setup: Setup, alpn: bool, test: impl Future<Output = T>) -> T {
    let life = Box::pin(run_by(setup, alpn.then_some(ALPN)));
    tokio::select! {
        () = life => panic!("it lives for ever"),
        done = timeout(Duration::from_secs(60), Box::pin(test)) => done.expect("within a minute"),
    }
}

async fn next(taken: &mut mpsc::Receiver<Told>) -> String {
    let told = timeout(PATIENCE, taken.recv()).await.expect("in time");
    let Told {
        notification,
        receipt,
    } = told.expect("one");
    receipt.give();
    notification.access_token.expose().to_owned()
}

async fn until(mut seen: impl FnMut() -> bool) {
    let waiting = async {
        while !seen() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("in time");
}

/// A mosquitto, or a line that says why there is none; past the capture of the test harness, as a skip that nobody sees
/// counts as a pass.
async fn mosquitto(test: &str) -> Option<Mosquitto> {
    if let Err(missing) = Mosquitto::available() {
        let _ = writeln!(std::io::stderr(), "SKIPPED: {missing}: {test}");
        return None;
    }
    Some(Mosquitto::start().await.expect("mosquitto starts"))
}

#[tokio::test]
async fn a_mosquitto_on_either_port_keeps_what_comes_meanwhile() {
    for alpn in [false, true] {
        let Some(mut broker) = mosquitto("what comes meanwhile is kept").await else {
            return;
        };
        let device = broker.device("cell-1").expect("a device");
        let topic = topic_of("cell-1");
        let port = if alpn {
            broker.alpn_port()
        } else {
            broker.port()
        };
        let Gateway {
            setup,
            board,
            mut taken,
        } = gateway(port, &device, 4);
        while_running(setup, alpn, async {
            until(|| board.state() == State::Connected).await;
            assert!(!board.session_present());
            broker
                .publish(&topic, payload("first").as_bytes(), 1)
                .await
                .expect("published");
            assert_eq!(next(&mut taken).await, "first");
            let acknowledged = |line: &str| line.contains("Received PUBACK from cell-1");
            broker
                .wait_line(acknowledged, PATIENCE)
                .await
                .expect("PUBACK");
            for bad in [&b"{"[..], &[0u8; 20_000], &[0xff; 128 * 1024]] {
                broker.publish(&topic, bad, 1).await.expect("published");
            }
            until(|| board.refused() == 3).await;
            assert_eq!(lines("refused").len(), 3);
            broker
                .publish(&topic, payload("second").as_bytes(), 1)
                .await
                .expect("published");
            assert_eq!(next(&mut taken).await, "second");
            broker.restart().await.expect("restarted");
            until(|| board.last_error().is_some()).await;
            until(|| board.state() == State::Connected).await;
            assert!(!lines("next attempt in").is_empty());
        })
        .await;
        // Away: what comes is kept.
        let gone = |line: &str| {
            line.contains("Client cell-1 closed") || line.contains("Client cell-1 disconnected")
        };
        broker.wait_line(gone, PATIENCE).await.expect("gone");
        broker
            .publish(&topic, payload("third").as_bytes(), 1)
            .await
            .expect("published");
        let Gateway {
            setup,
            board,
            mut taken,
        } = gateway(port, &device, 4);
        while_running(setup, alpn, async {
            assert_eq!(next(&mut taken).await, "third");
            until(|| board.state() == State::Connected).await;
            assert!(board.session_present());
        })
        .await;
    }
}

#[tokio::test]
async fn a_strict_broker_finds_no_fault_and_every_end_is_followed_by_a_login() {
    let broker = Broker::start().expect("a broker");
    let device = broker.device("cell-1").expect("a device");
    broker.switch(|switches| switches.keep_alive = Some(2));
    let Gateway {
        setup,
        board,
        mut taken,
    } = gateway(broker.alpn_port(), &device, 4);
    while_running(setup, true, async {
        until(|| board.state() == State::Connected).await;
        broker.notify("cell-1", payload("one").as_bytes()).expect("sent");
        assert_eq!(next(&mut taken).await, "one");
        let pinged = |event: &Event| matches!(event, Event::Ping { .. });
        let mark = broker.mark();
        broker.wait_event_after(mark, pinged, PATIENCE).await.expect("the imposed keep alive is kept");
        for reason in [None, Some(0x8b), Some(0x98)] {
            let mark = broker.mark();
            match reason {
                None => broker.kill("cell-1").expect("connected"),
                Some(reason) => broker.disconnect("cell-1", reason).expect("connected"),
            }
            let subscribed = |event: &Event| event.is_subscribed("cell-1");
            broker.wait_event_after(mark, subscribed, PATIENCE).await.expect("again");
            until(|| board.state() == State::Connected).await;
        }
        let said = lines("next attempt in");
        assert!(said[0].contains("broke in the wait for notifications"), "{said:#?}");
        assert!(said[1].contains("server shutting down (0x8b)"), "{said:#?}");
        assert!(said[2].contains("administrative action (0x98)"), "{said:#?}");
        broker.disconnect("cell-1", 0x8e).expect("connected");
        until(|| matches!(board.state(), State::WaitingToRetry(at) if at > Instant::now() + Duration::from_secs(50))).await;
        assert!(board.last_error().expect("one").contains("same client ID"));
    })
    .await;
    assert_eq!(broker.violations(), []);
}

#[tokio::test]
async fn refusals_and_the_wrong_port_are_explained() {
    let broker = Broker::start().expect("a broker");
    let device = broker.device("cell-1").expect("a device");
    for (turn, alpn, parts) in [
        (Some(0x87), true, ["refused the login", "iot:Connect"]),
        (None, true, ["refused the subscription", "iot:Subscribe"]),
        (None, false, ["", "localhost"]),
    ] {
        broker.switch(|switches| {
            switches.refuse_connect = turn;
            switches.refuse_subscribe = Some(0x87);
        });
        let Gateway { setup, board, .. } = gateway(broker.alpn_port(), &device, 4);
        while_running(setup, alpn, async {
            until(|| board.last_error().is_some()).await;
        })
        .await;
        let said = lines("next attempt in");
        for part in parts {
            assert!(said[0].contains(part), "{said:#?} lacks {part:?}");
        }
    }
}

#[tokio::test]
async fn a_message_is_acknowledged_when_it_was_taken() {
    let broker = Broker::start().expect("a broker");
    let device = broker.device("cell-1").expect("a device");
    let Gateway {
        setup,
        board,
        mut taken,
    } = gateway(broker.port(), &device, 1);
    while_running(setup, false, async {
        until(|| board.state() == State::Connected).await;
        let mark = broker.mark();
        for token in ["one", "two"] {
            broker
                .notify("cell-1", payload(token).as_bytes())
                .expect("sent");
        }
        let puback = |event: &Event| event.is_puback("cell-1");
        let told = timeout(PATIENCE, taken.recv()).await.expect("in time");
        let told = told.expect("one");
        assert_eq!(told.notification.access_token.expose(), "one");
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(broker.count_events(mark, puback), 0, "not in safe hands");
        assert_eq!(board.taken(), 0);
        told.receipt.give();
        let (_, first) = broker
            .wait_event_after(mark, puback, PATIENCE)
            .await
            .expect("one was taken");
        assert_eq!(board.taken(), 1);
        assert_eq!(next(&mut taken).await, "two");
        broker
            .wait_event_after(first, puback, PATIENCE)
            .await
            .expect("two was taken");
        // Now nobody takes: each of these is dropped after its time, and the connection lives.
        for token in ["three", "four"] {
            broker
                .notify("cell-1", payload(token).as_bytes())
                .expect("sent");
        }
        until(|| board.refused() == 1).await;
        assert_eq!(lines("the agent has taken none").len(), 1);
        assert_eq!(board.state(), State::Connected);
    })
    .await;
    let lost = |event: &Event| matches!(event, Event::Disconnected { ending, .. } if !matches!(ending, Ending::Lost(_)));
    assert_eq!(
        broker
            .events()
            .iter()
            .filter(|entry| lost(&entry.what))
            .count(),
        0
    );
}

/// An agent that stops, or dies, while it has a notification in its hands: the next one gets it.
#[tokio::test]
async fn a_message_without_a_receipt_comes_again() {
    let broker = Broker::start().expect("a broker");
    let device = broker.device("cell-1").expect("a device");
    let Gateway {
        setup,
        board,
        mut taken,
    } = gateway(broker.port(), &device, 4);
    let puback = |event: &Event| event.is_puback("cell-1");
    while_running(setup, false, async {
        until(|| board.state() == State::Connected).await;
        broker
            .notify("cell-1", payload("kept").as_bytes())
            .expect("sent");
        drop(timeout(PATIENCE, taken.recv()).await.expect("in time"));
        tokio::time::sleep(Duration::from_millis(100)).await;
    })
    .await;
    assert_eq!(broker.count_events(Mark::START, puback), 0);
    let Gateway {
        setup, mut taken, ..
    } = gateway(broker.port(), &device, 4);
    while_running(setup, false, async {
        assert_eq!(next(&mut taken).await, "kept");
    })
    .await;
}

#[tokio::test]
async fn a_probe_takes_nothing_from_the_session() {
    let Some(mut broker) = mosquitto("a probe takes nothing").await else {
        return;
    };
    let device = broker.device("cell-1").expect("a device");
    let port = broker.port();
    let Gateway { setup, .. } = gateway(port, &device, 4);
    let log_in = || probe::log_in(&setup.thing, &setup.notify, &setup.way);
    assert_eq!(log_in().await, Ok(false), "nobody was here before");
    let away = |line: &str| line.contains("Client cell-1 disconnected");
    broker
        .wait_line(away, PATIENCE)
        .await
        .expect("gone in order");
    let Gateway {
        setup: first,
        board,
        ..
    } = gateway(port, &device, 4);
    while_running(first, false, until(|| board.state() == State::Connected)).await;
    broker
        .wait_line(|line| line.contains("Client cell-1 closed"), PATIENCE)
        .await
        .expect("gone");
    broker
        .publish(&topic_of("cell-1"), payload("kept").as_bytes(), 1)
        .await
        .expect("published");
    for _ in 0..3 {
        assert_eq!(log_in().await, Ok(true));
    }
    let Gateway {
        setup: second,
        mut taken,
        ..
    } = gateway(port, &device, 4);
    while_running(second, false, async {
        assert_eq!(next(&mut taken).await, "kept");
    })
    .await;
    // Gone, and not only told to go: a socket that still listens would answer by a reset.
    broker.kill().await.expect("it runs");
    let said = log_in().await.expect_err("no broker");
    assert!(said.contains("127.0.0.1") || said.contains("::1"), "{said}");
}
