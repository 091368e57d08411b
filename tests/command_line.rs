//! The command line of the real binary: what it prints, how it ends, and what `/proc` shows of it.

use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

const CONFIG_FAULT: i32 = 78;

/// How long the agent may take to dial.
const LIMIT: Duration = Duration::from_secs(20);

/// cellgate without the environment of the test.
fn cellgate(args: &[&str]) -> Command {
    let mut command = Command::new(cell::agent::under_test(env!("CARGO_BIN_EXE_cellgate")));
    command.args(args).env_clear().stdin(Stdio::null());
    command
}

fn output(args: &[&str]) -> Output {
    cellgate(args).output().expect("the binary runs")
}

#[test]
fn help_and_version_go_to_standard_output() {
    for (flag, start) in [
        ("--help", "cellgate: the destination side"),
        ("-V", "cellgate 0."),
    ] {
        let output = output(&[flag]);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.starts_with(start) && !said.ends_with("\n\n"), "{said}");
        assert!(output.status.success() && output.stderr.is_empty());
    }
}

#[test]
fn faults_go_to_standard_error_with_78() {
    let output = output(&["-k", "-d", "0", "--region", "EU"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(CONFIG_FAULT), "{said}");
    assert!(
        said.starts_with("4 faults in the configuration:\n  -d/"),
        "{said}"
    );
    assert!(output.stdout.is_empty());
}

/// A running agent that is killed at the end of the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_running_agent_shows_no_token_in_proc() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = listener.local_addr().expect("a port").to_string();
    let client = "client-secret-0123456789-0123456789";
    let args = [
        "-d",
        "22",
        "-e",
        &endpoint,
        "-t",
        "flag-secret",
        "-i",
        client,
        "-v0",
    ];
    let mut command = cellgate(&args);
    command.env("AWSIOT_TUNNEL_ACCESS_TOKEN", "variable-secret");
    command.env("AWSIOT_TUNNEL_CLIENT_TOKEN", client);
    let agent = Running(command.spawn().expect("the binary runs"));
    // It dials when everything is read and wiped.
    let (dialled, dials) = mpsc::channel();
    std::thread::spawn(move || dialled.send(listener.accept()));
    let _link = dials.recv_timeout(LIMIT).expect("the agent dials in time");
    for file in ["cmdline", "environ"] {
        let path = format!("/proc/{}/{file}", agent.0.id());
        let bytes = std::fs::read(path).expect("the agent's own /proc");
        let shown = String::from_utf8_lossy(&bytes).replace('\0', " ");
        assert!(
            shown.contains("***") && !shown.contains("secret"),
            "{file}: {shown}"
        );
    }
}
