//! Certificates to trust beside the built-in roots: a PEM file or a folder of them.

use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};

use super::fault::{Faults, Misfit, Place, Warning, shown};
use super::reading::read_bounded;
use crate::limits::{CERTIFICATES_MAX, PEM_ENTRIES_MAX, PEM_MAX};

/// All certificates behind `path`, each of which can be a trust anchor.
///
/// `place` is the flag or key that named the path.
pub(super) fn read(
    path: &Path,
    place: &Place,
    faults: &mut Faults,
    warnings: &mut Vec<Warning>,
) -> Vec<CertificateDer<'static>> {
    let mut roots = Roots {
        place,
        found: Vec::new(),
    };
    if path.is_dir() {
        roots.read_folder(path, faults, warnings);
    } else if roots.read_file(path, faults) == Some(0) {
        let misfit = Misfit::new(
            format!("no certificate in {}", shown(path)),
            "at least one certificate in PEM (-----BEGIN CERTIFICATE-----)",
            "DER becomes PEM by `openssl x509 -inform der -in FILE`",
        );
        faults.add(misfit.at(place.clone()));
    }
    roots.found
}

struct Roots<'p> {
    place: &'p Place,
    found: Vec<CertificateDer<'static>>,
}

impl Roots<'_> {
    fn read_folder(&mut self, folder: &Path, faults: &mut Faults, warnings: &mut Vec<Warning>) {
        let files = match list(folder) {
            Ok(files) => files,
            Err(misfit) => return faults.add(misfit.at(self.place.clone())),
        };
        let before = faults.len();
        for file in &files {
            if self.read_file(file, faults) == Some(0) {
                warnings.push(Warning::new(format!(
                    "{}: {} holds no certificate in PEM and is passed over",
                    self.place,
                    shown(file)
                )));
            }
        }
        if self.found.is_empty() && faults.len() == before {
            let misfit = Misfit::new(
                format!(
                    "no certificate in the {} files of {}",
                    files.len(),
                    shown(folder)
                ),
                "a folder with at least one certificate in PEM",
                "put the root certificate there, or leave the folder out: the public roots are built in",
            );
            faults.add(misfit.at(self.place.clone()));
        }
    }

    /// How many certificates the file has; nothing if it has a fault.
    fn read_file(&mut self, path: &Path, faults: &mut Faults) -> Option<usize> {
        let bytes = match read_bounded(path, PEM_MAX) {
            Ok(bytes) => bytes,
            Err(misfit) => {
                faults.add(misfit.about(path).at(self.place.clone()));
                return None;
            }
        };
        let mut count = 0;
        for certificate in CertificateDer::pem_slice_iter(&bytes) {
            if let Err(misfit) = self.take(path, count + 1, certificate) {
                faults.add(misfit.at(self.place.clone()));
                return None;
            }
            count += 1;
        }
        Some(count)
    }

    fn take(
        &mut self,
        path: &Path,
        number: usize,
        certificate: Result<CertificateDer<'static>, pem::Error>,
    ) -> Result<(), Misfit> {
        let broken = |reason: String| {
            Misfit::new(
                format!(
                    "a broken certificate, number {number} in {} ({reason})",
                    shown(path)
                ),
                "a whole X.509 certificate in PEM",
                "copy the file again; `openssl x509 -text -in FILE` must show it",
            )
        };
        let certificate = certificate.map_err(|error| broken(reason_of(&error)))?;
        RootCertStore::empty()
            .add(certificate.clone())
            .map_err(|error| broken(error.to_string()))?;
        // A folder of OpenSSL has each certificate twice: the file, and a link named by its hash.
        if self.found.contains(&certificate) {
            return Ok(());
        }
        if self.found.len() == CERTIFICATES_MAX {
            let misfit = Misfit::new(
                format!("more than {CERTIFICATES_MAX} certificates"),
                format!("at most {CERTIFICATES_MAX}"),
                "the public roots are built in: name only your own",
            );
            return Err(misfit);
        }
        self.found.push(certificate);
        Ok(())
    }
}

/// The files of a folder, sorted; folders in it are passed over.
fn list(folder: &Path) -> Result<Vec<PathBuf>, Misfit> {
    let unreadable = |error: std::io::Error| {
        Misfit::new(
            format!("no content ({error})"),
            "a readable folder",
            "look at its owner and mode (`ls -ld`)",
        )
        .about(folder)
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if files.len() == PEM_ENTRIES_MAX {
            return Err(Misfit::new(
                format!("more than {PEM_ENTRIES_MAX} files in {}", shown(folder)),
                "a folder of certificates",
                "name a folder that holds nothing else",
            ));
        }
        if !path.is_dir() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// What is broken about a PEM section, without its content, which may be a key.
pub(super) fn reason_of(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => "its END line is missing".to_owned(),
        pem::Error::IllegalSectionStart { .. } => "its BEGIN line is broken".to_owned(),
        pem::Error::Base64Decode(_) => "its base64 is broken".to_owned(),
        pem::Error::Io(error) => error.to_string(),
        pem::Error::NoItemsFound => "it is empty".to_owned(),
        pem::Error::SectionTooLarge => "it is too large".to_owned(),
        // The crate may name more kinds in any release (`non_exhaustive`).
        _ => "it is no PEM".to_owned(),
    }
}
