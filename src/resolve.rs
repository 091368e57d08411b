//! Names to addresses, without blocking the loop and without one name holding up another's.
//!
//! The system's resolver blocks, for half a minute if it must, so it runs in a thread. The service, the controllers
//! and the broker have a lane each: a controller's name that hangs never keeps the agent from the service.

use std::fmt;
use std::io::{self, Read as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::limits::{NAMESERVERS_SHOWN, RESOLV_CONF_MAX, RESOLVE_LIMIT};

/// Where the system's resolver reads whom to ask. Source: resolv.conf(5).
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Whose names are resolved; one at a time in each lane, a thread for each (see `RESOLVERS` in the limits).
pub struct Lane(Semaphore);

/// The names of the service's endpoints.
pub static SERVICE: Lane = Lane(Semaphore::const_new(1));

/// The names of controllers.
pub static CONTROLLERS: Lane = Lane(Semaphore::const_new(1));

/// The name of the MQTT broker.
pub static BROKER: Lane = Lane(Semaphore::const_new(1));

/// Why a name has no address.
#[derive(Debug)]
pub enum ResolveError {
    /// The DNS says that there is no such name.
    Unknown,
    /// The DNS servers could not be asked, or have no answer for the moment.
    Temporary(Servers),
    /// The resolver failed otherwise.
    Failed(io::Error),
    /// The resolver knows the name, and no address for it.
    Empty,
    /// The DNS servers did not answer within [`RESOLVE_LIMIT`].
    Timeout(Servers),
}

/// The DNS servers that were asked, for the log; at most [`NAMESERVERS_SHOWN`].
#[derive(Debug, PartialEq, Eq)]
pub struct Servers(Option<Vec<String>>);

/// The addresses of a name, at least one.
///
/// # Errors
/// Why there is none, within [`RESOLVE_LIMIT`].
pub async fn addresses(
    lane: &'static Lane,
    name: &str,
    port: u16,
) -> Result<Vec<SocketAddr>, ResolveError> {
    if let Some(known) = known(name) {
        return Ok(known.into_iter().map(|ip| (ip, port).into()).collect());
    }
    let name = name.to_owned();
    let found = timeout(RESOLVE_LIMIT, async move {
        let permit = lane.0.acquire().await;
        // The permit goes with the thread: it is given back when the resolver answers, not when we lose patience.
        spawn_blocking(move || {
            let _permit = permit;
            (name.as_str(), port)
                .to_socket_addrs()
                .map(Iterator::collect)
        })
        .await
    });
    let found: Vec<SocketAddr> = match found.await {
        Err(_) => return Err(ResolveError::Timeout(Servers::of_system())),
        Ok(Err(lost)) => return Err(ResolveError::Failed(io::Error::other(lost))),
        Ok(Ok(found)) => found.map_err(ResolveError::from)?,
    };
    if found.is_empty() {
        return Err(ResolveError::Empty);
    }
    Ok(found)
}

/// The addresses of what needs no resolver: an address, and `localhost` (RFC 6761, 6.3).
fn known(name: &str) -> Option<Vec<IpAddr>> {
    if let Ok(ip) = name.parse() {
        return Some(vec![ip]);
    }
    let bare = name.strip_suffix('.').unwrap_or(name);
    bare.eq_ignore_ascii_case("localhost")
        .then(|| vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()])
}

impl From<io::Error> for ResolveError {
    /// The standard library keeps only the text of what getaddrinfo(3) says: glibc's, or musl's.
    fn from(error: io::Error) -> ResolveError {
        let text = error.to_string();
        let says = |texts: &[&str]| texts.iter().any(|part| text.contains(part));
        if says(&["Temporary failure in name resolution", "Try again"]) {
            ResolveError::Temporary(Servers::of_system())
        } else if says(&["Name or service not known", "Name does not resolve"]) {
            ResolveError::Unknown
        } else if says(&["No address associated with", "Name has no usable address"]) {
            ResolveError::Empty
        } else {
            ResolveError::Failed(error)
        }
    }
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ResolveError::Unknown => write!(
                f,
                "cannot be resolved: the DNS knows no such name; check how it is written, and whether the DNS \
                 server here knows names of the internet"
            ),
            ResolveError::Temporary(servers) => write!(
                f,
                "cannot be resolved for the moment: no answer that helps from {servers}; check the DNS server and \
                 the uplink"
            ),
            ResolveError::Failed(error) => write!(
                f,
                "cannot be resolved ({error}); check the DNS server and the uplink"
            ),
            ResolveError::Empty => write!(f, "has no address in the DNS; check the name"),
            ResolveError::Timeout(servers) => write!(
                f,
                "was not resolved: no answer within {} s from {servers}; check the DNS server and the uplink",
                RESOLVE_LIMIT.as_secs()
            ),
        }
    }
}

