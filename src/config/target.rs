//! Where a route leads: the address of a robot controller.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::fault::{Misfit, quoted};
use crate::limits::{HOST_LABEL_MAX, HOST_NAME_MAX};

/// A host and a port to dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The controller.
    pub host: Host,
    /// 1 to 65535.
    pub port: u16,
}

impl Target {
    /// A target of a route in the file: host and port, both given.
    pub(super) fn parse(text: &str) -> Result<Target, Misfit> {
        let (host, port) = match split_port(text) {
            Some((host, port)) => (host, port?),
            None => return Err(unusable(text, "there is no port")),
        };
        match Host::parse(host) {
            Ok(host) => Ok(Target { host, port }),
            Err(fault) => Err(unusable(text, &fault.to_string())),
        }
    }

    /// A target as the reference's `-d` has it, where a bare port means this machine.
    pub(super) fn parse_mapping(text: &str) -> Result<Target, Misfit> {
        if text.contains('/') {
            return Err(Misfit::new(
                quoted(text),
                "a host and a TCP port",
                "cellgate dials no Unix sockets: let the program listen on TCP",
            ));
        }
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Target::parse(text);
        }
        Ok(Target {
            host: Host::Name("localhost".into()),
            port: parse_port(text)?,
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

fn unusable(text: &str, reason: &str) -> Misfit {
    Misfit::new(
        format!("{} ({reason})", quoted(text)),
        "host:port",
        "write for example \"192.168.0.2:23\", \"[fd00::2]:23\" or \"robot1.lan:23\"",
    )
}

/// The host of a target, as the owner wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address; brackets in text.
    V6(Ipv6Addr),
    /// A name to be resolved.
    Name(String),
}

impl Host {
    /// A host from text; IPv6 must stand in brackets.
    pub(super) fn parse(text: &str) -> Result<Host, HostFault> {
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or(HostFault::Bracket)?;
            let address: Ipv6Addr = inner.parse().map_err(|_| HostFault::Ipv6)?;
            if address.is_unspecified() || address.is_multicast() {
                return Err(HostFault::NoHost);
            }
            return Ok(Host::V6(address));
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            if address.is_unspecified() || address.is_multicast() || address.is_broadcast() {
                return Err(HostFault::NoHost);
            }
            return Ok(Host::V4(address));
        }
        check_name(text)?;
        Ok(Host::Name(text.to_owned()))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::V4(address) => address.fmt(f),
            Host::V6(address) => write!(f, "[{address}]"),
            Host::Name(name) => f.write_str(name),
        }
    }
}

/// Why a text is no host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HostFault {
    /// A bracket is open.
    Bracket,
    /// What stands in brackets is no IPv6 address.
    Ipv6,
    /// An IPv6 address without brackets.
    Bare,
    /// The unspecified address, multicast or broadcast.
    NoHost,
    /// Nothing before the port.
    Empty,
    /// Digits and dots that are no IPv4 address.
    Ipv4,
    /// A name that DNS does not allow.
    Name,
}

impl fmt::Display for HostFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HostFault::Bracket => "the bracket is not closed",
            HostFault::Ipv6 => "no IPv6 address in the brackets",
            HostFault::Bare => "an IPv6 address needs brackets",
            HostFault::NoHost => "this address belongs to no single host",
            HostFault::Empty => "there is no host",
            HostFault::Ipv4 => "no IPv4 address",
            HostFault::Name => "no host name",
        })
    }
}

