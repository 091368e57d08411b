//! Faults of the file: each with its line, and all of them at once.

use super::*;

/// A file with most of what can be wrong, and below it all that is said about it.
const BAD: &str = r#"thing = "cell 42"
default = "robot9"
colour = "blue"
[tunnel]
endpoint = "wss://localhost:8443"
ca = 7
[routes.robot1]
target = "192.168.0.2"
target = "192.168.0.3:23"
connections = 65
stall = "0s"
idle = 8
pace = 0
source = "no such interface"
[routes.robot2]
connections = 0
stall = "10 parsecs"
port = 23
[routes."robot 3"]
target = "192.168.0.300:70000"
[notify]
endpoint = "abc-ats.iot.eu-central-1.amazonaws.com"
"#;

const SAID: &str = r#"20 faults in the configuration:
  FILE:1: thing: got "cell 42"; expected a thing name of 1 to 128 letters, digits, ":", "_" and "-"; write the thing name exactly as AWS has it
  FILE:2: default: got "robot9"; expected the name of a route: robot 3, robot1, robot2; name one of them, or delete the key
  FILE:3: colour: got an unknown key; expected one of: thing, default, tunnel, routes, notify, proxy, access, places, paths, watchdog; correct the spelling, or delete it
  FILE:5: tunnel.endpoint: got "wss://localhost:8443"; expected a host, and a port if it is not 443; leave out the scheme and the path: cellgate adds them
  FILE:6: tunnel.ca: got the number 7; expected text in quotation marks; write ca = "/etc/cellgate/extra-ca.pem"
  FILE:8: routes.robot1.target: got "192.168.0.2" (there is no port); expected host:port; write for example "192.168.0.2:23", "[fd00::2]:23" or "robot1.lan:23"
  FILE:9:1: routes.robot1.target: got this a second time; expected each key and each table once; keep what is right and delete the other
  FILE:10: routes.robot1.connections: got the number 65; expected a whole number from 1 to 64; write for example connections = 64
  FILE:11: routes.robot1.stall: got "0s"; expected a duration from 100ms to 1h; write a number with its unit, for example stall = "10s"
  FILE:12: routes.robot1.idle: got the number 8; expected text in quotation marks; write idle = "8h"
  FILE:13: routes.robot1.pace: got the number 0; expected a whole number from 1 to 4294967295; write for example pace = 4000
  FILE:14: routes.robot1.source: got "no such interface"; expected an address or a network interface of this gateway; see `ip address`; write for example "eth1" or "192.168.0.1"
  FILE:15: routes.robot2.target: got nothing; expected the address of the controller; write target = "192.168.0.2:23"
  FILE:16: routes.robot2.connections: got the number 0; expected a whole number from 1 to 64; write for example connections = 64
  FILE:17: routes.robot2.stall: got "10 parsecs"; expected a duration from 100ms to 1h; write a number with its unit, for example stall = "10s"
  FILE:18: routes.robot2.port: got an unknown key; expected one of: target, connections, stall, idle, session, pace, source; correct the spelling, or delete it
  FILE:19: routes."robot 3": got "robot 3"; expected a service ID of 1 to 128 letters, digits, ":", "_" and "-"; write the service ID exactly as AWS has it
  FILE:20: routes."robot 3".target: got the port "70000"; expected a port from 1 to 65535; a Kawasaki controller listens on 23, the tunnelling service on 443
  FILE:21: notify.certificate: got nothing; expected the device certificate, in PEM; write certificate = "/etc/cellgate/device.pem.crt"
  FILE:21: notify.key: got nothing; expected the private key of the device certificate, in PEM; write key = "/etc/cellgate/device.pem.key"
"#;

#[test]
fn every_fault_at_once() {
    let folder = Folder::new("golden");
    let file = folder.write("cellgate.toml", BAD);
    let faults = load(&["--config", &file], &[]).expect_err("a bad file");
    assert_eq!(faults.to_string().replace(&file, "FILE"), SAID.trim_end());
}

