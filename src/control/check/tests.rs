//! The check against real sockets; everything is on the loopback.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use cell::agent::Folder;
use tokio::sync::mpsc;
use tokio::task::{LocalSet, spawn_blocking, spawn_local};

use super::item::Verdict;
use super::*;
use crate::control::status::{Access, FORMAT, Memory, Mqtt, Places, State, Status, Stream, Tunnel};
use crate::control::{Ask, Reply, Server};
use crate::supervise::heartbeat::Heartbeat;

/// A controller that greets as many do, and looks at its connection only when the sender is dropped; gives how the
/// connection ended.
fn controller() -> (u16, Sender<()>, thread::JoinHandle<std::io::Result<usize>>) {
    let (over, checked) = channel();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let life = thread::spawn(move || {
        let (mut stream, _) = listener.accept()?;
        stream.write_all(b"This is AS monitor\r\n>")?;
        let _ = checked.recv();
        // A reset behind the FIN shows here; the read would only tell of the FIN.
        if let Some(reset) = stream.take_error()? {
            return Err(reset);
        }
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest)
    });
    (port, over, life)
}

/// A port at which nobody listens.
fn absent() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound").port()
}

struct Cell {
    folder: Folder,
    file: PathBuf,
}

fn cell(routes: &str, endpoint: u16) -> Cell {
    let folder = Folder::new("check").expect("a folder");
    let text = format!(
        "[tunnel]\nendpoint = \"127.0.0.1:{endpoint}\"\n[paths]\nruntime = {:?}\n{routes}",
        folder.path().join("run")
    );
    let file = folder.write("cellgate.toml", &text).expect("written");
    Cell { folder, file }
}

fn checked(file: &Path) -> (Report, u8) {
    report(Some(file), &mut |_| None)
}

fn verdict<'r>(report: &'r Report, item: &str) -> (Verdict, &'r str) {
    let found = report.0.iter().find(|found| found.item == item);
    let found = found.unwrap_or_else(|| panic!("{item} in {}", report.text(false)));
    (found.verdict, &found.said)
}

#[test]
fn each_thing_has_its_verdict_and_controllers_are_left_by_a_fin() {
    let (port, over, life) = controller();
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let no_tls = silent.local_addr().expect("bound").port();
    // Something else answers in the service's place.
    let other = thread::spawn(move || {
        let (mut stream, _) = silent.accept()?;
        let mut hello = [0; 1024];
        let _ = stream.read(&mut hello)?;
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    });
    let refused = absent();
    let cell = cell(
        &format!(
            "[routes.monitor]\ntarget = \"127.0.0.1:{port}\"\nconnections = 1\n\
             [routes.same]\ntarget = \"127.0.0.1:{port}\"\n\
             [routes.off]\ntarget = \"127.0.0.1:{refused}\"\n"
        ),
        no_tls,
    );
    let before = listing(&cell);
    let (report, code) = checked(&cell.file);
    assert_eq!(code, exit::NOT_WELL);
    assert_eq!(verdict(&report, "configuration").0, Verdict::Well);
    assert_eq!(verdict(&report, "service name").0, Verdict::Well);
    let (bad, said) = verdict(&report, "service TLS");
    assert!(
        bad == Verdict::Failed && said.contains("does not speak TLS"),
        "{said}"
    );
    assert_eq!(verdict(&report, "route monitor, same").0, Verdict::Well);
    let (bad, said) = verdict(&report, "route off");
    assert!(bad == Verdict::Failed && said.contains("refuses"), "{said}");
    // One connection for both routes, no byte to it, and its end is no reset.
    drop(over);
    assert_eq!(life.join().expect("no panic").expect("a FIN"), 0);
    other.join().expect("no panic").expect("it was asked");
    assert_eq!(listing(&cell), before, "nothing was written");
}

