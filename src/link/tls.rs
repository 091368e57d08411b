//! TLS: the built-in roots and what the owner adds to them; and what a failure means to a technician.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use rustls::client::{ClientConfig, Resumption, WantsClientCert};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::{AlertDescription, CertificateError, ConfigBuilder, RootCertStore};

use crate::config::Identity;

/// Sessions kept for resumption; there is one service.
const SESSIONS: usize = 4;

/// What stands in the place of a host that should have answered.
pub const PORTAL: &str = "a captive portal or an inspecting proxy answers in its place: log in on the network's \
     page (from a notebook on the same network), or have this gateway let through without one";

/// A client that trusts the built-in roots and `extra` ones, with TLS 1.2 and 1.3. There is no way to switch
/// the check of the server's certificate off.
///
/// # Errors
/// An extra root that is no certificate; the configuration has checked that before.
pub fn client(extra: &[CertificateDer<'static>]) -> Result<Arc<ClientConfig>, rustls::Error> {
    Ok(finished(trusting(extra)?.with_no_client_auth()))
}

/// As [`client`], and it shows its own certificate when it is asked; `alpn` is the one protocol it offers.
///
/// # Errors
/// As of [`client`].
pub fn client_as(
    extra: &[CertificateDer<'static>],
    identity: &Identity,
    alpn: Option<&[u8]>,
) -> Result<Arc<ClientConfig>, rustls::Error> {
    let certificate = SingleCertAndKey::from(identity.certified());
    let mut config = trusting(extra)?.with_client_cert_resolver(Arc::new(certificate));
    config.alpn_protocols = alpn.map(<[u8]>::to_vec).into_iter().collect();
    Ok(finished(config))
}

fn trusting(
    extra: &[CertificateDer<'static>],
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, rustls::Error> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    for certificate in extra {
        roots.add(certificate.clone())?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots))
}

fn finished(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    Arc::new(config)
}

/// A failed TLS connection in words: what happened, and what to do.
pub struct Failed<'e>(pub &'e io::Error);

impl fmt::Display for Failed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failed(error) = self;
        if let Some(error) = error.get_ref().and_then(|e| e.downcast_ref()) {
            return write!(f, "{error}: {}", advice(error));
        }
        use io::ErrorKind as Kind;
        if [Kind::UnexpectedEof, Kind::ConnectionReset, Kind::BrokenPipe].contains(&error.kind()) {
            return write!(
                f,
                "{error}: it was cut off in the handshake; does a firewall on the way filter by host name, or \
                 does something else listen there?"
            );
        }
        write!(f, "{error}: check what stands between us and it")
    }
}

/// What a technician can do about a TLS connection that failed.
pub fn advice(error: &rustls::Error) -> String {
    use rustls::Error as Tls;
    if let Tls::InvalidCertificate(bad) = error {
        return of_certificate(bad);
    }
    if let Tls::AlertReceived(alert) = error {
        return of_alert(*alert);
    }
    if let Tls::InvalidMessage(_) = error {
        return format!(
            "what answers does not speak TLS; perhaps {PORTAL}; else check the endpoint and its port"
        );
    }
    "check the endpoint, and what answers in its place".to_owned()
}

fn of_certificate(bad: &CertificateError) -> String {
    use CertificateError as Bad;
    // A wrong signature is what an authority that was made anew under its old name looks like.
    if matches!(bad, Bad::UnknownIssuer | Bad::BadSignature) {
        return format!(
            "its issuer is not known here: if the network inspects TLS, add that authority's certificate with \
             -c/--capath or `ca`; else {PORTAL}"
        );
    }
    if let Bad::NotValidYetContext { time, not_before } = bad {
        return format!(
            "it is not valid before {}, and this gateway's clock says {}: check the clock and set it",
            date(*not_before),
            date(*time)
        );
    }
    if let Bad::ExpiredContext { time, not_after } = bad {
        return format!(
            "it was valid until {}, and this gateway's clock says {}: check the clock; if it is right, the \
             certificate has to be renewed at the other end",
            date(*not_after),
            date(*time)
        );
    }
    if matches!(bad, Bad::NotValidYet | Bad::Expired) {
        return "it is not valid at this gateway's time: check the clock".to_owned();
    }
    if let Bad::NotValidForNameContext { presented, .. } = bad {
        return format!(
            "it is another host's ({}): check the endpoint; if that is right, {PORTAL}",
            names(presented)
        );
    }
    if matches!(bad, Bad::Revoked) {
        return "its authority has revoked it: do not trust what answers there".to_owned();
    }
    "check the endpoint, and what answers in its place".to_owned()
}

