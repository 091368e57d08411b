//! The routes: which services may be reached, and how their controllers want to be treated.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::fault::{Misfit, quoted};
use super::target::Target;
use crate::limits::{self, INTERFACE_MAX, SERVICE_ID_MAX, STALL_DEFAULT};

/// Connections of one route at the same time: as many as the tunnel may have.
#[expect(
    clippy::cast_possible_truncation,
    reason = "limits.rs holds it below 256"
)]
pub(super) const CONNECTIONS_MAX: u16 = limits::CONNECTIONS_MAX as u16;

/// One service of the tunnel and the controller behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The service ID; empty for [`Routes::any`].
    pub name: String,
    /// The controller.
    pub target: Target,
    /// Connections at the same time, 1 to
    /// [`CONNECTIONS_MAX`](limits::CONNECTIONS_MAX). 1 makes the controller exclusive.
    pub connections: u16,
    /// A controller that takes no byte for this long, with bytes waiting, is reset.
    pub stall: Duration,
    /// A connection without a byte either way for this long is ended.
    pub idle: Option<Duration>,
    /// A connection is ended when it is this old.
    pub session: Option<Duration>,
    /// Bytes a second towards the controller, at most.
    pub pace: Option<NonZeroU32>,
    /// Where connections to the controller come from.
    pub source: Option<Source>,
}

impl Route {
    /// A route with nothing but its target.
    pub(super) fn to(name: String, target: Target) -> Route {
        Route {
            name,
            target,
            connections: CONNECTIONS_MAX,
            stall: STALL_DEFAULT,
            idle: None,
            session: None,
            pace: None,
            source: None,
        }
    }
}

/// Where connections to a controller come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// An address of this gateway.
    Address(IpAddr),
    /// A network interface of this gateway, by name.
    Interface(String),
}

impl Source {
    /// An address, or the name of an interface.
    pub(super) fn parse(text: &str) -> Result<Source, Misfit> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Source::Address(address));
        }
        // A colon or a dot alone would be a mistyped address; VLANs are "eth0.5".
        let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b':' | b'%');
        let digits = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        if text.is_empty() || text.len() > INTERFACE_MAX || digits || !text.bytes().all(plain) {
            return Err(Misfit::new(
                quoted(text),
                "an address or a network interface of this gateway",
                "see `ip address`; write for example \"eth1\" or \"192.168.0.1\"",
            ));
        }
        Ok(Source::Interface(text.to_owned()))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Address(address) => address.fmt(f),
            Source::Interface(name) => f.write_str(name),
        }
    }
}

/// All routes; what is not in here is never dialled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    named: Vec<Arc<Route>>,
    default: Option<Arc<Route>>,
    any: Option<Arc<Route>>,
}

impl Routes {
    /// Named routes; `default` is one of their names.
    pub(super) fn named(mut routes: Vec<Route>, default: Option<&str>) -> Routes {
        routes.sort_by(|a, b| a.name.cmp(&b.name));
        let named: Vec<Arc<Route>> = routes.into_iter().map(Arc::new).collect();
        let default = match (default, named.as_slice()) {
            (Some(name), routes) => routes.iter().find(|route| route.name == name).cloned(),
            (None, [single]) => Some(Arc::clone(single)),
            (None, _) => None,
        };
        Routes {
            named,
            default,
            any: None,
        }
    }

    /// The bare route of `-d 22`.
    pub(super) fn bare(route: Route) -> Routes {
        let route = Arc::new(route);
        Routes {
            named: Vec::new(),
            default: Some(Arc::clone(&route)),
            any: Some(route),
        }
    }

    /// The route of the service with this ID.
    pub fn by_name(&self, service: &str) -> Option<&Arc<Route>> {
        self.named.iter().find(|route| route.name == service)
    }

    /// The route for a source that names no service: the `default` of the file, or the only one.
    pub fn default_route(&self) -> Option<&Arc<Route>> {
        self.default.as_ref()
    }

    /// The one bare route of `-d 22`, which serves whatever single service the tunnel declares.
    pub fn any(&self) -> Option<&Arc<Route>> {
        self.any.as_ref()
    }

    /// Every route once, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.named.iter().chain(self.any.as_ref())
    }
}

/// A service ID or a thing name. Source: the API reference of OpenTunnel, `[a-zA-Z0-9:_-]{1,128}`.
pub(super) fn check_name(what: &str, name: &str) -> Result<(), Misfit> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'_' | b'-');
    if (1..=SERVICE_ID_MAX).contains(&name.len()) && name.bytes().all(plain) {
        return Ok(());
    }
    Err(Misfit::new(
        quoted(name),
        format!("a {what} of 1 to {SERVICE_ID_MAX} letters, digits, \":\", \"_\" and \"-\""),
        format!("write the {what} exactly as AWS has it"),
    ))
}
