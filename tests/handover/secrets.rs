//! Tokens and the proxy's password: where they must not be.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use cell::notification;
use cell::proxy::{Proxy, ProxyOptions};
use cell::target::Behaviour;
use tokio::io::AsyncWriteExt as _;

use crate::gateway::Cell;
use crate::skipped;
use crate::stage::{AGENT, LIMIT};

/// Whether `bytes` hold the beginning or the end of a token. A part would be enough for nobody, but would be a leak.
fn holds(bytes: &[u8], secret: &str) -> bool {
    let (first, last) = (
        &secret[..24.min(secret.len())],
        &secret[secret.len().saturating_sub(24)..],
    );
    [first, last].iter().any(|part| {
        bytes
            .windows(part.len())
            .any(|window| window == part.as_bytes())
    })
}

/// Looks at every process of the machine, as another user with `ps` would; how many there were.
fn no_process_shows(secret: &str) -> usize {
    let mut seen = 0;
    for entry in fs::read_dir("/proc").expect("/proc").flatten() {
        let name = entry.file_name();
        if !name
            .to_string_lossy()
            .bytes()
            .all(|byte| byte.is_ascii_digit())
        {
            continue;
        }
        for file in ["cmdline", "environ"] {
            // It may be gone by now.
            let Ok(bytes) = fs::read(entry.path().join(file)) else {
                continue;
            };
            seen += 1;
            assert!(!holds(&bytes, secret), "{} of {name:?}", file);
        }
    }
    seen
}

/// `open` is held in the middle of its input, and then asked by a file that never ends: all the while nobody sees
/// the token.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_open_runs_no_process_shows_the_token() {
    let cell = Cell::start().await;
    let tunnel = cell.tunnel();
    let mut open = tokio::process::Command::new(cell::agent::under_test(AGENT))
        .args(["open", "--config"])
        .arg(cell.gateway.file())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("it starts");
    let mut input = open.stdin.take().expect("a pipe");
    let payload = notification::payload(&tunnel);
    input.write_all(&payload).await.expect("it reads");
    // It has read all and waits for the end of its input.
    let pid = open.id().expect("it runs");
    let end = Instant::now() + LIMIT;
    let waits = || {
        let wait = fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
        // read(0, …), with nothing left in the pipe.
        wait.starts_with("0 0x0 ") || wait.starts_with("63 0x0 ")
    };
    while !waits() && Instant::now() < end && fs::metadata("/proc/self/syscall").is_ok() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(no_process_shows(&tunnel.destination_token) > 4);
    drop(input);
    let ran = open.wait_with_output().await.expect("it ends");
    assert!(ran.status.success(), "{ran:?}");
    cell.connected(&tunnel).await;
    assert!(no_process_shows(&tunnel.destination_token) > 4);
    cell.carries(&tunnel).await;
    cell.end().await;
}