impl Servers {
    /// Those of [`RESOLV_CONF`] as it is now.
    fn of_system() -> Servers {
        let mut text = Vec::new();
        let read = std::fs::File::open(RESOLV_CONF)
            .and_then(|file| file.take(RESOLV_CONF_MAX).read_to_end(&mut text));
        Servers(read.ok().map(|_| servers(&String::from_utf8_lossy(&text))))
    }
}

impl fmt::Display for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_deref() {
            None => write!(f, "the DNS server ({RESOLV_CONF} cannot be read)"),
            Some([]) => write!(f, "the DNS server ({RESOLV_CONF} names none)"),
            Some(servers) => write!(f, "{}", servers.join(" or ")),
        }
    }
}

/// The DNS servers of a resolv.conf. What is no address is left out.
fn servers(text: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let server = (words.next()? == "nameserver").then(|| words.next())??;
        let address = server.split('%').next()?;
        address.parse::<IpAddr>().ok()?;
        Some(address.to_owned())
    });
    lines.take(NAMESERVERS_SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_of_a_resolv_conf() {
        let text = "# by hand\nsearch cell.example\nnameserver 10.0.0.1\n nameserver fe80::1%eth0\n\
                    nameserver\nnameserver evil\x1b[2J\noptions timeout:1\nnameserver 10.0.0.3 # third\n\
                    nameserver 10.0.0.4\n";
        assert_eq!(servers(text), ["10.0.0.1", "fe80::1", "10.0.0.3"]);
        let text = ResolveError::Timeout(Servers(Some(servers(text)))).to_string();
        let told = "no answer within 5 s from 10.0.0.1 or fe80::1 or 10.0.0.3; check";
        assert!(text.contains(told), "{text}");
        let text = ResolveError::Timeout(Servers(Some(Vec::new()))).to_string();
        assert!(text.contains("names none"), "{text}");
    }

    #[test]
    fn what_the_c_libraries_say_is_told_in_words() {
        let said = |text: &str| {
            let text = format!("failed to lookup address information: {text}");
            ResolveError::from(io::Error::other(text)).to_string()
        };
        for text in ["Temporary failure in name resolution", "Try again"] {
            assert!(said(text).contains("for the moment"), "{text}");
        }
        for text in ["Name or service not known", "Name does not resolve"] {
            assert!(said(text).contains("no such name"), "{text}");
        }
        assert!(said("Non-recoverable").contains("Non-recoverable"));
    }

    #[tokio::test]
    async fn addresses_and_localhost_need_no_resolver() {
        static TAKEN: Lane = Lane(Semaphore::const_new(0));
        for (name, wanted) in [
            ("10.0.0.1", &["10.0.0.1:7"][..]),
            ("fd00::1", &["[fd00::1]:7"]),
            ("LocalHost.", &["127.0.0.1:7", "[::1]:7"]),
        ] {
            let found = addresses(&TAKEN, name, 7).await.expect(name);
            let found: Vec<String> = found.iter().map(ToString::to_string).collect();
            assert_eq!(found, wanted);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_that_hangs_ends_in_time() {
        static TAKEN: Lane = Lane(Semaphore::const_new(0));
        let start = tokio::time::Instant::now();
        let failed = addresses(&TAKEN, "cell.example", 7).await;
        assert!(
            matches!(failed, Err(ResolveError::Timeout(_))),
            "{failed:?}"
        );
        assert_eq!(start.elapsed(), RESOLVE_LIMIT);
    }
}
