//! A root and an intermediate certificate.

use std::fmt;
use std::time::Duration;

use model::identity::TrustDomain;
use model::time::Timestamp;
use openssl::asn1::Asn1Integer;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rand::rand_bytes;
use openssl::x509::extension::{
    AuthorityKeyIdentifier, BasicConstraints, KeyUsage, SubjectAlternativeName,
    SubjectKeyIdentifier,
};
use openssl::x509::{X509, X509Builder, X509Name, X509NameBuilder, X509Ref};

use crate::secret::PrivateKeyPem;
use crate::{DAY, asn1_time, timestamp};

/// How long a root lives.
const ROOT_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// How long an intermediate lives.
const INTERMEDIATE_LIFETIME: Duration = Duration::from_secs(2 * 365 * 24 * 60 * 60);
/// An intermediate with less than this to live is replaced when the authority is opened: longer
/// than any leaf below it lives.
const INTERMEDIATE_RENEWAL: Duration = Duration::from_secs(180 * 24 * 60 * 60);
/// How far in the past certificates begin: clocks differ.
pub(crate) const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// The certificate authority of one trust domain: a root, which is what everybody believes, and
/// an intermediate below it, which signs leaves.
pub struct Authority {
    trust_domain: TrustDomain,
    root: Signer,
    intermediate: Signer,
}

/// A CA certificate and its key.
pub(crate) struct Signer {
    pub(crate) certificate: X509,
    pub(crate) key: PKey<Private>,
}

/// Why an authority cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The root has expired, or the clock is wrong.
    #[error("the root certificate is not valid any more, or the clock is wrong")]
    Expired,
    /// The key does not belong to the root certificate.
    #[error("the root's key does not belong to its certificate")]
    ForeignKey,
    /// OpenSSL says no.
    #[error("OpenSSL failed")]
    OpenSsl(#[from] ErrorStack),
    /// The root belongs to another trust domain.
    #[error("the root certificate is not one of the trust domain `{expected}`")]
    OtherTrustDomain {
        /// The trust domain that was asked for.
        expected: TrustDomain,
    },
}

impl Authority {
    /// Makes a new authority.
    pub fn create(trust_domain: TrustDomain, now: Timestamp) -> Result<Self, AuthorityError> {
        let root = create_root(&trust_domain, now)?;
        let intermediate = create_intermediate(&trust_domain, &root, now)?;
        Ok(Self { trust_domain, root, intermediate })
    }

    /// Takes up an existing authority. The intermediate is replaced by a new one if it will not
    /// live long enough, does not descend from the root, or its key is another's; the returned
    /// boolean says so. Leaves issued before stay valid: they carry their intermediate.
    pub(crate) fn open(
        trust_domain: TrustDomain,
        root: Signer,
        intermediate: Option<Signer>,
        now: Timestamp,
    ) -> Result<(Self, bool), AuthorityError> {
        if !root.key.public_eq(root.certificate.public_key()?.as_ref()) {
            return Err(AuthorityError::ForeignKey);
        }
        if !names(&root.certificate, &trust_domain) {
            return Err(AuthorityError::OtherTrustDomain { expected: trust_domain });
        }
        if remaining(&root.certificate, now)?.is_zero() {
            return Err(AuthorityError::Expired);
        }
        let usable = |signer: &Signer| -> Result<bool, ErrorStack> {
            let certificate = &signer.certificate;
            Ok(signer.key.public_eq(certificate.public_key()?.as_ref())
                && certificate.verify(&root.key)?
                && names(certificate, &trust_domain)
                && remaining(certificate, now)? >= INTERMEDIATE_RENEWAL)
        };
        match intermediate {
            Some(intermediate) if usable(&intermediate)? => {
                Ok((Self { trust_domain, root, intermediate }, false))
            }
            _ => {
                let intermediate = create_intermediate(&trust_domain, &root, now)?;
                Ok((Self { trust_domain, root, intermediate }, true))
            }
        }
    }

    /// Whose identities this authority certifies.
    #[must_use]
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// What everybody in the trust domain believes: the root, in PEM.
    pub fn trust_bundle_pem(&self) -> Result<Vec<u8>, AuthorityError> {
        Ok(self.root.certificate.to_pem()?)
    }

    /// How long the root is still valid; nothing issued outlives it.
    pub fn root_expires_in(&self, now: Timestamp) -> Result<Duration, AuthorityError> {
        Ok(remaining(&self.root.certificate, now)?)
    }

    pub(crate) fn root(&self) -> &Signer {
        &self.root
    }

    pub(crate) fn intermediate(&self) -> &Signer {
        &self.intermediate
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("trust_domain", &self.trust_domain)
            .finish_non_exhaustive()
    }
}

impl Signer {
    pub(crate) fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, ErrorStack> {
        Ok(Self {
            certificate: X509::from_pem(certificate)?,
            key: PKey::private_key_from_pem(key)?,
        })
    }

    pub(crate) fn certificate_pem(&self) -> Result<Vec<u8>, ErrorStack> {
        self.certificate.to_pem()
    }

    pub(crate) fn key_pem(&self) -> Result<PrivateKeyPem, ErrorStack> {
        PrivateKeyPem::new(&self.key)
    }
}