/// What the other end says of us; with a device certificate it is mostly about that.
fn of_alert(alert: AlertDescription) -> String {
    use AlertDescription as Alert;
    if [
        Alert::BadCertificate,
        Alert::UnsupportedCertificate,
        Alert::CertificateRevoked,
        Alert::CertificateExpired,
        Alert::CertificateUnknown,
        Alert::UnknownCA,
        Alert::AccessDenied,
        Alert::CertificateRequired,
    ]
    .contains(&alert)
    {
        return "the other end does not take our certificate: is the device certificate active, registered \
                there, and does it belong to this endpoint's account?"
            .to_owned();
    }
    if alert == Alert::NoApplicationProtocol {
        return "the other end does not know what was offered by ALPN: check host and port"
            .to_owned();
    }
    if [Alert::HandshakeFailure, Alert::ProtocolVersion].contains(&alert) {
        return "the other end has no TLS version or cipher in common with us: TLS 1.2 or 1.3 is needed; check \
                the endpoint, and what answers in its place"
            .to_owned();
    }
    "check the endpoint, and what answers in its place".to_owned()
}

/// The first names of a certificate, as rustls gives them: `DnsName("wrong.example")`.
fn names(presented: &[String]) -> String {
    const SHOWN: usize = 4;
    let bare = |name: &String| match name.split('"').nth(1) {
        Some(quoted) => quoted.chars().take(64).collect(),
        None => name.chars().take(64).collect::<String>(),
    };
    let shown: Vec<String> = presented.iter().take(SHOWN).map(bare).collect();
    match presented.len() {
        0 => "it names none".to_owned(),
        1..=SHOWN => shown.join(", "),
        _ => format!("{}, …", shown.join(", ")),
    }
}

fn date(time: UnixTime) -> String {
    // The end of the year 9999, the last that can be written so.
    const LAST: u64 = 253_402_300_799;
    let since = Duration::from_secs(time.as_secs().min(LAST));
    humantime::format_rfc3339_seconds(UNIX_EPOCH + since).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(bad: CertificateError) -> String {
        advice(&rustls::Error::InvalidCertificate(bad))
    }

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    #[test]
    fn a_clock_that_is_wrong_is_told_in_dates() {
        let early = said(CertificateError::NotValidYetContext {
            time: at(100),
            not_before: at(1_767_225_600),
        });
        for part in [
            "not valid before 2026-01-01T00:00:00Z",
            "1970-01-01T00:01:40Z",
            "clock",
        ] {
            assert!(early.contains(part), "{early:?} lacks {part:?}");
        }
        let late = said(CertificateError::ExpiredContext {
            time: at(u64::MAX),
            not_after: at(1_767_225_600),
        });
        assert!(late.contains("until 2026-01-01"), "{late:?}");
    }

    #[test]
    fn the_names_of_a_wrong_certificate_are_told() {
        let presented = |count: usize| CertificateError::NotValidForNameContext {
            expected: "data.example".try_into().expect("a name"),
            presented: (0..count)
                .map(|n| format!("DnsName(\"portal{n}.example\")"))
                .collect(),
        };
        assert!(said(presented(1)).contains("(portal0.example)"));
        assert!(said(presented(9)).contains("portal3.example, …)"));
        assert!(said(presented(0)).contains("names none"));
        assert!(said(presented(1)).contains("captive portal"));
    }

    #[test]
    fn what_speaks_no_tls_is_a_portal() {
        let message = rustls::InvalidMessage::InvalidContentType;
        let said = advice(&rustls::Error::InvalidMessage(message));
        assert!(
            said.contains("does not speak TLS") && said.contains("captive portal"),
            "{said}"
        );
    }

    #[test]
    fn an_alert_about_our_certificate_points_at_the_device() {
        let said = advice(&rustls::Error::AlertReceived(
            AlertDescription::CertificateUnknown,
        ));
        assert!(said.contains("device certificate"), "{said}");
    }
}
