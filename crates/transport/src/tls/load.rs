//! From a policy to the files it names.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tls_policy::{Inbound, Outbound, PlaintextPeers, TlsPolicy, TlsRules};

use super::{Contexts, Leaf, MaterialError, Offer, Security, TlsMaterial};

/// Why a policy cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The contents of the files cannot be used.
    #[error("cannot use the certificate in {certificate}")]
    Material {
        /// The first certificate.
        certificate: PathBuf,
        /// What is wrong.
        #[source]
        source: MaterialError,
    },
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The policy asks for something that is not carried out yet. Nothing less is done instead.
    #[error("{0} is not supported yet")]
    Unsupported(&'static str),
}

impl Security {
    /// Reads the files that `policy` names, and checks them. Blocks on the file system: for the
    /// start of a program.
    pub fn load(policy: &TlsPolicy) -> Result<Self, LoadError> {
        match policy {
            TlsPolicy::Plaintext(_) => Ok(Self::DangerPlaintext),
            TlsPolicy::Tls(rules) => {
                let material = TlsMaterial::load(rules)?;
                let certificate =
                    rules.materials.pairs.first().map(|pair| pair.certificate_chain.clone());
                let contexts = Contexts::new(&material).map_err(|source| LoadError::Material {
                    certificate: certificate.unwrap_or_default(),
                    source,
                })?;
                Ok(Self::Tls(Arc::new(contexts)))
            }
        }
    }
}

impl TlsMaterial {
    /// Reads the files that `rules` name, for a start or a [`Contexts::replace`].
    pub fn load(rules: &TlsRules) -> Result<Self, LoadError> {
        let identity = match (&rules.inbound, &rules.outbound) {
            (Inbound::ComponentIdentity(inbound), Outbound::ComponentIdentity(outbound))
                if inbound == outbound =>
            {
                inbound
            }
            (Inbound::ComponentIdentity(_), Outbound::ComponentIdentity(_)) => {
                return Err(LoadError::Unsupported("one trust domain inbound, another outbound"));
            }
            _ => return Err(LoadError::Unsupported("TLS without identities of components")),
        };
        if let PlaintextPeers::Accepted(_) = rules.plaintext_peers {
            return Err(LoadError::Unsupported("serving plaintext peers beside TLS"));
        }
        let leaves = rules.materials.pairs.iter().map(|pair| {
            let chain_pem = read(&pair.certificate_chain)?;
            Ok(Leaf { chain_pem, key_pem: read(&pair.key)?.into() })
        });
        Ok(Self {
            leaves: leaves.collect::<Result<_, LoadError>>()?,
            roots_pem: read(&identity.trust_bundle)?,
            trust_domain: identity.trust_domain.clone(),
            offer: Offer {
                tls12: rules.versions.tls12,
                tls13: rules.versions.tls13,
                suites: rules.suites.openssl_string().to_owned(),
                groups: rules.groups.clone(),
            },
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    std::fs::read(path).map_err(|source| LoadError::Read { path: path.to_owned(), source })
}