/// Letters, digits, hyphens and, as many cells have them, underscores. Source: RFC 1123, 2.1.
fn check_name(name: &str) -> Result<(), HostFault> {
    if name.is_empty() {
        return Err(HostFault::Empty);
    }
    if name.contains(':') {
        return Err(HostFault::Bare);
    }
    if name.len() > HOST_NAME_MAX {
        return Err(HostFault::Name);
    }
    // A name may end in the root's dot, to keep search domains out.
    let labels = name.strip_suffix('.').unwrap_or(name);
    for label in labels.split('.') {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let edges = label.starts_with('-') || label.ends_with('-');
        if label.is_empty() || label.len() > HOST_LABEL_MAX || edges || !label.bytes().all(plain) {
            return Err(HostFault::Name);
        }
    }
    // getaddrinfo takes "1.2.3" and "300" for addresses, and nobody means what comes of that.
    let last = labels.rsplit('.').next().unwrap_or(labels);
    if last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(HostFault::Ipv4);
    }
    Ok(())
}

/// Host and port around the last colon outside brackets; nothing if there is no such colon.
pub(super) fn split_port(text: &str) -> Option<(&str, Result<u16, Misfit>)> {
    let (host, port) = text.rsplit_once(':')?;
    let inside_brackets = port.contains(']');
    // "::1" is an address that lacks brackets, not a host with the port 1.
    let bare_ipv6 = host.contains(':') && !host.starts_with('[');
    if inside_brackets || bare_ipv6 {
        return None;
    }
    Some((host, parse_port(port)))
}

fn parse_port(text: &str) -> Result<u16, Misfit> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u16>() {
        Ok(port) if digits && port > 0 => Ok(port),
        Ok(_) | Err(_) => Err(Misfit::new(
            format!("the port {}", quoted(text)),
            "a port from 1 to 65535",
            "a Kawasaki controller listens on 23, the tunnelling service on 443",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_show_as_they_were_written() {
        for text in [
            "192.168.0.2:23",
            "[::1]:22",
            "[fd00::2]:23",
            "robot1.lan:9105",
            "robot_1:1",
            "Robot.:65535",
        ] {
            let target = Target::parse(text).expect(text);
            assert_eq!(target.to_string(), text);
        }
    }

    #[test]
    fn each_wrong_target_has_its_reason() {
        for (text, reason) in [
            ("", "there is no port"),
            ("192.168.0.2", "there is no port"),
            ("23", "there is no port"),
            ("[::1]", "there is no port"),
            ("::1", "there is no port"),
            (":23", "there is no host"),
            ("host:", "the port \"\""),
            ("host:0", "the port \"0\""),
            ("host:65536", "the port \"65536\""),
            ("host:-1", "the port \"-1\""),
            ("host:+23", "the port \"+23\""),
            ("host:2 3", "the port \"2 3\""),
            ("[::1:23", "the bracket is not closed"),
            ("[robot]:23", "no IPv6 address in the brackets"),
            ("[fe80::1%eth0]:23", "no IPv6 address in the brackets"),
            ("0.0.0.0:23", "belongs to no single host"),
            ("224.0.0.1:23", "belongs to no single host"),
            ("255.255.255.255:23", "belongs to no single host"),
            ("[::]:23", "belongs to no single host"),
            ("192.168.0.300:23", "no IPv4 address"),
            ("192.168.2:23", "no IPv4 address"),
            ("ro bot:23", "no host name"),
            ("-robot:23", "no host name"),
            ("a..b:23", "no host name"),
            ("robot\n:23", "no host name"),
            ("röbot:23", "no host name"),
        ] {
            let misfit = Target::parse(text).expect_err(text);
            let shown = format!("{misfit:?}").replace("\\\"", "\"");
            assert!(shown.contains(reason), "{text}: {shown}");
        }
        assert!(Target::parse(&format!("{}:23", "a".repeat(64))).is_err());
        assert!(Target::parse(&format!("{}:23", "a.".repeat(127))).is_err());
    }

    #[test]
    fn a_bare_port_is_this_machine() {
        let target = Target::parse_mapping("22").expect("a port");
        assert_eq!(target.to_string(), "localhost:22");
        for bad in [
            "0",
            "65536",
            "99999999999999999999",
            "/run/ssh.sock",
            "./s:22",
            "",
        ] {
            assert!(Target::parse_mapping(bad).is_err(), "{bad}");
        }
    }
}