/// Lines of a trace in which something is written that holds the secret: descriptor and path, as `-y` shows them.
fn written(trace: &str, secret: &str) -> Vec<String> {
    let calls = [
        "write(",
        "writev(",
        "pwrite64(",
        "sendto(",
        "sendmsg(",
        "sendmmsg(",
    ];
    let writes =
        |line: &&str| calls.iter().any(|call| line.contains(call)) || line.contains("resumed>");
    let mut places = Vec::new();
    for line in trace
        .lines()
        .filter(writes)
        .filter(|line| holds(line.as_bytes(), secret))
    {
        let call = line.find('(').map_or("", |at| &line[at + 1..]);
        places.push(call.chars().take_while(|c| *c != ',').collect());
    }
    places
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_the_agent_writes_holds_a_secret() {
    const PASSWORD: &str = "hunter2xyzzy-very-secret-indeed";
    let test = "nothing_that_the_agent_writes_holds_a_secret";
    let folder = cell::agent::Folder::new("cell-trace").expect("a folder");
    let trace = folder.path().join("trace");
    if !traces(&folder.path().join("trial")) {
        skipped(&format!(
            "{test}: strace (Debian package strace) cannot trace here"
        ));
        return;
    }
    let proxy = Proxy::start(ProxyOptions {
        login: Some(("robot".to_owned(), PASSWORD.to_owned())),
        ..ProxyOptions::default()
    });
    let proxy = proxy.await.expect("a free port");
    // -D: the agent keeps its process, and the tracer stands beside it.
    let tracer = format!("strace -D -f -y -s 4000 -o {}", trace.display());
    let tracer: Vec<&str> = tracer.split(' ').collect();
    let mut cell = Cell::with(
        Behaviour::Echo,
        |file| {
            let url = format!("url = \"http://robot:{PASSWORD}@{}\"", proxy.address());
            file.table("proxy", &url)
        },
        |agent| agent.wrapper(tracer).args(["-v", "6"]),
    )
    .await;
    let tunnel = cell.opened().await;
    cell.carries(&tunnel).await;
    let rejoin = fs::read_to_string(cell.gateway.rejoin()).expect("one is live");
    let rejoin: serde_json::Value = serde_json::from_str(&rejoin).expect("JSON");
    let client_token = rejoin["tunnels"][0]["client_token"]
        .as_str()
        .expect("a token")
        .to_owned();
    assert_eq!(
        rejoin["tunnels"][0]["access_token"],
        tunnel.destination_token
    );
    for arguments in [&["status"][..], &["status", "--json"], &["close"]] {
        let ran = cell.run(arguments, b"").await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(
            !holds(format!("{ran:?}").as_bytes(), &client_token),
            "{ran:?}"
        );
        assert!(!holds(format!("{ran:?}").as_bytes(), PASSWORD), "{ran:?}");
    }
    cell.status_that(|status| status["places"]["taken"] == 0)
        .await;
    for file in ["cmdline", "environ"] {
        let bytes = fs::read(format!("/proc/{}/{file}", cell.agent.pid())).expect("it runs");
        for secret in [&tunnel.destination_token, &client_token, PASSWORD] {
            assert!(!holds(&bytes, secret), "{file}");
        }
    }
    cell.agent
        .signal(cell::agent::Signal::SIGTERM)
        .expect("it runs");
    assert_eq!(cell.agent.wait_exit(LIMIT).await.expect("it ends"), 0);
    // The tracer is another process, and may still write.
    let end = Instant::now() + LIMIT;
    let text = loop {
        let text = String::from_utf8_lossy(&fs::read(&trace).expect("a trace")).into_owned();
        if text.contains("+++ exited with 0 +++") {
            break text;
        }
        assert!(Instant::now() < end, "the trace has no end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };

    // The trace does show what is written: the rejoin file, and nothing else.
    for secret in [&tunnel.destination_token, &client_token] {
        let places = written(&text, secret);
        assert!(
            !places.is_empty(),
            "the trace shows no write of the rejoin file"
        );
        for place in &places {
            assert!(place.contains("/rejoin."), "a token is written to {place}");
        }
    }
    // Basic credentials of a plain proxy are in the clear on its socket, in base64; the password is nowhere.
    assert_eq!(written(&text, PASSWORD), [""; 0]);
    let basic = data_encoding::BASE64.encode(format!("robot:{PASSWORD}").as_bytes());
    let places = written(&text, &basic);
    assert!(!places.is_empty(), "the proxy was never asked");
    for place in &places {
        assert!(
            place.contains("<socket:") || place.contains("<TCP"),
            "the login is written to {place}"
        );
    }
    let lines = [
        cell.agent.log(),
        cell.gateway.audit_lines().expect("an audit"),
    ];
    assert!(lines.iter().all(|lines| !lines.is_empty()));
    for line in lines.iter().flatten() {
        for secret in [&tunnel.destination_token, &client_token, PASSWORD, &basic] {
            assert!(!holds(line.as_bytes(), secret), "{line}");
        }
    }
}

/// Whether strace is there and may trace.
fn traces(output: &Path) -> bool {
    let trial = std::process::Command::new("strace")
        .args(["-D", "-f", "-y", "-o"])
        .arg(output)
        .arg("true")
        .stderr(Stdio::piped())
        .output();
    let works = trial.is_ok_and(|trial| trial.status.success());
    let _ = std::io::stderr().flush();
    works && fs::metadata(output).is_ok()
}