#[test]
fn each_fault_has_its_line_and_key() {
    const HEAD: &str = "tunnel.region = \"eu-central-1\"\n[routes.r]\ntarget = \"h:1\"\n";
    let folder = Folder::new("lines");
    for (line, said) in [
        // Wrong values.
        ("stall = \"0s\"", ":4: routes.r.stall: got \"0s\"; "),
        ("stall = \"2h\"", ":4: routes.r.stall: got \"2h\"; "),
        ("stall = \"10\"", ":4: routes.r.stall: got \"10\"; "),
        ("stall = \"\"", ":4: routes.r.stall: got \"\"; "),
        ("stall = \"-1s\"", ":4: routes.r.stall: got \"-1s\"; "),
        ("idle = \"25h\"", ":4: routes.r.idle: got \"25h\"; "),
        (
            "idle = \"99999999999999999999s\"",
            ":4: routes.r.idle: got ",
        ),
        (
            "connections = 0",
            ":4: routes.r.connections: got the number 0; ",
        ),
        (
            "connections = 65",
            ":4: routes.r.connections: got the number 65; ",
        ),
        (
            "connections = -1",
            ":4: routes.r.connections: got the number -1; ",
        ),
        (
            "connections = 99999999999999999999",
            ":4: routes.r.connections: got the number 9",
        ),
        ("pace = 0", ":4: routes.r.pace: got the number 0; "),
        (
            "pace = 4294967296",
            ":4: routes.r.pace: got the number 4294967296; ",
        ),
        ("source = \"\"", ":4: routes.r.source: got \"\"; "),
        (
            "source = \"192.168.0\"",
            ":4: routes.r.source: got \"192.168.0\"; ",
        ),
        ("source = \"192.168.0.1:23\"", ":4: routes.r.source: got "),
        (
            "source = \"an-interface-too-long\"",
            ":4: routes.r.source: got ",
        ),
        // Wrong types.
        (
            "stall = 10",
            ":4: routes.r.stall: got the number 10; expected text",
        ),
        (
            "stall = 1.5",
            ":4: routes.r.stall: got the number 1.5; expected text",
        ),
        (
            "stall = [\"1s\"]",
            ":4: routes.r.stall: got a list; expected text",
        ),
        (
            "stall = {}",
            ":4: routes.r.stall: got a table; expected text",
        ),
        (
            "stall = 07:32:00",
            ":4: routes.r.stall: got a date or a time; ",
        ),
        (
            "connections = 1_0\u{0}",
            ":4: routes.r.connections: got the number 10\\0; ",
        ),
        (
            "connections = \"1\"",
            ":4: routes.r.connections: got the text \"1\"; ",
        ),
        ("connections = true", ":4: routes.r.connections: got true; "),
        (
            "connections = 1.0",
            ":4: routes.r.connections: got the number 1.0; ",
        ),
        // Unknown and repeated keys.
        (
            "Stall = \"10s\"",
            ":4: routes.r.Stall: got an unknown key; ",
        ),
        (
            "\"st\\nall\" = \"10s\"",
            ":4: routes.r.\"st\\nall\": got an unknown key; ",
        ),
        ("stall.max = \"10s\"", ":4: routes.r.stall: got a table; "),
        (
            "target = \"h:2\"",
            ":4:1: routes.r.target: got this a second time; ",
        ),
        ("[routes.r]", ":4:9: routes.r: got this a second time; "),
        ("[tunnel]", ":4:2: tunnel: got this a second time; "),
        ("[watchdogs]", ":4: watchdogs: got an unknown table; "),
        ("[[watchdogs]]", ":4: watchdogs: got an unknown key; "),
        ("[[access]]", ":4: access: got a list; expected a table; "),
        ("session = \"0s\"", ":4: routes.r.session: got \"0s\"; "),
        ("session = \"25h\"", ":4: routes.r.session: got \"25h\"; "),
        ("session = 4", ":4: routes.r.session: got the number 4; "),
        (
            "[routes.r.inner]",
            ":4: routes.r.inner: got an unknown table; ",
        ),
        // Routes.
        ("[routes.q]", ":4: routes.q.target: got nothing; "),
        (
            "[routes.q]\ntarget = 23",
            ":5: routes.q.target: got the number 23; ",
        ),
        (
            "[routes.q]\ntarget = \"h\"",
            ":5: routes.q.target: got \"h\" (there is no port); ",
        ),
        (
            "[routes.\"\"]\ntarget = \"h:1\"",
            ":4: routes.\"\": got \"\"; expected a service ID",
        ),
        (
            "[routes.\"a.b\"]\ntarget = \"h:1\"",
            ":4: routes.\"a.b\": got \"a.b\"; ",
        ),
        // Syntax.
        ("stall = 10s", ":4:9: got \"stall = 10s\" ("),
        ("stall", ":4:6: got \"stall\" ("),
        ("stall = \"10s", ":4:13: got "),
        ("[routes.q", ":4:10: got \"[routes.q\" ("),
        ("= 3", ":4:1: got \"= 3\" ("),
        ("\u{1}", ":4:2: got \"\\u{1}\" ("),
    ] {
        let file = folder.write("cellgate.toml", format!("{HEAD}{line}\n"));
        let faults = wrong(&["--config", &file]);
        let said = format!("{file}{said}");
        assert!(faults[0].starts_with(&said), "{line}: {faults:#?}\n{said}");
        assert_eq!(faults.len(), 1, "{line}: {faults:#?}");
    }
}

