//! TLS towards the service: the built-in roots, and what the owner adds to them.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

/// Sessions kept for resumption; there is one service.
const SESSIONS: usize = 4;

/// A client that trusts the built-in roots and `extra` ones, with TLS 1.2 and 1.3. There is no way to switch
/// the check of the server's certificate off.
///
/// # Errors
/// An extra root that is no certificate; the configuration has checked that before.
pub fn client(extra: &[CertificateDer<'static>]) -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    for certificate in extra {
        roots.add(certificate.clone())?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    Ok(Arc::new(config))
}

/// What a technician can do about a failed check of the server's certificate.
pub fn advice(error: &rustls::Error) -> &'static str {
    use rustls::CertificateError as Bad;
    const ELSE: &str = "check the endpoint, and what answers in its place";
    let rustls::Error::InvalidCertificate(bad) = error else {
        return ELSE;
    };
    // A wrong signature is what an authority that was made anew under its old name looks like.
    if matches!(bad, Bad::UnknownIssuer | Bad::BadSignature) {
        "its issuer is not known here: if the network inspects TLS, add that authority's certificate with \
         -c/--capath or `ca`, else something stands between us and the service"
    } else if matches!(
        bad,
        Bad::NotValidYet
            | Bad::NotValidYetContext { .. }
            | Bad::Expired
            | Bad::ExpiredContext { .. }
    ) {
        "it is not valid at this gateway's time: check the clock"
    } else if matches!(
        bad,
        Bad::NotValidForName | Bad::NotValidForNameContext { .. }
    ) {
        "it is another host's: check the endpoint, and what answers in its place"
    } else {
        ELSE
    }
}
