//! What `--help` and `--version` print.

/// The help, at most 80 columns wide.
pub(super) const HELP: &str = "\
cellgate: the destination side of AWS IoT Secure Tunneling for a robot cell.
It relays each stream of a tunnel to the robot controller of its route, and
dials nothing else.

Usage: cellgate [--config FILE]
       cellgate -d SERVICE=HOST:PORT[,...] (-r REGION | -e HOST[:PORT])
       cellgate open|close|status|check [--config FILE] ...

With a file it is a service: it runs for ever, and tunnels come by notification
or by `cellgate open`. With -d, or with an access token and no [notify] in the
file, it lives as long as the one tunnel of AWSIOT_TUNNEL_ACCESS_TOKEN.

Beside a running service, each with --config FILE if it has one:
  open [--token-file FILE]      hands the tunnel of a notification over, read as
                                JSON from standard input, or of a token in FILE
  close [TUNNEL]                ends this tunnel, or the only one
  status [--json]               link, tunnels, streams, and the last errors
  check                         tries everything from the clock to the robots,
                                and says what to do; 0 only if all is well

Where to:
  -d, --destination-app MAP     services and their targets: SERVICE=HOST:PORT,
                                with commas between several. A bare PORT is on
                                this machine. Without SERVICE= the one target
                                serves the one service of the tunnel. IPv6
                                stands in brackets: ssh=[::1]:22
      --config-dir FOLDER       the same from every file below FOLDER, one
                                SERVICE=HOST:PORT a line; not read beside -d
      --config FILE             the configuration, in TOML. Without it, -d and
                                --config-dir: /etc/cellgate/cellgate.toml
  -b, --local-bind-address IP   connections to all targets come from here

The tunnel:
  -r, --region REGION           its AWS region, for example eu-central-1
  -e, --proxy-endpoint HOST[:PORT]
                                the tunnelling service itself; port 443 if none
  -c, --capath PATH             a PEM file, or a folder of them, to trust beside
                                the built-in public roots
  -i, --client-token TOKEN      32 to 128 letters, digits and hyphens; without
                                it cellgate makes one
  -t, --access-token TOKEN      the access token. Other users can see it until
                                cellgate has wiped it: prefer the environment

Others:
  -v, --verbose 0..255          0 off, 1 and 2 error, 3 warning, 4 information
                                (without -v), 5 debug, 6 and more trace
  -m, --mode dst                accepted: dst or destination
  -h, --help                    this text
  -V, --version                 the version

Environment, where neither a flag nor the file says it:
  AWSIOT_TUNNEL_ACCESS_TOKEN    as -t
  AWSIOT_TUNNEL_CLIENT_TOKEN    as -i
  AWSIOT_TUNNEL_ENDPOINT        as -e
  AWSIOT_TUNNEL_REGION          as -r
  HTTPS_PROXY, https_proxy      as url of [proxy]
  NO_PROXY, no_proxy            as except of [proxy], with commas between

Refused, each with its reason: -k, -s, -y, --settings-json,
--export-default-settings.

Exit: 0 stopped in order; 69 the service refused the token; 78 faults in the
configuration, all named on standard error.";

/// Name and version.
pub(super) const VERSION: &str = concat!("cellgate ", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_fits_a_terminal() {
        for line in HELP.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}
