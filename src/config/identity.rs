//! Who the gateway is: its device certificate, and the key that belongs to it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, RootCertStore};
use zeroize::Zeroizing;

use super::fault::{Faults, Misfit, Place, Warning, shown};
use super::reading::{is_open_to_all, read_bounded};
use super::roots::reason_of;
use crate::limits::{CHAIN_MAX, DEVICE_KEY_MAX, PEM_MAX};

/// A device certificate and its key, which belong together. Copies are cheap and share the key.
#[derive(Clone)]
pub struct Identity(Arc<CertifiedKey>);

impl Identity {
    /// The certificate, the device's own first, and the key as TLS takes both.
    pub fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0)
    }

    /// The device's own certificate first, then those that lead to its authority. Never empty.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.0.cert
    }

    /// Joins the two, if they belong together. That the certificate has expired, or is not yet valid, is
    /// no fault: it may be the clock that is wrong.
    pub(super) fn join(
        certificates: Vec<CertificateDer<'static>>,
        key: &PrivateKeyDer<'_>,
    ) -> Result<Identity, Error> {
        let certified = CertifiedKey::new(certificates, any_supported_type(key)?);
        certified.keys_match()?;
        Ok(Identity(Arc::new(certified)))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<identity>")
    }
}

/// A file, and the key of the configuration that named it.
type Named = (PathBuf, Place);

/// Both files of `[notify]`.
pub(super) fn read(
    certificate: Option<Named>,
    key: Option<Named>,
    faults: &mut Faults,
    warnings: &mut Vec<Warning>,
) -> Option<Identity> {
    let certificates = certificate.and_then(|(path, place)| {
        let chain = faults.keep(place.clone(), read_chain(&path))?;
        Some((chain, path, place))
    });
    let key = key.and_then(|(path, place)| {
        let key = faults.keep(place.clone(), read_key(&path))?;
        if is_open_to_all(&path) {
            warnings.push(Warning::new(format!(
                "{place}: every user of this machine can read the key {}; \
                 `chmod o-rwx` it, and have a new one made if that was not meant",
                shown(&path)
            )));
        }
        Some((key, path, place))
    });
    let (certificates, certificate_path, certificate_place) = certificates?;
    let (key, key_path, key_place) = key?;
    match Identity::join(certificates, &key) {
        Ok(identity) => Some(identity),
        Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            let misfit = Misfit::new(
                format!(
                    "the key {}, which is not that of the certificate {} ({certificate_place})",
                    shown(&key_path),
                    shown(&certificate_path)
                ),
                "the two files of one device",
                "download or copy both again, as a pair",
            );
            faults.add(misfit.at(key_place));
            None
        }
        Err(Error::InvalidCertificate(reason)) => {
            let misfit = broken_certificate(1, &certificate_path, &format!("{reason:?}"));
            faults.add(misfit.at(certificate_place));
            None
        }
        Err(error) => {
            let misfit = Misfit::new(
                format!("a key that TLS cannot use ({error})"),
                "an RSA key of 2048 bits or more, or one of the curves P-256 and P-384",
                "let AWS make a new certificate with its key",
            );
            faults.add(misfit.about(&key_path).at(key_place));
            None
        }
    }
}

/// The certificates of a file: the device's own, and those that lead to its authority.
fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, Misfit> {
    let bytes = read_bounded(path, PEM_MAX).map_err(|misfit| misfit.about(path))?;
    let mut chain = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&bytes) {
        let number = chain.len() + 1;
        if chain.len() == CHAIN_MAX {
            let misfit = Misfit::new(
                format!("more than {CHAIN_MAX} certificates"),
                "the device certificate, and those that lead to its authority",
                "authorities to trust stand in a file of their own, named by ca",
            );
            return Err(misfit.about(path));
        }
        let certificate =
            certificate.map_err(|error| broken_certificate(number, path, &reason_of(&error)))?;
        RootCertStore::empty()
            .add(certificate.clone())
            .map_err(|error| broken_certificate(number, path, &error.to_string()))?;
        chain.push(certificate);
    }
    if chain.is_empty() {
        let misfit = Misfit::new(
            "no certificate",
            "the device certificate in PEM (-----BEGIN CERTIFICATE-----)",
            "DER becomes PEM by `openssl x509 -inform der -in FILE`",
        );
        return Err(misfit.about(path));
    }
    Ok(chain)
}

fn broken_certificate(number: usize, path: &Path, reason: &str) -> Misfit {
    Misfit::new(
        format!(
            "a broken certificate, number {number} in {} ({reason})",
            shown(path)
        ),
        "a whole X.509 certificate in PEM",
        "copy the file again; `openssl x509 -text -in FILE` must show it",
    )
}

/// The one key of a file. Nothing of its content is in a fault.
fn read_key(path: &Path) -> Result<Zeroizing<PrivateKeyDer<'static>>, Misfit> {
    const KINDS: &str = "a private key in PEM: PKCS#8, PKCS#1 or SEC1, without a passphrase";
    let bytes = read_bounded(path, DEVICE_KEY_MAX).map_err(|misfit| misfit.about(path))?;
    let bytes = Zeroizing::new(bytes);
    // Both ways to say so: of PKCS#8, and of OpenSSL before it.
    if [b"BEGIN ENCRYPTED".as_slice(), b"4,ENCRYPTED"]
        .iter()
        .any(|mark| holds(&bytes, mark))
    {
        let misfit = Misfit::new(
            "a key with a passphrase",
            KINDS,
            "nobody is there to type it: `openssl pkey -in FILE -out NEW` takes it off",
        );
        return Err(misfit.about(path));
    }
    let mut keys = PrivateKeyDer::pem_slice_iter(&bytes);
    let misfit = match keys.next() {
        Some(Ok(key)) => {
            let key = Zeroizing::new(key);
            if keys.next().is_none() {
                return Ok(key);
            }
            Misfit::new(
                "more than one key",
                "the one of the certificate",
                "delete the others",
            )
        }
        Some(Err(error)) => broken_key(&error, KINDS),
        None => Misfit::new(
            "no private key",
            KINDS,
            "look whether certificate and key are the wrong way round",
        ),
    };
    Err(misfit.about(path))
}

fn broken_key(error: &pem::Error, expected: &str) -> Misfit {
    Misfit::new(
        format!("a broken key ({})", reason_of(error)),
        expected,
        "copy the file again; `openssl pkey -noout -in FILE` must take it",
    )
}

fn holds(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}
