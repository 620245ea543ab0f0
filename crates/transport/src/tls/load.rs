//! From a policy to the files it names.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use openssl::error::ErrorStack;
use openssl::pkey::{Id, PKey, Private};
use tls_policy::{
    ChainRules, IdentityRules, Inbound, MaterialPair, NameCheck, Outbound, PassphraseSource,
    Profile, TlsPolicy, TlsRules,
};
use zeroize::Zeroizing;

use super::anchors::{self, RootsError};
use super::files::{ReadError, read};
use super::inputs::{Believed, Inputs, Judge, OwnLeaf};
use super::notice::LoadNotice;
use super::passphrase::{PassphraseError, passphrase};
use super::{Contexts, MaterialError, Offer, Security};

/// Why a policy cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A certificate or its key cannot be used.
    #[error("cannot use the certificate in {certificate}")]
    Material {
        /// The certificate.
        certificate: PathBuf,
        /// What is wrong.
        #[source]
        source: MaterialError,
    },
    /// The settings cannot be used.
    #[error("cannot do what is asked of TLS")]
    Setting(#[source] MaterialError),
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: ReadError,
    },
    /// There is no passphrase for a key.
    #[error("cannot decrypt {key}")]
    Passphrase {
        /// The key.
        key: PathBuf,
        /// Why.
        #[source]
        source: PassphraseError,
    },
    /// Nobody can be believed.
    #[error("cannot use the certificates of the authorities")]
    Roots(#[from] RootsError),
    /// The revocation lists cannot be used.
    #[error("cannot use the revocation lists in {path}")]
    Revocation {
        /// The file.
        path: PathBuf,
        /// What is wrong; `None`: there is no list in it.
        #[source]
        source: Option<ErrorStack>,
    },
    /// The strictest profile presents ECDSA certificates only, and there is none.
    #[error("the profile `modern` presents no RSA certificates, and {0} is the last")]
    OnlyRsa(PathBuf),
    /// The policy contradicts itself.
    #[error("{0}")]
    Contradiction(&'static str),
    /// These contexts do not come from files.
    #[error("there are no files to read again")]
    NotFromFiles,
}

impl Security {
    /// Reads the files that `policy` names, and checks them. Blocks on the file system, and on the
    /// command that gives a passphrase: for the start of a program.
    pub fn load(policy: &TlsPolicy) -> Result<Self, LoadError> {
        match policy {
            TlsPolicy::Plaintext(_) => Ok(Self::DangerPlaintext),
            TlsPolicy::Tls(rules) => Ok(Self::Tls(Arc::new(Contexts::load(rules)?))),
        }
    }
}

impl Inputs {
    /// Reads all files that `rules` name.
    pub(super) fn load(rules: &TlsRules) -> Result<Self, LoadError> {
        let mut notices = Vec::new();
        let asks = rules.client_certificates.asked();
        let inbound = match &rules.inbound {
            Inbound::AnyClient(_) if asks => {
                return Err(LoadError::Contradiction(
                    "clients are asked for certificates, and nothing says whose are believed",
                ));
            }
            Inbound::AnyClient(_) => None,
            Inbound::ClientCertificate(chain, check) => {
                // A client was not dialled: there is no name to compare with but a looked-up one.
                let check = match check {
                    NameCheck::ReverseDns { ip } => NameCheck::ReverseDns { ip: *ip },
                    NameCheck::ChainOnly | NameCheck::Dialled { .. } => NameCheck::ChainOnly,
                };
                Some(by_chain(chain, check, &mut notices)?)
            }
            Inbound::ComponentIdentity(identity) => Some(by_identity(identity)?),
        };
        let outbound = match &rules.outbound {
            Outbound::Unverified(_) => None,
            Outbound::Verified(chain, check) => Some(by_chain(chain, *check, &mut notices)?),
            Outbound::ComponentIdentity(identity) => Some(by_identity(identity)?),
        };
        notices.dedup();
        let leaves = leaves(rules, &mut notices)?;
        let revocation = rules.revocation.as_deref().map(revocation).transpose()?;
        Ok(Self {
            leaves,
            inbound: inbound.filter(|_| asks),
            outbound,
            offer: Offer {
                tls10: rules.versions.tls10,
                tls11: rules.versions.tls11,
                tls12: rules.versions.tls12,
                tls13: rules.versions.tls13,
                suites: rules.suites.openssl_string().to_owned(),
                groups: rules.groups.clone(),
            },
            revocation,
            principals: rules.principals.clone(),
            notices,
        })
    }
}

fn by_chain(
    chain: &ChainRules,
    check: NameCheck,
    notices: &mut Vec<LoadNotice>,
) -> Result<Believed, LoadError> {
    let roots = anchors::load(&chain.anchors, notices)?;
    Ok(Believed { roots, depth: chain.depth, judge: Judge::Name(check) })
}

fn by_identity(identity: &IdentityRules) -> Result<Believed, LoadError> {
    let roots = anchors::bundle(&identity.trust_bundle)?;
    Ok(Believed::members(roots, identity.trust_domain.clone()))
}

fn leaves(rules: &TlsRules, notices: &mut Vec<LoadNotice>) -> Result<Vec<OwnLeaf>, LoadError> {
    let mut leaves = Vec::new();
    let mut left_out = None;
    for pair in &rules.materials.pairs {
        let leaf = leaf(pair)?;
        if rules.profile == Profile::Modern && leaf.key.id() == Id::RSA {
            notices.push(LoadNotice::RsaLeaf(pair.certificate_chain.clone()));
            left_out = Some(pair.certificate_chain.clone());
        } else {
            leaves.push(leaf);
        }
    }
    match left_out {
        Some(path) if leaves.is_empty() => Err(LoadError::OnlyRsa(path)),
        _ => Ok(leaves),
    }
}

fn leaf(pair: &MaterialPair) -> Result<OwnLeaf, LoadError> {
    let reading = |path: &Path, source| LoadError::Read { path: path.to_owned(), source };
    let chain_pem =
        read(&pair.certificate_chain).map_err(|e| reading(&pair.certificate_chain, e))?;
    let key_pem = Zeroizing::new(read(&pair.key).map_err(|e| reading(&pair.key, e))?);
    let key = private_key(&key_pem, || match &pair.passphrase {
        None => Ok(None),
        Some(source) => ask(source).map(Some),
    });
    let key = key.map_err(|error| match error {
        KeyError::Passphrase(source) => LoadError::Passphrase { key: pair.key.clone(), source },
        KeyError::Material(source) => {
            LoadError::Material { certificate: pair.certificate_chain.clone(), source }
        }
    })?;
    OwnLeaf::new(&chain_pem, key).map_err(|source| LoadError::Material {
        certificate: pair.certificate_chain.clone(),
        source,
    })
}

fn ask(source: &PassphraseSource) -> Result<Zeroizing<Vec<u8>>, PassphraseError> {
    passphrase(source, std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from))
}

