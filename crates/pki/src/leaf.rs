//! Certificates of components.

use std::net::IpAddr;
use std::time::Duration;

use model::identity::{Identity, TrustDomain};
use model::time::Timestamp;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{
    BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName,
};
use openssl::x509::{X509, X509NameBuilder};

use crate::authority::{Authority, CLOCK_SKEW, append_key_identifiers, ecdsa_key, random_serial};
use crate::secret::PrivateKeyPem;
use crate::{LEAF_LIFETIME, asn1_time, timestamp};

/// The kind of a leaf's key. A component may hold one leaf of each kind in one TLS context; the
/// peer's abilities decide which is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
    /// ECDSA on P-256, for whoever can.
    #[default]
    EcdsaP256,
    /// RSA of 3072 bits, for stock peers, which can use nothing else.
    Rsa3072,
}

/// What a leaf shall say.
#[derive(Clone, Debug)]
pub struct LeafRequest {
    /// The one URI SAN.
    pub identity: Identity,
    /// Host names at which the component is reached.
    pub dns: Vec<String>,
    /// Addresses at which the component is reached.
    pub ips: Vec<IpAddr>,
    /// The kind of the new key.
    pub key: KeyKind,
    /// How long the certificate lives from `now` on; cut off where the intermediate ends.
    pub lifetime: Duration,
    /// The present.
    pub now: Timestamp,
}

impl LeafRequest {
    /// A leaf of the usual kind and life, without names of hosts.
    #[must_use]
    pub fn new(identity: Identity, now: Timestamp) -> Self {
        Self {
            identity,
            dns: Vec::new(),
            ips: Vec::new(),
            key: KeyKind::default(),
            lifetime: LEAF_LIFETIME,
            now,
        }
    }
}

/// A certificate of a component, and its key.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// PEM: the leaf, then the intermediate. The root is not in it.
    pub chain_pem: Vec<u8>,
    /// PEM.
    pub key_pem: PrivateKeyPem,
    /// The last moment at which the certificate is valid.
    pub not_after: Timestamp,
}

/// Why a leaf is not issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// A host name holds something that no host name holds.
    #[error("`{0}` is not a host name: letters, digits, '.', '-' and '_' only")]
    HostName(String),
    /// The certificate would never be valid.
    #[error("the certificate would be valid for less than a second")]
    Lifetime,
    /// OpenSSL says no.
    #[error("OpenSSL failed")]
    OpenSsl(#[from] ErrorStack),
    /// The identity belongs to another trust domain.
    #[error("`{identity}` is not of the trust domain `{ours}`")]
    OtherTrustDomain {
        /// What was asked for.
        identity: Identity,
        /// What this authority certifies.
        ours: TrustDomain,
    },
}

impl Authority {
    /// Makes a key and certifies it.
    pub fn issue(&self, request: &LeafRequest) -> Result<Leaf, IssueError> {
        if request.identity.trust_domain() != self.trust_domain() {
            return Err(IssueError::OtherTrustDomain {
                identity: request.identity.clone(),
                ours: self.trust_domain().clone(),
            });
        }
        if let Some(bad) = request.dns.iter().find(|name| !is_host_name(name)) {
            return Err(IssueError::HostName(bad.clone()));
        }
        let issuer = self.intermediate();
        let now = request.now.since_epoch();
        let end = now
            .saturating_add(request.lifetime)
            .min(timestamp(issuer.certificate.not_after())?.since_epoch());
        if end <= now + Duration::from_secs(1) {
            return Err(IssueError::Lifetime);
        }

        let key = generate(request.key)?;
        let mut builder = X509::builder()?;
        builder.set_version(2)?;
        let serial = random_serial()?;
        builder.set_serial_number(&serial)?;
        builder.set_pubkey(&key)?;
        builder.set_not_before(asn1_time(now.saturating_sub(CLOCK_SKEW))?.as_ref())?;
        builder.set_not_after(asn1_time(end)?.as_ref())?;
        let mut subject = X509NameBuilder::new()?;
        // For people only; RFC 5280 allows 64 characters. Names are ASCII.
        let common_name = request.identity.name();
        let common_name = common_name.get(..64).unwrap_or(common_name);
        subject.append_entry_by_nid(Nid::COMMONNAME, common_name)?;
        builder.set_subject_name(&subject.build())?;
        builder.set_issuer_name(issuer.certificate.subject_name())?;
        builder.append_extension(BasicConstraints::new().critical().build()?)?;
        let mut usage = KeyUsage::new();
        usage.critical().digital_signature();
        if request.key == KeyKind::Rsa3072 {
            // The static RSA suites of a stock peer encrypt to the key.
            usage.key_encipherment();
        }
        builder.append_extension(usage.build()?)?;
        builder.append_extension(ExtendedKeyUsage::new().server_auth().client_auth().build()?)?;
        append_key_identifiers(&mut builder, Some(&issuer.certificate))?;
        let mut names = SubjectAlternativeName::new();
        names.uri(&request.identity.to_string());
        for dns in &request.dns {
            names.dns(dns);
        }
        for ip in &request.ips {
            names.ip(&ip.to_string());
        }
        let names = names.build(&builder.x509v3_context(Some(&issuer.certificate), None))?;
        builder.append_extension(names)?;
        builder.sign(&issuer.key, MessageDigest::sha256())?;
        let certificate = builder.build();

        let mut chain_pem = certificate.to_pem()?;
        chain_pem.extend(issuer.certificate.to_pem()?);
        Ok(Leaf {
            chain_pem,
            key_pem: PrivateKeyPem::new(&key)?,
            not_after: timestamp(certificate.not_after())?,
        })
    }
}

fn generate(kind: KeyKind) -> Result<PKey<Private>, ErrorStack> {
    match kind {
        KeyKind::EcdsaP256 => ecdsa_key(),
        KeyKind::Rsa3072 => PKey::from_rsa(Rsa::generate(3072)?),
    }
}

/// Whether `name` can be a host's: no wildcards, no empty labels, at most 253 bytes.
fn is_host_name(name: &str) -> bool {
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let label = |label: &str| (1..=63).contains(&label.len()) && label.chars().all(valid);
    name.len() <= 253 && name.split('.').all(label)
}
