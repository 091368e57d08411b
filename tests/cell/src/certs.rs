//! Certificates of the cell, made when it starts and never kept.
//!
//! Responsible for: an authority, a server certificate under it, and the wrong certificates of the negative tests.

use std::io;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// The names the server certificate is good for.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Which certificate a service shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ServerCertificate {
    /// Signed by the authority, for `localhost`, `127.0.0.1` and `::1`.
    #[default]
    Good,
    /// The right names, signed by an authority that nobody was told of.
    OtherAuthority,
    /// Signed by the authority, for `wrong.example`.
    WrongName,
    /// Signed by the authority, but it ended in 2001.
    Expired,
}

/// A certificate authority with its key.
pub struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes a new authority.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn new() -> io::Result<Self> {
        let mut params = CertificateParams::new(Vec::<String>::new()).map_err(io::Error::other)?;
        params
            .distinguished_name
            .push(DnType::CommonName, "Authority of the simulated cell");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let certificate = params.self_signed(&key).map_err(io::Error::other)?;
        Ok(Self {
            certificate,
            issuer: Issuer::new(params, key),
        })
    }

    /// The certificate of the authority, for a client's list of roots.
    pub fn ca_pem(&self) -> String {
        self.certificate.pem()
    }

    /// The TLS side of a server that shows the wanted certificate. TLS 1.2 and 1.3.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn server_config(&self, which: ServerCertificate) -> io::Result<Arc<ServerConfig>> {
        let other;
        let authority = match which {
            ServerCertificate::OtherAuthority => {
                other = Self::new()?;
                &other
            }
            ServerCertificate::Good | ServerCertificate::WrongName | ServerCertificate::Expired => {
                self
            }
        };
        let (certificate, key) = authority.sign(which)?;
        let config =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(io::Error::other)?
                .with_no_client_auth()
                .with_single_cert(vec![certificate.der().clone()], private_key(&key))
                .map_err(io::Error::other)?;
        Ok(Arc::new(config))
    }

    fn sign(&self, which: ServerCertificate) -> io::Result<(Certificate, KeyPair)> {
        let names: Vec<String> = match which {
            ServerCertificate::WrongName => vec!["wrong.example".to_owned()],
            ServerCertificate::Good
            | ServerCertificate::OtherAuthority
            | ServerCertificate::Expired => NAMES.iter().map(|&name| name.to_owned()).collect(),
        };
        let mut params = CertificateParams::new(names).map_err(io::Error::other)?;
        params
            .distinguished_name
            .push(DnType::CommonName, "Service of the simulated cell");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        if which == ServerCertificate::Expired {
            params.not_before = date_time_ymd(2000, 1, 1);
            params.not_after = date_time_ymd(2001, 1, 1);
        }
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let certificate = params
            .signed_by(&key, &self.issuer)
            .map_err(io::Error::other)?;
        Ok((certificate, key))
    }
}

/// The TLS side of a client that trusts only the authorities in `ca_pem`.
///
/// # Errors
/// When the text holds no certificate.
pub fn client_config(ca_pem: &str) -> io::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
        let certificate = certificate.map_err(io::Error::other)?;
        roots.add(certificate).map_err(io::Error::other)?;
    }
    if roots.is_empty() {
        return Err(io::Error::other(
            "no certificate in the PEM text of the authority",
        ));
    }
    let config =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
    Ok(Arc::new(config))
}

fn private_key(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivatePkcs8KeyDer::from(key.serialize_der()).into()
}
