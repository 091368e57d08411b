//! The socket with real clients: good ones, slow ones, hostile ones.

use std::cell::Cell;
use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::{LocalSet, spawn_blocking, spawn_local};

use super::client::{self, AskError};
use super::*;
use crate::config::paths;
use crate::limits::{ASKS_MAX, CONTROL_CONNECTIONS, CONTROL_REQUEST_MAX, CONTROL_TRANSFER};
use crate::supervise::heartbeat::Heartbeat;

/// A folder of its own that is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("cg-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Serves at `folder` while `client` runs in a thread; every question is answered with what was asked.
async fn served<T: Send + 'static>(
    folder: &Path,
    client: impl FnOnce(PathBuf) -> T + Send + 'static,
) -> (T, u32) {
    let server = Server::bind(folder).expect("the folder is ours");
    let folder = folder.to_owned();
    let asked = Rc::new(Cell::new(0));
    let count = Rc::clone(&asked);
    let all = LocalSet::new();
    let told = all
        .run_until(async move {
            let (asks, mut asked) = mpsc::channel::<Ask>(ASKS_MAX);
            spawn_local(server.serve(asks, Heartbeat::new().watch("test")));
            spawn_local(async move {
                while let Some(ask) = asked.recv().await {
                    count.set(count.get() + 1);
                    let _ = ask.reply.send(echo(&ask.request));
                }
            });
            spawn_blocking(move || client(folder)).await
        })
        .await;
    (told.expect("the client does not panic"), asked.get())
}

fn echo(request: &Request) -> Reply {
    match request {
        Request::Open(notification) => Reply::Done(format!(
            "opened {} in {:?}",
            crate::ledger::name_of(&notification.access_token),
            notification.region.as_ref().map(|region| region.as_str())
        )),
        Request::Close(name) => Reply::Refused(format!("{name:?} is not open")),
        Request::Status => Reply::Done("status".to_owned()),
    }
}

