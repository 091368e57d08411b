//! Certificates of the cell, made when it starts and never kept.
//!
//! Responsible for: an authority, a server certificate under it, certificates of devices, and the wrong certificates of
//! the negative tests.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// The names the server certificate is good for.
const NAMES: [&str; 5] = ["localhost", "127.0.0.1", "::1", TUNNEL_NAME, BROKER_NAME];

/// A name of the tunnelling service that no resolver knows; only a proxy, which is told, leads there.
pub const TUNNEL_NAME: &str = "data.tunneling.cell.example";

/// The same of the broker, so that it can be asked for on port 443.
pub const BROKER_NAME: &str = "mqtt.cell.example";

/// Which certificate a service shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ServerCertificate {
    /// Signed by the authority, for `localhost`, `127.0.0.1`, `::1`, [`TUNNEL_NAME`] and [`BROKER_NAME`].
    #[default]
    Good,
    /// The right names, signed by an authority that nobody was told of.
    OtherAuthority,
    /// Signed by the authority, for `wrong.example`.
    WrongName,
    /// Signed by the authority, but it ended in 2001.
    Expired,
    /// Signed by the authority, but it begins in 2030.
    NotYetValid,
}

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl Identity {
    /// The TLS side of a client that shows this certificate and trusts only the authorities in `ca_pem`.
    ///
    /// # Errors
    /// When a text is no PEM.
    pub fn client_config(&self, ca_pem: &str) -> io::Result<ClientConfig> {
        let certificates = CertificateDer::pem_slice_iter(self.certificate.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(io::Error::other)?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).map_err(io::Error::other)?;
        ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots(ca_pem)?)
            .with_client_auth_cert(certificates, key)
            .map_err(io::Error::other)
    }
}

impl std::fmt::Debug for Identity {
    // Without the key: test output is a log too.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<identity>")
    }
}

/// What a device needs to log in: paths of PEM files.
#[derive(Debug, Clone)]
pub struct DeviceFiles {
    /// The thing; the client id and the common name of the certificate.
    pub thing: String,
    /// The authority of the broker.
    pub ca: PathBuf,
    /// The certificate of the device.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl DeviceFiles {
    /// Writes the files into a folder.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(
        folder: &Path,
        thing: &str,
        ca_pem: &str,
        identity: &Identity,
    ) -> io::Result<Self> {
        let write = |name: String, mode: u32, text: &str| {
            let path = folder.join(name);
            let mut options = OpenOptions::new();
            let mut file = options
                .write(true)
                .create(true)
                .truncate(true)
                .mode(mode)
                .open(&path)?;
            file.write_all(text.as_bytes()).map(|()| path)
        };
        Ok(Self {
            thing: thing.to_owned(),
            ca: write("ca.pem".to_owned(), 0o644, ca_pem)?,
            certificate: write(format!("{thing}.crt"), 0o644, &identity.certificate)?,
            // The agent complains of a key that others can read.
            key: write(format!("{thing}.key"), 0o600, &identity.key)?,
        })
    }
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
            ServerCertificate::Good
            | ServerCertificate::WrongName
            | ServerCertificate::Expired
            | ServerCertificate::NotYetValid => self,
        };
        let (certificate, key) = authority.sign(which)?;
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private_key(&key))
            .map_err(io::Error::other)?;
        Ok(Arc::new(config))
    }

    /// The TLS side of a server that shows the good certificate and demands one of this authority from its clients.
    /// TLS 1.2 and 1.3. `alpn` is the name it speaks; rustls lets a client without ALPN in all the same, so whoever
    /// demands the name must look.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn mutual_server_config(&self, alpn: Option<&str>) -> io::Result<Arc<ServerConfig>> {
        let (certificate, key) = self.sign(ServerCertificate::Good)?;
        let verifier = WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots(&self.ca_pem())?),
            provider(),
        )
        .build()
        .map_err(io::Error::other)?;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![certificate.der().clone()], private_key(&key))
            .map_err(io::Error::other)?;
        config.alpn_protocols = alpn
            .map(|name| name.as_bytes().to_vec())
            .into_iter()
            .collect();
        Ok(Arc::new(config))
    }

    /// The good server certificate with its key, for a server that is no part of this crate.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn server_identity(&self) -> io::Result<Identity> {
        let (certificate, key) = self.sign(ServerCertificate::Good)?;
        Ok(identity(&certificate, &key))
    }

    /// The certificate of a device whose common name is `thing`, as AWS IoT would be told of it.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn device(&self, thing: &str) -> io::Result<Identity> {
        let mut params = CertificateParams::new(Vec::<String>::new()).map_err(io::Error::other)?;
        params.distinguished_name.push(DnType::CommonName, thing);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let certificate = params
            .signed_by(&key, &self.issuer)
            .map_err(io::Error::other)?;
        Ok(identity(&certificate, &key))
    }

    fn sign(&self, which: ServerCertificate) -> io::Result<(Certificate, KeyPair)> {
        let names: Vec<String> = match which {
            ServerCertificate::WrongName => vec!["wrong.example".to_owned()],
            ServerCertificate::Good
            | ServerCertificate::OtherAuthority
            | ServerCertificate::Expired
            | ServerCertificate::NotYetValid => NAMES.iter().map(|&name| name.to_owned()).collect(),
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
        if which == ServerCertificate::NotYetValid {
            params.not_before = date_time_ymd(2030, 1, 1);
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
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots(ca_pem)?)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn roots(ca_pem: &str) -> io::Result<RootCertStore> {
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
    Ok(roots)
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn identity(certificate: &Certificate, key: &KeyPair) -> Identity {
    Identity {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    }
}

fn private_key(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivatePkcs8KeyDer::from(key.serialize_der()).into()
}
