//! Where certificates and keys lie on disk.
//!
//! ```text
//! <directory>/                  0700
//!   root.crt  root.key          what the cluster believes; the key signs intermediates only
//!   intermediate.crt .key       signs leaves
//!   trust-bundle.pem            all roots that are believed: what clients and daemons load
//!   <kind>-<name>.crt           a component's certificate and the intermediate
//!   <kind>-<name>.key           its key
//! ```
//!
//! Keys have the mode 0600 and are refused if others can read them. The authority appears as a
//! whole: its directory is filled under another name and then renamed, and never over another.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use model::identity::{Identity, TrustDomain};
use model::time::Timestamp;
use openssl::error::ErrorStack;
use zeroize::Zeroizing;

use crate::authority::{Authority, AuthorityError, Signer};
use crate::files::{self, Readers};
use crate::leaf::{IssueError, KeyKind, LeafRequest};

const ROOT: (&str, &str) = ("root.crt", "root.key");
const INTERMEDIATE: (&str, &str) = ("intermediate.crt", "intermediate.key");
const TRUST_BUNDLE: &str = "trust-bundle.pem";

/// An authority with its directory.
#[derive(Debug)]
pub struct Store {
    directory: PathBuf,
    authority: Authority,
}

/// What opening found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// Nothing: the authority is new.
    Created,
    /// The authority as it was.
    Existing,
    /// The authority; its intermediate had to be replaced.
    IntermediateRenewed,
}

/// The files of one component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafPaths {
    /// The chain, PEM, the leaf first.
    pub certificate: PathBuf,
    /// The key, PEM.
    pub key: PathBuf,
}

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The files are no authority of this trust domain.
    #[error("the certificate authority in `{directory}` cannot be used")]
    Authority {
        /// The store's directory.
        directory: PathBuf,
        /// Why.
        source: AuthorityError,
    },
    /// A key can be read by others than its owner.
    #[error("`{path}` can be read by others (chmod 600), its key is not used")]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// The directory has something in it, but no whole authority.
    #[error(
        "`{directory}` is not empty but has no `{missing}`: restore it, or move the directory away"
    )]
    Incomplete {
        /// The store's directory.
        directory: PathBuf,
        /// The file that should be there.
        missing: &'static str,
    },
    /// A file or directory cannot be read or written.
    #[error("`{path}` cannot be read or written")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A certificate is not issued.
    #[error("no certificate is issued for `{identity}`")]
    Issue {
        /// For whom.
        identity: Box<Identity>,
        /// Why.
        source: Box<IssueError>,
    },
    /// A file does not hold what its name says.
    #[error("`{path}` does not hold a certificate or key in PEM")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What OpenSSL says.
        source: ErrorStack,
    },
}

impl Store {
    /// Opens the authority in `directory`, or makes one if the directory does not exist or is
    /// empty. What is there is never overwritten, except an intermediate whose time has come.
    pub fn open_or_create(
        directory: &Path,
        trust_domain: &TrustDomain,
        now: Timestamp,
    ) -> Result<(Self, Opened), StoreError> {
        if is_empty(directory)? {
            let authority = create(directory, trust_domain, now)?;
            return Ok((Self { directory: directory.to_owned(), authority }, Opened::Created));
        }
        let root = read_signer(directory, ROOT)?;
        let Some(root) = root else {
            return Err(StoreError::Incomplete { directory: directory.into(), missing: ROOT.0 });
        };
        let intermediate = read_signer(directory, INTERMEDIATE)?;
        let (authority, renewed) =
            Authority::open(trust_domain.clone(), root, intermediate, now)
                .map_err(|source| StoreError::Authority { directory: directory.into(), source })?;
        let store = Self { directory: directory.to_owned(), authority };
        if renewed {
            store.write_intermediate()?;
        }
        // Derived from the root, so it is put right rather than believed.
        store.write_trust_bundle()?;
        Ok((store, if renewed { Opened::IntermediateRenewed } else { Opened::Existing }))
    }

    /// The authority.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The file with all roots that are believed.
    #[must_use]
    pub fn trust_bundle(&self) -> PathBuf {
        self.directory.join(TRUST_BUNDLE)
    }

    /// Where the certificate of `identity` lies, whether or not there is one.
    #[must_use]
    pub fn leaf_paths(&self, identity: &Identity, key: KeyKind) -> LeafPaths {
        // '+' is in no name, so no component can take another's file.
        let suffix = match key {
            KeyKind::EcdsaP256 => "",
            KeyKind::Rsa3072 => "+rsa",
        };
        let stem = format!("{}-{}{suffix}", identity.kind(), identity.name());
        LeafPaths {
            certificate: self.directory.join(format!("{stem}.crt")),
            key: self.directory.join(format!("{stem}.key")),
        }
    }

