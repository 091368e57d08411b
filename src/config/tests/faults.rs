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
  FILE:3: colour: got an unknown key; expected one of: thing, default, tunnel, routes; correct the spelling, or delete it
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
  FILE:18: routes.robot2.port: got an unknown key; expected one of: target, connections, stall, idle, pace, source; correct the spelling, or delete it
  FILE:19: routes."robot 3": got "robot 3"; expected a service ID of 1 to 128 letters, digits, ":", "_" and "-"; write the service ID exactly as AWS has it
  FILE:20: routes."robot 3".target: got the port "70000"; expected a port from 1 to 65535; a Kawasaki controller listens on 23, the tunnelling service on 443
  FILE:21: notify: got an unknown table; expected one of: thing, default, tunnel, routes; correct the spelling, or delete it
  configuration: got no access token; expected the destination access token of the tunnel; set the variable AWSIOT_TUNNEL_ACCESS_TOKEN, or give -t
"#;

#[test]
fn every_fault_at_once() {
    let folder = Folder::new("golden");
    let file = folder.write("cellgate.toml", BAD);
    let faults = load(&["--config", &file], &[]).expect_err("a bad file");
    assert_eq!(faults.to_string().replace(&file, "FILE"), SAID.trim_end());
}