fn listing(cell: &Cell) -> Vec<PathBuf> {
    let entries = fs::read_dir(cell.folder.path()).expect("a folder");
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

#[test]
fn faults_of_the_configuration_are_all_named_with_78() {
    let cell = cell("[routes.r]\ntarget = \"nowhere\"\nstall = 3\n", 1);
    let (report, code) = checked(&cell.file);
    assert_eq!(code, exit::CONFIG);
    let (bad, said) = verdict(&report, "configuration");
    assert!(
        bad == Verdict::Failed && said.contains("2 faults") && said.contains("stall"),
        "{said}"
    );
    for line in report.text(false).lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

/// What an agent says that has a connection to this controller.
fn status(target: &str) -> Status {
    let stream = Stream {
        service: "robot1".into(),
        stream: 1,
        connection: 1,
        target: target.into(),
        state: "open".into(),
        age_seconds: 1,
        idle_seconds: 0,
        down_bytes: 0,
        up_bytes: 0,
        down_rate: 0,
        up_rate: 0,
    };
    let tunnel = Tunnel {
        name: "1a2b3c4d".into(),
        came: "notification".into(),
        up: true,
        state: "up".into(),
        since_seconds: 1,
        age_seconds: 1,
        lifetime_left_seconds: 1,
        endpoint: "localhost:1".into(),
        version: None,
        channel_id: None,
        failures: 0,
        last_error: None,
        streams_ever: 1,
        down_bytes: 0,
        up_bytes: 0,
        streams: vec![stream],
    };
    Status {
        format: FORMAT,
        state: State::Connected,
        version: "0.1.0".into(),
        thing: None,
        pid: 7,
        uptime_seconds: 1,
        time: "2026-11-23T00:00:00Z".into(),
        clock_plausible: true,
        mqtt: Some(Mqtt {
            endpoint: "broker:8883".into(),
            connected: false,
            state: "waits to retry".into(),
            since_seconds: 1,
            retry_in_seconds: Some(1),
            last_error: Some("the cable is out".into()),
            notifications: 0,
            refused: 0,
            last_notification_seconds: None,
        }),
        access: Access {
            on: true,
            reason: String::new(),
        },
        places: Places { taken: 1, all: 4 },
        tunnels: vec![tunnel],
        streams_left_out: 0,
        errors: vec![],
        memory: Memory {
            rss_bytes: None,
            budget_bytes: 1,
            pool_free_blocks: 1,
            pool_blocks: 1,
        },
    }
}

#[tokio::test]
async fn a_running_agent_and_what_it_uses_are_left_alone() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    taken.set_nonblocking(true).expect("a socket");
    let target = taken.local_addr().expect("bound").to_string();
    let (free, over, life) = controller();
    let broker = cell::broker::Broker::start().expect("a broker");
    let device = broker.device("cell-7").expect("a device");
    let routes = format!(
        "[routes.taken]\ntarget = \"{target}\"\nconnections = 1\n[routes.free]\ntarget = \"127.0.0.1:{free}\"\n\
         [notify]\nendpoint = \"localhost:{}\"\ncertificate = {:?}\nkey = {:?}\nca = {:?}\n",
        broker.port(),
        device.certificate,
        device.key,
        device.ca
    );
    let cell = cell(&routes, absent());
    let text = fs::read_to_string(&cell.file).expect("a file");
    fs::write(&cell.file, format!("thing = \"cell-7\"\n{text}")).expect("written");
    let server = Server::bind(&cell.folder.path().join("run")).expect("a folder");
    let file = cell.file.clone();
    let (report, code) = LocalSet::new()
        .run_until(async move {
            let (asks, mut asked) = mpsc::channel::<Ask>(1);
            spawn_local(server.serve(asks, Heartbeat::new().watch("test")));
            spawn_local(async move {
                while let Some(ask) = asked.recv().await {
                    let _ = ask.reply.send(Reply::Status(Box::new(status(&target))));
                }
            });
            spawn_blocking(move || checked(&file))
                .await
                .expect("no panic")
        })
        .await;
    assert_eq!(code, exit::NOT_WELL);
    let (good, said) = verdict(&report, "route taken");
    assert!(good == Verdict::Well && said.contains("in use"), "{said}");
    assert!(taken.accept().is_err(), "nobody connected");
    assert_eq!(verdict(&report, "route free").0, Verdict::Well);
    drop(over);
    assert_eq!(life.join().expect("no panic").expect("a FIN"), 0);
    let (bad, said) = verdict(&report, "MQTT login");
    assert!(
        bad == Verdict::Failed && said.contains("the cable is out"),
        "{said}"
    );
    assert_eq!(broker.events().len(), 0, "nobody logged in");
    // Without the agent it is tried, and works.
    let file = cell.file.clone();
    let (report, _) = spawn_blocking(move || checked(&file))
        .await
        .expect("no panic");
    let (good, said) = verdict(&report, "MQTT login");
    assert!(
        good == Verdict::Well && said.contains("logged in as cell-7"),
        "{said}"
    );
    assert_eq!(broker.violations(), []);
}

#[tokio::test]
async fn an_agent_that_does_not_answer_may_be_using_everything() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    taken.set_nonblocking(true).expect("a socket");
    let target = taken.local_addr().expect("bound");
    let cell = cell(&format!("[routes.r]\ntarget = \"{target}\"\n"), absent());
    let server = Server::bind(&cell.folder.path().join("run")).expect("a folder");
    let file = cell.file.clone();
    let (report, code) = LocalSet::new()
        .run_until(async move {
            let (asks, asked) = mpsc::channel::<Ask>(1);
            // It is stopping: nobody takes what is asked.
            drop(asked);
            spawn_local(server.serve(asks, Heartbeat::new().watch("test")));
            spawn_blocking(move || checked(&file))
                .await
                .expect("no panic")
        })
        .await;
    assert_eq!(code, exit::NOT_WELL);
    assert_eq!(verdict(&report, "agent").0, Verdict::Unknown);
    assert_eq!(verdict(&report, "route r").0, Verdict::Unknown);
    assert!(taken.accept().is_err(), "nobody connected");
}

#[test]
fn reports_fit_a_terminal_whatever_is_in_them() {
    for content in [
        "",
        "\u{1b}[2J\n\n机",
        &"x".repeat(3000),
        &"a b ".repeat(300),
    ] {
        let items = vec![
            Item::well(content, content),
            Item::failed(content, content),
            Item::unknown(content, content),
        ];
        let report = Report(items);
        for line in report.text(false).lines() {
            assert!(
                line.chars().count() <= 80 && !line.contains(char::is_control),
                "{line:?}"
            );
        }
        assert!(!report.is_well() && report.json().contains("\"well\": false"));
    }
    let well = Report(vec![Item::well("clock", "it can be right")]);
    let wanted = "ok    clock                 it can be right\n\nall is well: 1 of 1\n";
    assert_eq!(well.text(false), wanted);
    assert!(
        well.text(true)
            .starts_with("\u{1b}[32mok    \u{1b}[0mclock"),
        "{:?}",
        well.text(true)
    );
}