    /// Issues a certificate with a new key and puts it in the place of the one before.
    pub fn reissue(&self, request: &LeafRequest) -> Result<LeafPaths, StoreError> {
        let leaf = self.authority.issue(request).map_err(|source| StoreError::Issue {
            identity: request.identity.clone().into(),
            source: source.into(),
        })?;
        let paths = self.leaf_paths(&request.identity, request.key);
        replace(&paths.key, leaf.key_pem.expose_secret(), Readers::Owner)?;
        replace(&paths.certificate, &leaf.chain_pem, Readers::Everybody)?;
        Ok(paths)
    }

    fn write_intermediate(&self) -> Result<(), StoreError> {
        let signer = self.authority.intermediate();
        let certificate = self.directory.join(INTERMEDIATE.0);
        let key = self.directory.join(INTERMEDIATE.1);
        let malformed = |source| StoreError::Malformed { path: key.clone(), source };
        let key_pem = signer.key_pem().map_err(malformed)?;
        let certificate_pem = signer.certificate_pem().map_err(malformed)?;
        replace(&key, key_pem.expose_secret(), Readers::Owner)?;
        replace(&certificate, &certificate_pem, Readers::Everybody)
    }

    fn write_trust_bundle(&self) -> Result<(), StoreError> {
        let path = self.trust_bundle();
        let pem = self.authority.trust_bundle_pem().map_err(|source| StoreError::Authority {
            directory: self.directory.clone(),
            source,
        })?;
        match fs::read(&path) {
            Ok(present) if present == pem => Ok(()),
            _ => replace(&path, &pem, Readers::Everybody),
        }
    }
}

/// Makes an authority and its directory, the latter at once.
fn create(
    directory: &Path,
    trust_domain: &TrustDomain,
    now: Timestamp,
) -> Result<Authority, StoreError> {
    let failed = |source| StoreError::Authority { directory: directory.into(), source };
    let authority = Authority::create(trust_domain.clone(), now).map_err(failed)?;
    let mut name = directory.file_name().map(ToOwned::to_owned).unwrap_or_default();
    name.push(format!(".new-{}", std::process::id()));
    let temporary = directory.with_file_name(name);
    let result = fill(&temporary, &authority).and_then(|()| {
        // Over an empty directory only; anything else in the way is an error.
        fs::rename(&temporary, directory).map_err(io_error(directory))?;
        files::sync_parent(directory).map_err(io_error(directory))
    });
    if result.is_err() {
        // Already failing for a better reason.
        let _ = fs::remove_dir_all(&temporary);
    }
    result.map(|()| authority)
}

fn fill(directory: &Path, authority: &Authority) -> Result<(), StoreError> {
    files::create_private_directory(directory).map_err(io_error(directory))?;
    let failed = |source| StoreError::Authority { directory: directory.into(), source };
    let write = |name: &str, content: &[u8], readers| {
        let path = directory.join(name);
        files::create(&path, content, readers).map_err(io_error(&path))
    };
    for (names, signer) in [(ROOT, authority.root()), (INTERMEDIATE, authority.intermediate())] {
        let certificate = signer.certificate_pem().map_err(|e| failed(e.into()))?;
        let key = signer.key_pem().map_err(|e| failed(e.into()))?;
        write(names.0, &certificate, Readers::Everybody)?;
        write(names.1, key.expose_secret(), Readers::Owner)?;
    }
    write(TRUST_BUNDLE, &authority.trust_bundle_pem().map_err(failed)?, Readers::Everybody)?;
    files::sync_parent(&directory.join(TRUST_BUNDLE)).map_err(io_error(directory))
}

/// Reads a CA certificate and its key. `None`: the certificate does not exist. A certificate
/// without its key is an error for the root; for the intermediate it is as good as none.
fn read_signer(
    directory: &Path,
    names: (&'static str, &'static str),
) -> Result<Option<Signer>, StoreError> {
    let certificate_path = directory.join(names.0);
    let key_path = directory.join(names.1);
    let Some(certificate) = read(&certificate_path)? else { return Ok(None) };
    let Some(key) = read(&key_path)?.map(Zeroizing::new) else {
        if names == INTERMEDIATE {
            return Ok(None);
        }
        return Err(StoreError::Incomplete { directory: directory.into(), missing: names.1 });
    };
    if files::exposure(&key_path).map_err(io_error(&key_path))? != 0 {
        return Err(StoreError::Exposed { path: key_path });
    }
    Signer::from_pem(&certificate, &key)
        .map(Some)
        .map_err(|source| StoreError::Malformed { path: certificate_path, source })
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error(path)(error)),
    }
}

fn replace(path: &Path, content: &[u8], readers: Readers) -> Result<(), StoreError> {
    files::replace(path, content, readers).map_err(io_error(path))
}

fn is_empty(directory: &Path) -> Result<bool, StoreError> {
    match fs::read_dir(directory) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(io_error(directory)(error)),
    }
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { path, source }
}
