//! Hosts that are reached without the proxy: `except` of `[proxy]`, and `NO_PROXY`.

use std::net::IpAddr;

use super::target::{Host, split_port};

/// Hosts that are reached without the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Except {
    /// `*`: all.
    All,
    /// A host, and every host below it; in lower case, without a leading dot.
    Name(String),
    /// The addresses whose first bits are these.
    Network(IpAddr, u8),
}

impl Except {
    /// One entry as owners and `NO_PROXY` have it: `*`, a name, an address or a network. A port behind it is
    /// passed over, for a host is reached one way or the other. Nothing if it is none of them.
    pub(super) fn parse(text: &str) -> Option<Except> {
        if text == "*" {
            return Some(Except::All);
        }
        if let Some(network) = network(text) {
            return Some(network);
        }
        let host = match split_port(text) {
            Some((host, port)) => port.ok().map(|_| host)?,
            None => text,
        };
        // "*.example.com" and ".example.com" are other spellings of "example.com".
        let below = host.strip_prefix('*').unwrap_or(host);
        let host = below.strip_prefix('.').unwrap_or(host);
        match Host::parse(host).ok()? {
            Host::V4(address) => Some(Except::Network(address.into(), 32)),
            Host::V6(address) => Some(Except::Network(address.into(), 128)),
            Host::Name(name) => Some(Except::Name(plain(&name))),
        }
    }

    /// Whether `host` is one of them.
    pub(super) fn has(&self, host: &str, address: Option<IpAddr>) -> bool {
        match (self, address) {
            (Except::All, _) => true,
            (Except::Network(network, bits), Some(address)) => {
                begins_as(address, network.to_canonical(), *bits)
            }
            (Except::Name(name), None) => {
                let rest = host.strip_suffix(name.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
            (Except::Network(..), None) | (Except::Name(_), Some(_)) => false,
        }
    }
}

/// A name as it is compared: in lower case, without the root's dot.
pub(super) fn plain(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    name.strip_suffix('.').map(str::to_owned).unwrap_or(name)
}

/// An address, or a network in CIDR notation; IPv6 with or without brackets.
fn network(text: &str) -> Option<Except> {
    let bare = |text: &str| -> Option<IpAddr> {
        let inner = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'));
        inner.unwrap_or(text).parse().ok()
    };
    let Some((address, bits)) = text.split_once('/') else {
        let address = bare(text)?;
        return Some(Except::Network(address, width(address)));
    };
    let address = bare(address)?;
    let digits = !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit());
    let bits = bits.parse::<u8>().ok()?;
    (digits && bits <= width(address)).then_some(Except::Network(address, bits))
}

fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn begins_as(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let differ = match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
    };
    differ >= u32::from(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(except: &str, host: &str) -> bool {
        let except = Except::parse(except).expect(except);
        let host = plain(host);
        except.has(&host, host.parse().ok())
    }

    #[test]
    fn names_cover_what_is_below_them() {
        for (except, host, expected) in [
            ("*", "anything", true),
            ("*", "10.0.0.1", true),
            ("example.com", "example.com", true),
            ("example.com", "EXAMPLE.com.", true),
            ("Example.COM.", "a.b.example.com", true),
            (".example.com", "example.com", true),
            ("*.example.com", "a.example.com", true),
            ("example.com:8080", "a.example.com", true),
            ("example.com", "badexample.com", false),
            ("example.com", "example.com.evil", false),
            ("example.com", "com", false),
            ("localhost", "localhost", true),
            ("localhost", "127.0.0.1", false),
        ] {
            assert_eq!(has(except, host), expected, "{except} {host}");
        }
    }

    #[test]
    fn networks_cover_their_addresses() {
        for (except, host, expected) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.1.2.3/8", "10.9.9.9", true),
            ("0.0.0.0/0", "192.0.2.1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1:3128", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.0/31", "192.0.2.1", true),
            ("192.0.2.0/31", "192.0.2.2", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("[2001:db8::1]", "2001:db8::1", true),
            ("[2001:db8::1]:80", "2001:db8::1", true),
            ("::1", "::1", true),
            ("::/0", "::1", true),
            ("10.0.0.0/8", "ten.example", false),
        ] {
            assert_eq!(has(except, host), expected, "{except} {host}");
        }
    }

    #[test]
    fn the_rest_is_none() {
        for text in [
            "",
            "/",
            "/8",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "::/129",
            "10.0.0/8",
            "ex ample",
            "<local>",
            "192.168.*",
            "example.com:x",
            "user@host",
            "**",
            "*.",
            ".",
            "[::1",
            "a/8",
            "300.1.1.1",
        ] {
            assert_eq!(Except::parse(text), None, "{text}");
        }
    }
}
