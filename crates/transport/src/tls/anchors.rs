//! The roots that are believed: a PEM file, a directory, or the system's.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::x509::X509;
use tls_policy::TrustAnchors;

use super::files::{ReadError, read};
use super::notice::LoadNotice;

/// Where systems keep all their roots in one file.
const SYSTEM_FILES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// Where systems keep them one by one.
const SYSTEM_DIRECTORIES: [&str; 2] = ["/etc/ssl/certs", "/etc/pki/tls/certs"];

/// Entries of a directory of roots that are looked at; more is an error.
pub const MOST_ENTRIES: usize = 20_000;

/// Why there are no roots.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// A file cannot be read.
    #[error("{path} cannot be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: ReadError,
    },
    /// A directory cannot be read.
    #[error("{path} cannot be read")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file that is named is not PEM.
    #[error("{path} holds no certificates in PEM")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What the library says; `None`: there is simply none in it.
        #[source]
        source: Option<ErrorStack>,
    },
    /// A directory holds no certificate at all.
    #[error("there is no certificate in {0}")]
    Empty(PathBuf),
    /// A directory holds too much.
    #[error("{0} has more than {MOST_ENTRIES} entries")]
    TooMany(PathBuf),
    /// The system has no roots in any of the usual places.
    #[error("this system has no certificates of authorities in the usual places")]
    NoSystem,
    /// The library failed.
    #[error("the TLS library failed")]
    Library(#[from] ErrorStack),
}

/// Roots, each once.
#[derive(Default)]
struct Roots {
    certificates: Vec<X509>,
    seen: HashSet<Vec<u8>>,
}

impl Roots {
    /// Adds certificates; whether one of them was new.
    fn add(&mut self, certificates: Vec<X509>) -> Result<bool, RootsError> {
        let mut new = false;
        for certificate in certificates {
            if self.seen.insert(certificate.digest(MessageDigest::sha256())?.to_vec()) {
                self.certificates.push(certificate);
                new = true;
            }
        }
        Ok(new)
    }
}

/// Reads the roots. All of a directory is read now, so that no handshake waits for a disk; what is
/// put there later counts from the next reload.
pub(super) fn load(
    anchors: &TrustAnchors,
    notices: &mut Vec<LoadNotice>,
) -> Result<Vec<X509>, RootsError> {
    let mut roots = Roots::default();
    match anchors {
        TrustAnchors::Files { file, dir } => {
            if let Some(file) = file {
                roots.add(bundle(file)?)?;
            }
            if let Some(dir) = dir {
                let unhashed = directory(dir, &mut roots)?;
                if !unhashed.is_empty() {
                    notices.push(LoadNotice::Unhashed { directory: dir.clone(), files: unhashed });
                }
                if roots.certificates.is_empty() {
                    return Err(RootsError::Empty(dir.clone()));
                }
            }
        }
        TrustAnchors::System => {
            let file = SYSTEM_FILES.iter().map(Path::new).find(|path| path.is_file());
            if let Some(file) = file {
                roots.add(bundle(file)?)?;
            } else {
                for dir in SYSTEM_DIRECTORIES.iter().map(Path::new).filter(|path| path.is_dir()) {
                    directory(dir, &mut roots)?;
                }
            }
        }
    }
    if roots.certificates.is_empty() { Err(RootsError::NoSystem) } else { Ok(roots.certificates) }
}

/// A PEM file with at least one certificate.
pub(super) fn bundle(path: &Path) -> Result<Vec<X509>, RootsError> {
    let bytes = read(path).map_err(|source| RootsError::Read { path: path.to_owned(), source })?;
    let pem = |source| RootsError::Pem { path: path.to_owned(), source };
    let certificates = X509::stack_from_pem(&bytes).map_err(|stack| pem(Some(stack)))?;
    if certificates.is_empty() { Err(pem(None)) } else { Ok(certificates) }
}

/// Reads a directory: first the files that OpenSSL would find by their hashed names, then the
/// others. Returns those others that added a certificate.
fn directory(path: &Path, roots: &mut Roots) -> Result<Vec<PathBuf>, RootsError> {
    let failed = |source| RootsError::Directory { path: path.to_owned(), source };
    let mut hashed = Vec::new();
    let mut others = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let list = if is_hashed(&name) { &mut hashed } else { &mut others };
        list.push(name);
        if hashed.len() + others.len() > MOST_ENTRIES {
            return Err(RootsError::TooMany(path.to_owned()));
        }
    }
    hashed.sort();
    others.sort();
    for name in hashed {
        if let Some(certificates) = certificates(&path.join(name)) {
            roots.add(certificates)?;
        }
    }
    let mut unhashed = Vec::new();
    for name in others {
        if let Some(certificates) = certificates(&path.join(&name))
            && roots.add(certificates)?
        {
            unhashed.push(PathBuf::from(name));
        }
    }
    Ok(unhashed)
}

/// The certificates in a file of a directory; `None` if it is none that has some. A directory may
/// hold anything: keys, lists, notes.
fn certificates(path: &Path) -> Option<Vec<X509>> {
    if !path.is_file() {
        return None;
    }
    let bytes = zeroize::Zeroizing::new(read(path).ok()?);
    let certificates = X509::stack_from_pem(&bytes).ok()?;
    (!certificates.is_empty()).then_some(certificates)
}

/// Whether OpenSSL looks for certificates under such a name: eight hexadecimal digits, a dot, a
/// number.
fn is_hashed(name: &OsStr) -> bool {
    let Some((hash, number)) = name.to_str().and_then(|name| name.split_once('.')) else {
        return false;
    };
    hash.len() == 8
        && hash.bytes().all(|b| b.is_ascii_hexdigit())
        && !number.is_empty()
        && number.bytes().all(|b| b.is_ascii_digit())
}
