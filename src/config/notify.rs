//! `[notify]`: the MQTT broker that tells of tunnels, and who the gateway is there.

use std::fmt;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::endpoint::Endpoint;

/// Where notifications come from.
#[derive(Debug)]
pub struct Notify {
    /// The broker; its port is 8883, or 443 with the ALPN name of AWS.
    pub endpoint: Endpoint,
    /// The device certificate and its key.
    pub identity: Identity,
    /// Certificates to trust beside the built-in roots, for the broker alone.
    pub extra_roots: Vec<CertificateDer<'static>>,
}

/// A device certificate and its key, which belong together.
pub struct Identity {
    /// The device's own certificate first, then those that lead to its authority.
    pub certificates: Vec<CertificateDer<'static>>,
    /// The key of the first.
    pub key: PrivateKeyDer<'static>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<identity>")
    }
}