/// What a client reads that writes this.
fn raw(folder: &Path, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(paths::socket(folder)).expect("the socket is there");
    let _ = stream.write_all(bytes);
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[tokio::test]
async fn the_three_requests_come_through() {
    let folder = Folder::new("three");
    let (told, asked) = served(&folder.0, |folder| {
        let json = b"\n{\"clientAccessToken\":\"AQGAAXh\",\n\"clientMode\":\"destination\",\"region\":\"eu-central-1\"}\n";
        vec![
            client::open(&folder, json).expect("an answer"),
            client::open(&folder, b"AQ\"GA\\AXh\n").expect("an answer"),
            client::close(&folder, Some("1a2b")).expect("an answer"),
            client::close(&folder, None).expect("an answer"),
            client::status(&folder).expect("an answer"),
        ]
    })
    .await;
    let name = |token: &str| crate::ledger::name_of(&crate::secret::Secret::new(token.into()));
    assert_eq!(
        told,
        [
            Reply::Done(format!(
                "opened {} in Some(\"eu-central-1\")",
                name("AQGAAXh")
            )),
            Reply::Done(format!("opened {} in None", name("AQ\"GA\\AXh"))),
            Reply::Refused("Some(\"1a2b\") is not open".into()),
            Reply::Refused("None is not open".into()),
            Reply::Done("status".into()),
        ]
    );
    assert_eq!(asked, 5);
}

#[tokio::test]
async fn what_is_no_tunnel_for_us_is_refused_before_it_is_sent_and_never_shown() {
    let folder = Folder::new("refused");
    for given in [
        &b""[..],
        b"AQGA secret",
        b"{\"clientAccessToken\":\"secret\"",
        b"{\"clientAccessToken\":\"secret\",\"clientMode\":\"source\",\"region\":\"eu-central-1\"}",
        b"\xff\xfe secret",
    ] {
        match client::open(&folder.0, given) {
            Err(AskError::Request(error)) => assert!(!error.to_string().contains("secret")),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn bad_requests_are_refused_without_reaching_the_agent() {
    let folder = Folder::new("bad");
    let (told, asked) = served(&folder.0, |folder| {
        let long = [b"{\"open_token\":\"", &b"A".repeat(CONTROL_REQUEST_MAX)[..]].concat();
        let deep = [&b"[".repeat(4000)[..], b"\n"].concat();
        [
            raw(&folder, b"\n"),
            raw(&folder, b"GET / HTTP/1.1\r\n\r\n"),
            raw(&folder, b"{\"format\":\"disk\"}\n"),
            raw(&folder, b"{\"close\":\"../x\"}\n"),
            raw(&folder, b"{\"open_token\":\"sec ret\"}\n"),
            raw(&folder, b"{\"open\":{\"clientAccessToken\":\"secret\"}}\n"),
            raw(&folder, b"\xff\xfe\n"),
            raw(&folder, &deep),
            raw(&folder, &long),
        ]
    })
    .await;
    for (number, answer) in told.iter().enumerate() {
        let refused = answer.starts_with("{\"refused\":") || (number == 8 && answer.is_empty());
        assert!(refused && !answer.contains("secret"), "{number}: {answer}");
    }
    assert_eq!(asked, 0);
}

#[tokio::test]
async fn silent_clients_in_every_place_keep_others_out_for_a_bounded_time_only() {
    let folder = Folder::new("silent");
    let (waited, asked) = served(&folder.0, |folder| {
        let start = Instant::now();
        let connect = |_| UnixStream::connect(paths::socket(&folder)).expect("the socket is there");
        let silent: Vec<UnixStream> = (0..CONTROL_CONNECTIONS).map(connect).collect();
        let answer = client::status(&folder).expect("an answer, in the end");
        assert_eq!(answer, Reply::Done("status".into()));
        drop(silent);
        start.elapsed()
    })
    .await;
    assert!(
        waited < CONTROL_TRANSFER + Duration::from_secs(5),
        "{waited:?}"
    );
    assert_eq!(asked, 1);
}

#[tokio::test]
async fn clients_that_go_away_cost_nothing() {
    let folder = Folder::new("gone");
    let (told, asked) = served(&folder.0, |folder| {
        for round in 0..200 {
            let mut stream = UnixStream::connect(paths::socket(&folder)).expect("the socket");
            let part: &[u8] = match round % 3 {
                0 => b"",
                1 => b"\"stat",
                _ => b"\"status\"\n",
            };
            let _ = stream.write_all(part);
        }
        client::status(&folder).expect("an answer")
    })
    .await;
    assert_eq!(told, Reply::Done("status".into()));
    assert!((1..=68).contains(&asked), "{asked}");
}

#[tokio::test]
async fn the_folder_has_one_agent_and_the_socket_its_mode() {
    let folder = Folder::new("lock");
    let server = Server::bind(&folder.0).expect("the folder is ours");
    let socket = paths::socket(&folder.0);
    let metadata = fs::metadata(&socket).expect("the socket is there");
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.mode() & 0o7777, 0o660);
    assert_eq!(metadata.gid(), nix::unistd::getegid().as_raw());
    assert_eq!(fs::metadata(&folder.0).expect("made").mode() & 0o777, 0o750);
    match Server::bind(&folder.0) {
        Err(error @ BindError::InUse(_, Some(_))) => {
            let own = format!("process {}", std::process::id());
            assert!(error.to_string().contains(&own), "{error}");
        }
        other => panic!("{other:?}"),
    }
    drop(server);
    assert!(!socket.exists());
    assert!(matches!(
        client::status(&folder.0),
        Err(AskError::NoAgent(_))
    ));
}

#[tokio::test]
async fn what_a_killed_agent_left_is_replaced() {
    let folder = Folder::new("stale");
    let socket = paths::socket(&folder.0);
    fs::create_dir_all(folder.0.join(".new")).expect("a writable folder");
    drop(std::os::unix::net::UnixListener::bind(folder.0.join(".new/s")).expect("a socket"));
    drop(std::os::unix::net::UnixListener::bind(&socket).expect("a socket"));
    fs::write(folder.0.join("lock"), "4194304000\n").expect("a writable folder");
    assert!(matches!(
        client::status(&folder.0),
        Err(AskError::NoAgent(_))
    ));
    let server = Server::bind(&folder.0).expect("nobody holds the lock");
    assert_eq!(fs::metadata(&socket).expect("there").mode() & 0o777, 0o660);
    assert!(!folder.0.join(".new").exists());
    drop(server);
}

#[tokio::test]
async fn folders_that_cannot_be_believed_are_refused() {
    let folder = Folder::new("open");
    fs::create_dir_all(&folder.0).expect("a writable folder");
    fs::set_permissions(&folder.0, Permissions::from_mode(0o777)).expect("ours");
    assert!(matches!(Server::bind(&folder.0), Err(BindError::Open(_))));
    fs::set_permissions(&folder.0, Permissions::from_mode(0o1777)).expect("ours");
    // A lock that leads elsewhere is somebody's trick.
    std::os::unix::fs::symlink("/dev/null", folder.0.join("lock")).expect("a link");
    assert!(matches!(
        Server::bind(&folder.0),
        Err(BindError::System("open the lock", ..))
    ));
    let long = folder.0.join("x".repeat(100));
    assert!(matches!(Server::bind(&long), Err(BindError::Long(_))));
    let file = folder.0.join("file");
    fs::write(&file, "").expect("a writable folder");
    assert!(matches!(Server::bind(&file), Err(BindError::System(..))));
}

/// Another user of the machine, as far as this test may become one.
fn as_nobody(groups: &str, socket: &Path) -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return None;
    }
    let script = r#"use Socket; alarm 30; socket($s, AF_UNIX, SOCK_STREAM, 0) or die $!;
        connect($s, sockaddr_un($ARGV[0])) or die "connect: $!"; syswrite $s, "\"status\"\n"; print <$s>"#;
    let output = Command::new("setpriv")
        .args([
            "--reuid=65534",
            "--regid=65534",
            groups,
            "/usr/bin/perl",
            "-e",
            script,
        ])
        .arg(socket)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let said = [output.stdout, output.stderr].concat();
    Some(String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test]
async fn strangers_are_kept_out_twice_and_members_of_the_group_are_not() {
    let folder = Folder::new("peer");
    let (told, asked) = served(&folder.0, |folder| {
        let socket = paths::socket(&folder);
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).expect("ours");
        let kept_out = as_nobody("--clear-groups", &socket);
        let member = as_nobody("--groups=0", &socket);
        fs::set_permissions(&socket, Permissions::from_mode(0o666)).expect("ours");
        let widened = as_nobody("--clear-groups", &socket);
        kept_out.zip(member).zip(widened)
    })
    .await;
    let Some(((kept_out, member), widened)) = told else {
        eprintln!("skipped: only root with setpriv can become another user");
        return;
    };
    assert!(
        kept_out.contains("connect: Permission denied"),
        "{kept_out}"
    );
    assert!(member.contains("{\"done\":\"status\"}"), "{member}");
    assert!(
        widened.contains("{\"refused\":\"your user is neither"),
        "{widened}"
    );
    assert_eq!(asked, 1);
}
