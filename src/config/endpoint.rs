//! Where the tunnelling service is reached.

use std::fmt;

use super::fault::{Faults, Misfit, Place, quoted};
use super::region::Region;
use super::target::{Host, split_port};

/// The port of the service. Source: the protocol guides.
const SERVICE_PORT: u16 = 443;

const ADVICE: &str = "write the host, as in \"data.tunneling.iot.eu-central-1.amazonaws.com:443\"; \
     the port may be left out";

/// Host and port of the tunnelling service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// A name in lower case, or an address; IPv6 without brackets.
    pub host: String,
    /// 1 to 65535.
    pub port: u16,
}

impl Endpoint {
    /// The endpoint of an AWS region. Regions of China have a top-level domain of their own.
    pub fn of(region: &Region) -> Endpoint {
        let china = if region.as_str().starts_with("cn-") {
            ".cn"
        } else {
            ""
        };
        Endpoint {
            host: format!("data.tunneling.iot.{region}.amazonaws.com{china}"),
            port: SERVICE_PORT,
        }
    }

    /// The region of an endpoint of AWS IoT, `….iot.REGION.amazonaws.com` or `….cn`.
    pub(super) fn region(&self) -> Option<Region> {
        let host = self.host.strip_suffix(".cn").unwrap_or(&self.host);
        let (rest, region) = host.strip_suffix(".amazonaws.com")?.rsplit_once('.')?;
        rest.strip_suffix(".iot")?;
        Region::new(region)
    }

    /// The endpoint of the region that the owner wrote.
    pub(super) fn of_region(region: &str) -> Result<Endpoint, Misfit> {
        let known = Region::new(region).ok_or_else(|| {
            Misfit::new(
                quoted(region),
                "the name of an AWS region",
                "write it as AWS does, for example \"eu-central-1\"",
            )
        })?;
        Ok(Endpoint::of(&known))
    }

    /// An endpoint as the owner wrote it: a host, and a port if it is not 443.
    pub(super) fn parse(text: &str) -> Result<Endpoint, Misfit> {
        Endpoint::parse_or(text, SERVICE_PORT)
    }

    /// The same with another port where none is written.
    pub(super) fn parse_or(text: &str, usual: u16) -> Result<Endpoint, Misfit> {
        let expected = format!("a host, and a port if it is not {usual}");
        if text.contains('/') {
            return Err(Misfit::new(
                quoted(text),
                expected,
                "leave out the scheme and the path: cellgate adds them",
            ));
        }
        let (host, port) = match split_port(text) {
            Some((host, port)) => (host, port?),
            None => (text, usual),
        };
        let host = Host::parse(host).map_err(|fault| {
            Misfit::new(format!("{} ({fault})", quoted(text)), expected, ADVICE)
        })?;
        Ok(Endpoint {
            host: match host {
                Host::V4(address) => address.to_string(),
                Host::V6(address) => address.to_string(),
                Host::Name(name) => name.to_ascii_lowercase(),
            },
            port,
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Where the tunnelling service of a tunnel is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// The owner's word, which goes before every region.
    pub fixed: Option<Endpoint>,
    /// The service of the region that the owner named, for a tunnel that names none.
    pub usual: Option<Endpoint>,
}

impl Endpoints {
    /// The endpoint that the owner wrote.
    pub(super) fn fixed(endpoint: Endpoint) -> Endpoints {
        Endpoints {
            fixed: Some(endpoint),
            usual: None,
        }
    }

    /// The endpoint of a region, from which a notification may lead away.
    pub(super) fn usual(endpoint: Endpoint) -> Endpoints {
        Endpoints {
            fixed: None,
            usual: Some(endpoint),
        }
    }

    /// For a tunnel whose notification names `region`.
    pub fn choose(&self, region: Option<&Region>) -> Option<Endpoint> {
        let fixed = self.fixed.clone();
        fixed
            .or_else(|| region.map(Endpoint::of))
            .or_else(|| self.usual.clone())
    }
}

/// What one level of the configuration says about the endpoint.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Given {
    /// Not a word; the level below decides.
    #[default]
    Nothing,
    /// Something that is wrong, and is a fault already.
    Broken,
    /// One of them, and where it was written.
    Named(Endpoints, Place),
}

/// The endpoint of one level, from its endpoint or its region; both at once is a fault.
pub(super) fn choose(
    endpoint: Option<(String, Place)>,
    region: Option<(String, Place)>,
    faults: &mut Faults,
) -> Given {
    let (parsed, place) = match (endpoint, region) {
        (None, None) => return Given::Nothing,
        (Some((text, place)), None) => (Endpoint::parse(&text).map(Endpoints::fixed), place),
        (None, Some((text, place))) => (Endpoint::of_region(&text).map(Endpoints::usual), place),
        (Some((_, first)), Some((_, second))) => {
            let both = Misfit::new(
                format!("an endpoint ({first}) and a region"),
                "one of them",
                "delete the region if you need an endpoint of your own, else the endpoint",
            );
            faults.add(both.at(second));
            return Given::Broken;
        }
    };
    match faults.keep(place.clone(), parsed) {
        Some(endpoints) => Given::Named(endpoints, place),
        None => Given::Broken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_become_hosts() {
        for (region, host) in [
            (
                "eu-central-1",
                "data.tunneling.iot.eu-central-1.amazonaws.com:443",
            ),
            (
                "cn-north-1",
                "data.tunneling.iot.cn-north-1.amazonaws.com.cn:443",
            ),
        ] {
            let endpoint = Endpoint::of_region(region).expect(region);
            assert_eq!(endpoint.to_string(), host);
        }
        for bad in [
            "",
            "EU-CENTRAL-1",
            "eu central",
            "eu.central",
            "-eu",
            "eu-",
            &"a".repeat(65),
        ] {
            assert!(Endpoint::of_region(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn endpoints_as_owners_write_them() {
        for (text, shown) in [
            ("localhost:8443", "localhost:8443"),
            ("localhost", "localhost:443"),
            ("Proxy.Example.COM", "proxy.example.com:443"),
            ("10.0.0.1:8443", "10.0.0.1:8443"),
            ("[::1]:8443", "[::1]:8443"),
            ("[2001:db8::1]", "[2001:db8::1]:443"),
        ] {
            let endpoint = Endpoint::parse(text).expect(text);
            assert_eq!(endpoint.to_string(), shown);
        }
        for bad in [
            "",
            ":443",
            "host:",
            "host:0",
            "host:65536",
            "host:x",
            "wss://host:443",
            "host/tunnel",
            "::1",
            "[::1",
            "[::1]443",
            "ho st",
            "user@host",
            "host:+443",
        ] {
            assert!(Endpoint::parse(bad).is_err(), "{bad}");
        }
    }
}
