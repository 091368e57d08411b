//! Gathering from a real ledger, and the file.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::file::StatusFile;
use super::*;
use crate::access::Verdict;
use crate::config::{Config, Start};
use crate::ledger::Ledger;
use crate::ledger::stream::StreamEntry;
use crate::ledger::tunnel::{Came, TunnelEntry, TunnelState};
use crate::limits::{CONTROL_REPLY_MAX, POOL_BLOCKS, STATUS_STREAMS_MAX, TUNNEL_LIFETIME};
use crate::protocol::ids::{ConnectionId, ServiceId, StreamId};
use crate::protocol::message::Address;
use crate::relay::pool::Pool;

fn gatherer() -> Gatherer {
    let args = [
        "-d",
        "robot1=127.0.0.1:1",
        "-e",
        "localhost:1",
        "-t",
        "token",
    ];
    let args = args.into_iter().map(Into::into);
    let Ok(Start::Run { config, .. }) = Config::load(args, &mut |_| None) else {
        panic!("the command line is good");
    };
    Gatherer::new(&config, Pool::new(POOL_BLOCKS))
}

fn tunnel(ledger: &Ledger, name: &str, now: Instant) -> Rc<TunnelEntry> {
    ledger.open_tunnel(name.into(), Came::HandedOver, None, Duration::ZERO, now)
}

fn stream(
    tunnel: &Rc<TunnelEntry>,
    service: &str,
    connection: u32,
    now: Instant,
) -> Rc<StreamEntry> {
    let address = Address {
        stream: StreamId::new(1).expect("an ID"),
        service: ServiceId::new(service),
        connection: ConnectionId::new(connection),
    };
    StreamEntry::open(tunnel, &address, "192.168.0.2:23".into(), now)
}

fn sight<'a>(ledger: &'a Ledger, access: &'a Verdict) -> Sight<'a> {
    Sight {
        ledger,
        board: None,
        access,
    }
}

#[test]
fn what_lives_is_told_in_numbers() {
    let ledger = Ledger::new(Rc::default());
    let on = Verdict::On("no key switch".into());
    let mut gatherer = gatherer();
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let status = gatherer.take(&sight(&ledger, &on), at(0));
    assert_eq!((status.state, status.places.taken), (State::Ready, 0));
    let tunnel = tunnel(&ledger, "1a2b3c4d", at(0));
    let robot = stream(&tunnel, "robot1", 1, at(0));
    let status = gatherer.take(&sight(&ledger, &on), at(1));
    assert_eq!(status.tunnels[0].streams[0].state, "connecting");
    tunnel.set_state(TunnelState::Up, at(1));
    robot.connected();
    robot.count_down(4_000, at(2));
    robot.count_up(100, at(2));
    let status = gatherer.take(&sight(&ledger, &on), at(5));
    assert_eq!(status.state, State::Connected);
    let shown = &status.tunnels[0];
    assert!(shown.up && shown.came == "cellgate open" && shown.since_seconds == 4);
    assert_eq!(
        (shown.down_bytes, shown.up_bytes, shown.streams_ever),
        (4_000, 100, 1)
    );
    assert_eq!(shown.lifetime_left_seconds, TUNNEL_LIFETIME.as_secs() - 5);
    let one = &shown.streams[0];
    assert_eq!(
        (one.state.as_str(), one.age_seconds, one.idle_seconds),
        ("open", 5, 3)
    );
    assert_eq!((one.down_rate, one.up_rate), (1_000, 25));
    // A second look at once tells the same rates; a later one sees that nothing flows.
    let status = gatherer.take(&sight(&ledger, &on), at(5));
    assert_eq!(status.tunnels[0].streams[0].down_rate, 1_000);
    let status = gatherer.take(&sight(&ledger, &on), at(9));
    assert_eq!(status.tunnels[0].streams[0].down_rate, 0);
    robot.finishing("the source ended it");
    robot.end(at(9));
    drop(robot);
    // Another one in its place does not inherit its counts.
    let next = stream(&tunnel, "robot1", 2, at(9));
    next.count_up(1_000, at(10));
    let status = gatherer.take(&sight(&ledger, &on), at(11));
    assert_eq!(status.tunnels[0].streams[0].up_rate, 500);
    ledger.end_tunnel(&tunnel, "closed", at(12));
    assert!(
        gatherer
            .take(&sight(&ledger, &on), at(13))
            .tunnels
            .is_empty()
    );
}

#[test]
fn a_status_of_everything_at_once_fits_the_socket() {
    let ledger = Ledger::new(Rc::default());
    let on = Verdict::On("x".repeat(200));
    let now = Instant::now();
    let service = "s".repeat(crate::limits::SERVICE_ID_MAX);
    let mut streams = Vec::new();
    for name in ["11111111", "22222222", "33333333", "44444444"] {
        let tunnel = tunnel(&ledger, name, now);
        *tunnel.last_error.borrow_mut() = Some("\"".repeat(2_000));
        for connection in 1..=128 {
            let entry = stream(&tunnel, &service, connection, now);
            entry.count_down(usize::MAX >> 8, now);
            streams.push(entry);
        }
    }
    let status = gatherer().take(&sight(&ledger, &on), now);
    let listed: usize = status
        .tunnels
        .iter()
        .map(|tunnel| tunnel.streams.len())
        .sum();
    assert_eq!(listed, STATUS_STREAMS_MAX);
    assert_eq!(status.streams_left_out, 512 - STATUS_STREAMS_MAX);
    let json = serde_json::to_vec(&status).expect("JSON");
    assert!(json.len() < CONTROL_REPLY_MAX, "{}", json.len());
}

#[test]
fn the_file_is_replaced_whole_readable_by_all_and_removed_at_the_end() {
    let folder = cell::agent::Folder::new("status").expect("a folder");
    let path = crate::config::paths::status(folder.path());
    fs::write(folder.path().join(".status.json.new"), "of a killed one").expect("written");
    let ledger = Ledger::new(Rc::default());
    let on = Verdict::On("no key switch".into());
    let status = gatherer().take(&sight(&ledger, &on), Instant::now());
    let mut file = StatusFile::new(folder.path());
    file.write(&status);
    let first = fs::metadata(&path).expect("written");
    assert_eq!(first.permissions().mode() & 0o777, 0o644);
    file.write(&status);
    assert_ne!(fs::metadata(&path).expect("written").ino(), first.ino());
    let json = fs::read_to_string(&path).expect("written");
    assert_eq!(
        serde_json::from_str::<Status>(&json).expect("a status"),
        status
    );
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
    drop(file);
    assert!(!path.exists());
    // A folder that is gone is no reason to stop.
    let gone = folder.path().join("gone");
    let mut file = StatusFile::new(&gone);
    file.write(&status);
    file.write(&status);
    fs::create_dir(&gone).expect("a folder");
    file.write(&status);
    assert!(crate::config::paths::status(&gone).exists());
}