/// A new ECDSA key on P-256.
pub(crate) fn ecdsa_key() -> Result<PKey<Private>, ErrorStack> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    PKey::from_ec_key(EcKey::generate(&group)?)
}

/// 128 random bits.
pub(crate) fn random_serial() -> Result<Asn1Integer, ErrorStack> {
    let mut bytes = [0; 16];
    rand_bytes(&mut bytes)?;
    BigNum::from_slice(&bytes)?.to_asn1_integer()
}

/// The URI by which a CA certificate names its trust domain (X509-SVID §3.1).
fn domain_uri(trust_domain: &TrustDomain) -> String {
    format!("spiffe://{trust_domain}")
}

fn names(certificate: &X509Ref, trust_domain: &TrustDomain) -> bool {
    let uri = domain_uri(trust_domain);
    certificate
        .subject_alt_names()
        .is_some_and(|names| names.len() == 1 && names[0].uri() == Some(&uri))
}

fn remaining(certificate: &X509Ref, now: Timestamp) -> Result<Duration, ErrorStack> {
    let end = timestamp(certificate.not_after())?;
    Ok(end.since_epoch().saturating_sub(now.since_epoch()))
}

fn create_root(trust_domain: &TrustDomain, now: Timestamp) -> Result<Signer, ErrorStack> {
    let key = ecdsa_key()?;
    let mut builder = ca_builder(&key, now, ROOT_LIFETIME)?;
    let name = ca_name("root CA")?;
    builder.set_subject_name(&name)?;
    builder.set_issuer_name(&name)?;
    builder.append_extension(BasicConstraints::new().critical().ca().pathlen(1).build()?)?;
    finish_ca(builder, trust_domain, None, &key).map(|certificate| Signer { certificate, key })
}

fn create_intermediate(
    trust_domain: &TrustDomain,
    root: &Signer,
    now: Timestamp,
) -> Result<Signer, ErrorStack> {
    let key = ecdsa_key()?;
    let lifetime = INTERMEDIATE_LIFETIME.min(remaining(&root.certificate, now)?);
    let mut builder = ca_builder(&key, now, lifetime)?;
    builder.set_subject_name(ca_name("intermediate CA")?.as_ref())?;
    builder.set_issuer_name(root.certificate.subject_name())?;
    builder.append_extension(BasicConstraints::new().critical().ca().pathlen(0).build()?)?;
    finish_ca(builder, trust_domain, Some(root), &key)
        .map(|certificate| Signer { certificate, key })
}

fn ca_builder(
    key: &PKey<Private>,
    now: Timestamp,
    lifetime: Duration,
) -> Result<X509Builder, ErrorStack> {
    let mut builder = X509::builder()?;
    builder.set_version(2)?;
    let serial = random_serial()?;
    builder.set_serial_number(&serial)?;
    builder.set_pubkey(key)?;
    // A day rather than minutes: leaves must lie within the lives of those above them.
    let begin = now.since_epoch().saturating_sub(DAY);
    builder.set_not_before(asn1_time(begin)?.as_ref())?;
    builder.set_not_after(asn1_time(now.since_epoch().saturating_add(lifetime))?.as_ref())?;
    Ok(builder)
}

/// A name that no other authority has: libraries look issuers up by name.
fn ca_name(what: &str) -> Result<X509Name, ErrorStack> {
    let mut random = [0; 6];
    rand_bytes(&mut random)?;
    let random = BigNum::from_slice(&random)?.to_hex_str()?;
    let mut name = X509NameBuilder::new()?;
    name.append_entry_by_nid(Nid::ORGANIZATIONNAME, "Alcazar")?;
    name.append_entry_by_nid(Nid::COMMONNAME, &format!("Alcazar {what} {}", &*random))?;
    Ok(name.build())
}

fn finish_ca(
    mut builder: X509Builder,
    trust_domain: &TrustDomain,
    issuer: Option<&Signer>,
    own_key: &PKey<Private>,
) -> Result<X509, ErrorStack> {
    builder.append_extension(KeyUsage::new().critical().key_cert_sign().crl_sign().build()?)?;
    let certificate = issuer.map(|signer| &*signer.certificate);
    append_key_identifiers(&mut builder, certificate)?;
    let san = SubjectAlternativeName::new()
        .uri(&domain_uri(trust_domain))
        .build(&builder.x509v3_context(certificate, None))?;
    builder.append_extension(san)?;
    builder.sign(issuer.map_or(own_key, |signer| &signer.key), MessageDigest::sha256())?;
    Ok(builder.build())
}

/// Adds the identifiers of the subject's key and, unless it signs itself, of the issuer's.
pub(crate) fn append_key_identifiers(
    builder: &mut X509Builder,
    issuer: Option<&X509Ref>,
) -> Result<(), ErrorStack> {
    let own = SubjectKeyIdentifier::new().build(&builder.x509v3_context(issuer, None))?;
    builder.append_extension(own)?;
    if issuer.is_some() {
        let context = builder.x509v3_context(issuer, None);
        let above = AuthorityKeyIdentifier::new().keyid(true).build(&context)?;
        builder.append_extension(above)?;
    }
    Ok(())
}