pub(super) enum KeyError {
    Passphrase(PassphraseError),
    Material(MaterialError),
}

/// Reads a key. `passphrase` is asked only if the key is encrypted; nobody is ever asked at a
/// terminal.
pub(super) fn private_key(
    pem: &[u8],
    passphrase: impl FnOnce() -> Result<Option<Zeroizing<Vec<u8>>>, PassphraseError>,
) -> Result<PKey<Private>, KeyError> {
    let mut asked = false;
    let mut refused = None;
    let key = PKey::private_key_from_pem_callback(pem, |room| {
        asked = true;
        match passphrase() {
            Ok(Some(secret)) if secret.len() <= room.len() => {
                room[..secret.len()].copy_from_slice(&secret);
                return Ok(secret.len());
            }
            Ok(Some(_)) => refused = Some(PassphraseError::TooLong),
            Ok(None) => {}
            Err(error) => refused = Some(error),
        }
        Err(ErrorStack::get())
    });
    match (key, refused) {
        (_, Some(error)) => Err(KeyError::Passphrase(error)),
        (Ok(key), None) => Ok(key),
        (Err(stack), None) if asked => Err(KeyError::Material(MaterialError::Encrypted(stack))),
        (Err(stack), None) => Err(KeyError::Material(MaterialError::Key(stack))),
    }
}

fn revocation(path: &Path) -> Result<Vec<u8>, LoadError> {
    let bytes = read(path).map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
    let lists = super::recheck::lists(&bytes)
        .map_err(|stack| LoadError::Revocation { path: path.to_owned(), source: Some(stack) })?;
    if lists.is_empty() {
        return Err(LoadError::Revocation { path: path.to_owned(), source: None });
    }
    Ok(bytes)
}
