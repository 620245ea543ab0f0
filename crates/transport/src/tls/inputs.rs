//! Everything that contexts are made from, in memory and checked piece by piece.

use std::fmt;

use model::identity::TrustDomain;
use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::sha::Sha256;
use openssl::x509::X509;
use tls_policy::{NameCheck, PrincipalRules};

use super::load::{KeyError, private_key};
use super::notice::LoadNotice;
use super::{Leaf, MaterialError, Offer, TlsMaterial};

/// Certificates that may stand between a leaf and a root, among components with identities.
const MAX_INTERMEDIATES: u32 = 4;

/// Everything that contexts are made from.
#[derive(Clone)]
pub(super) struct Inputs {
    /// What we present.
    pub(super) leaves: Vec<OwnLeaf>,
    /// Which clients are believed; `None`: none is asked for a certificate.
    pub(super) inbound: Option<Believed>,
    /// Which servers are believed; `None`: all.
    pub(super) outbound: Option<Believed>,
    pub(super) offer: Offer,
    /// PEM: revocation lists.
    pub(super) revocation: Option<Vec<u8>>,
    pub(super) principals: PrincipalRules,
    pub(super) notices: Vec<LoadNotice>,
}

impl fmt::Debug for Inputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inputs").field("offer", &self.offer).finish_non_exhaustive()
    }
}

/// A certificate of ours with its chain and its key.
#[derive(Clone)]
pub(super) struct OwnLeaf {
    /// The leaf, then its intermediates.
    pub(super) chain: Vec<X509>,
    pub(super) key: PKey<Private>,
}

/// Who is believed.
#[derive(Clone)]
pub(super) struct Believed {
    pub(super) roots: Vec<X509>,
    /// How many certificates may stand between a leaf and a root.
    pub(super) depth: u32,
    pub(super) judge: Judge,
}

/// What a certificate must say when its chain is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Judge {
    /// An identity of the trust domain.
    Identity(TrustDomain),
    /// The name of the peer, as the original compares it.
    Name(NameCheck),
}

impl Believed {
    pub(super) fn members(roots: Vec<X509>, trust_domain: TrustDomain) -> Self {
        Self { roots, depth: MAX_INTERMEDIATES, judge: Judge::Identity(trust_domain) }
    }
}

impl OwnLeaf {
    pub(super) fn new(chain_pem: &[u8], key: PKey<Private>) -> Result<Self, MaterialError> {
        let chain = X509::stack_from_pem(chain_pem).map_err(MaterialError::Chain)?;
        let leaf = chain.first().ok_or(MaterialError::EmptyChain)?;
        let public = leaf.public_key().map_err(MaterialError::Chain)?;
        if !public.public_eq(&key) {
            return Err(MaterialError::KeyMismatch(ErrorStack::get()));
        }
        Ok(Self { chain, key })
    }
}

impl TryFrom<&Leaf> for OwnLeaf {
    type Error = MaterialError;

    fn try_from(leaf: &Leaf) -> Result<Self, MaterialError> {
        let key = private_key(&leaf.key_pem, || Ok(None)).map_err(|error| match error {
            KeyError::Material(error) => error,
            KeyError::Passphrase(_) => MaterialError::Key(ErrorStack::get()),
        })?;
        Self::new(&leaf.chain_pem, key)
    }
}

impl TryFrom<&TlsMaterial> for Inputs {
    type Error = MaterialError;

    fn try_from(material: &TlsMaterial) -> Result<Self, MaterialError> {
        let believed = || {
            let roots = X509::stack_from_pem(&material.roots_pem).map_err(MaterialError::Roots)?;
            if roots.is_empty() {
                return Err(MaterialError::NoRoots);
            }
            Ok(Believed::members(roots, material.trust_domain.clone()))
        };
        Ok(Self {
            leaves: material.leaves.iter().map(OwnLeaf::try_from).collect::<Result<_, _>>()?,
            inbound: Some(believed()?),
            outbound: Some(believed()?),
            offer: material.offer.clone(),
            revocation: None,
            principals: PrincipalRules::default(),
            notices: Vec::new(),
        })
    }
}

impl Inputs {
    /// The trust domain of our own identity, if certificates carry identities.
    pub(super) fn trust_domain(&self) -> Option<&TrustDomain> {
        [&self.inbound, &self.outbound].into_iter().flatten().find_map(|believed| {
            match &believed.judge {
                Judge::Identity(trust_domain) => Some(trust_domain),
                Judge::Name(_) => None,
            }
        })
    }

    /// A digest of all that was read: whether something has changed.
    pub(super) fn digest(&self) -> Result<[u8; 32], ErrorStack> {
        let mut digest = Sha256::new();
        let mut add = |bytes: &[u8]| {
            digest.update(&(bytes.len() as u64).to_be_bytes());
            digest.update(bytes);
        };
        for leaf in &self.leaves {
            for certificate in &leaf.chain {
                add(&certificate.to_der()?);
            }
            add(&leaf.key.public_key_to_der()?);
        }
        for believed in [&self.inbound, &self.outbound] {
            add(b"believed");
            for root in believed.iter().flat_map(|believed| &believed.roots) {
                add(&root.to_der()?);
            }
        }
        add(self.revocation.as_deref().unwrap_or_default());
        Ok(digest.finish())
    }
}