#[test]
fn faults_of_the_upper_tables() {
    const ROUTE: &str = "[routes.r]\ntarget = \"h:1\"\n";
    let folder = Folder::new("upper");
    for (head, said) in [
        ("", "configuration: got neither region nor endpoint; "),
        (
            "[tunnel]\n",
            "configuration: got neither region nor endpoint; ",
        ),
        (
            "tunnel = 3\n",
            "FILE:1: tunnel: got the number 3; expected a table; ",
        ),
        (
            "[tunnel]\nregion = \"EU\"\n",
            "FILE:2: tunnel.region: got \"EU\"; ",
        ),
        (
            "[tunnel]\nregion = 1\n",
            "FILE:2: tunnel.region: got the number 1; ",
        ),
        (
            "[tunnel]\nendpoint = \"h:0\"\n",
            "FILE:2: tunnel.endpoint: got the port \"0\"; ",
        ),
        (
            "[tunnel]\nendpoint = \"h\"\nregion = \"eu-1\"\n",
            "FILE:3: tunnel.region: got an endpoint (FILE:2: tunnel.endpoint) and a region; ",
        ),
        (
            "[tunnel]\nregion = \"eu-1\"\nca = \"/nowhere/ca.pem\"\n",
            "FILE:3: tunnel.ca: got no content (No such file",
        ),
        (
            "thing = \"\"\ntunnel.region = \"eu-1\"\n",
            "FILE:1: thing: got \"\"; ",
        ),
        (
            "default = \"x\"\ntunnel.region = \"eu-1\"\n",
            "FILE:1: default: got \"x\"; expected the name of a route: r; ",
        ),
        (
            "tunnel.regoin = \"eu-1\"\ntunnel.region = \"eu-1\"\n",
            "FILE:1: tunnel.regoin: got an",
        ),
    ] {
        let file = folder.write("cellgate.toml", format!("{head}{ROUTE}"));
        let faults = wrong(&["--config", &file]);
        let shown = faults[0].replace(&file, "FILE");
        assert!(shown.starts_with(said), "{head}: {faults:#?}");
        assert_eq!(faults.len(), 1, "{head}: {faults:#?}");
    }
}

#[test]
fn routes_are_needed_and_bounded() {
    let folder = Folder::new("bounded");
    let head = "tunnel.region = \"eu-central-1\"\n";
    for (routes, count) in [(0, 1), (64, 0), (65, 1)] {
        let route = |n: usize| format!("[routes.r{n}]\ntarget = \"h:{}\"\n", n + 1);
        let routes: String = (0..routes).map(route).collect();
        let file = folder.write("cellgate.toml", format!("{head}{routes}"));
        let found = load(&["--config", &file], &[TOKEN]);
        let faults = found.map_or_else(|faults| faults.len(), |_| 0);
        assert_eq!(faults, count, "{routes}");
    }
}

#[test]
fn a_broken_line_hides_no_fault_above_it_and_invents_none() {
    let folder = Folder::new("broken");
    // The target may stand in the broken line: it is not missed.
    let text = "tunnel.regoin = \"x\"\n[routes.r]\ntarget 192.168.0.2:23\nstall = \"0s\"\n";
    let file = folder.write("cellgate.toml", text);
    let faults = wrong(&["--config", &file]);
    let places: Vec<&str> = faults
        .iter()
        .map(|fault| fault.strip_prefix(&file).expect("all are in the file"))
        .collect();
    assert!(
        places[0].starts_with(":1: tunnel.regoin: got an unknown key"),
        "{faults:#?}"
    );
    assert!(places[1].starts_with(":3:"), "{faults:#?}");
    assert!(
        !faults.iter().any(|fault| fault.contains("got nothing")),
        "{faults:#?}"
    );
}

#[test]
fn files_that_are_none() {
    let folder = Folder::new("none");
    let empty = folder.path("nowhere.toml");
    let large = folder.write("large.toml", vec![b'#'; 64 * 1024 + 1]);
    let binary = folder.write("binary.toml", b"thing = 1\n\xff");
    let here = folder.path("");
    for (file, said) in [
        (&empty, "got no content (No such file or directory"),
        (&large, "got more than 65536 bytes; "),
        (&binary, "got a byte in line 2 that is no UTF-8; "),
        (&here, "got something else; expected a regular file; "),
    ] {
        let faults = wrong(&["--config", file, "-r", "eu-1"]);
        assert!(
            faults[0].starts_with(&format!("{file}: {said}")),
            "{faults:#?}"
        );
        assert_eq!(faults.len(), 1, "{faults:#?}");
    }
    let full = folder.write(
        "full.toml",
        format!("{GOOD}{}", "#".repeat(64 * 1024 - GOOD.len())),
    );
    run(&["--config", &full]);
}

#[test]
fn a_broken_value_does_not_excuse_the_rest() {
    let folder = Folder::new("rest");
    let text = "default = \"q\"\n[routes.r]\nstall = 10s\n[routes.s]\ntarget = h:1\n";
    let file = folder.write("cellgate.toml", text);
    let faults = wrong(&["--config", &file]).join("\n");
    for said in [
        ":1: default: got \"q\"; ",
        ":2: routes.r.target: got nothing; ",
        ":3:9: got \"stall = 10s\" (",
        ":5:10: got \"target = h:1\" (",
        "configuration: got neither region nor endpoint; ",
    ] {
        assert!(faults.contains(said), "{said}\n{faults}");
    }
    assert_eq!(faults.lines().count(), 5, "{faults}");
    // What an open text swallows is not missed.
    let text = "tunnel.region = \"eu-1\"\ndefault = \"r\"\nthing = \"\"\"x\n[routes.r]\ntarget = \"h:1\"\n";
    let file = folder.write("cellgate.toml", text);
    let faults = wrong(&["--config", &file]).concat();
    assert!(
        !faults.contains(": default: ") && !faults.contains("got no route"),
        "{faults}"
    );
}
