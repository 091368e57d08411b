//! `[proxy]`: the HTTP proxy between the gateway and the internet.

use std::net::IpAddr;

use super::endpoint::Endpoint;
use crate::secret::Secret;

/// An HTTP proxy that is asked to CONNECT.
#[derive(Debug)]
pub struct Proxy {
    /// The proxy itself.
    pub endpoint: Endpoint,
    /// It is reached by TLS (`https://`).
    pub tls: bool,
    /// The value of `Proxy-Authorization`, with its scheme.
    pub login: Option<Secret>,
    /// What is reached without it.
    pub except: Vec<Except>,
}

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
