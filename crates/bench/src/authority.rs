//! Certificates for one run: a root, an intermediate, and leaves of several kinds.

use std::fmt;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::bail;
use model::identity::TrustDomain;
use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{BasicConstraints, KeyUsage, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509Name};
use tls_policy::{IdentityRules, MaterialPaths, Profile, TlsPolicy};

const TRUST_DOMAIN: &str = "bench.local";

/// The kind of a leaf's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    P256,
    Rsa2048,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::P256 => "p256",
            Self::Rsa2048 => "rsa2048",
        })
    }
}

impl FromStr for Key {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        Ok(match text {
            "p256" => Self::P256,
            "rsa2048" => Self::Rsa2048,
            other => bail!("`{other}` is no kind of key"),
        })
    }
}

/// Where the certificates of one run are.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    /// The directory of the run.
    pub(crate) directory: PathBuf,
    /// The root, PEM.
    pub(crate) roots: PathBuf,
    /// The leaf and the intermediate, PEM.
    pub(crate) chain: PathBuf,
    /// The leaf's key, PEM.
    pub(crate) key: PathBuf,
    /// The intermediate alone, PEM.
    pub(crate) issuer: PathBuf,
}

impl Paths {
    pub(crate) fn of(directory: &Path, key: Key) -> Self {
        Self {
            directory: directory.to_owned(),
            roots: directory.join("roots.pem"),
            chain: directory.join(format!("{key}.pem")),
            key: directory.join(format!("{key}-key.pem")),
            issuer: directory.join("issuer.pem"),
        }
    }

    /// What a component with this leaf obeys: the posture of a cluster of ours, in the profile that
    /// has RSA leaves too.
    pub(crate) fn policy(&self) -> anyhow::Result<TlsPolicy> {
        let rules = IdentityRules {
            trust_bundle: self.roots.clone(),
            trust_domain: TrustDomain::new(TRUST_DOMAIN)?,
        };
        let materials = MaterialPaths::one(&self.chain, &self.key);
        let mut policy = TlsPolicy::identities(materials, rules);
        if let TlsPolicy::Tls(rules) = &mut policy {
            rules.profile = Profile::Intermediate;
        }
        Ok(policy)
    }
}

/// Writes the certificates of one run into `directory`.
pub(crate) fn create(directory: &Path) -> anyhow::Result<()> {
    let root_key = p256()?;
    let root = certify("root", &root_key, None, &root_key, Role::Authority)?;
    let issuer_key = p256()?;
    let issuer = certify("issuer", &issuer_key, Some(&root), &root_key, Role::Authority)?;
    for key in [Key::P256, Key::Rsa2048] {
        let paths = Paths::of(directory, key);
        std::fs::write(&paths.roots, root.to_pem()?)?;
        std::fs::write(&paths.issuer, issuer.to_pem()?)?;
        let own = match key {
            Key::P256 => p256()?,
            Key::Rsa2048 => PKey::from_rsa(Rsa::generate(2048)?)?,
        };
        let leaf = certify("leaf", &own, Some(&issuer), &issuer_key, Role::Component)?;
        std::fs::write(&paths.chain, [leaf.to_pem()?, issuer.to_pem()?].concat())?;
        std::fs::write(&paths.key, own.private_key_to_pem_pkcs8()?)?;
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Role {
    Authority,
    Component,
}

fn p256() -> Result<PKey<Private>, ErrorStack> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    PKey::from_ec_key(EcKey::generate(&group)?)
}

fn certify(
    title: &str,
    key: &PKey<Private>,
    issuer: Option<&X509>,
    issuer_key: &PKey<Private>,
    role: Role,
) -> Result<X509, ErrorStack> {
    let mut name = X509Name::builder()?;
    name.append_entry_by_nid(Nid::COMMONNAME, title)?;
    let name = name.build();
    let mut builder = X509::builder()?;
    builder.set_version(2)?;
    let mut serial = BigNum::new()?;
    serial.rand(64, MsbOption::MAYBE_ZERO, false)?;
    builder.set_serial_number(&*serial.to_asn1_integer()?)?;
    builder.set_subject_name(&name)?;
    builder.set_issuer_name(issuer.map_or(&*name, |issuer| issuer.subject_name()))?;
    builder.set_not_before(&*Asn1Time::days_from_now(0)?)?;
    builder.set_not_after(&*Asn1Time::days_from_now(2)?)?;
    builder.set_pubkey(key)?;
    extend(&mut builder, issuer, role)?;
    builder.sign(issuer_key, MessageDigest::sha256())?;
    Ok(builder.build())
}

fn extend(builder: &mut X509Builder, issuer: Option<&X509>, role: Role) -> Result<(), ErrorStack> {
    match role {
        Role::Authority => {
            builder.append_extension(BasicConstraints::new().critical().ca().build()?)?;
            builder.append_extension(KeyUsage::new().critical().key_cert_sign().build()?)
        }
        Role::Component => {
            let context = builder.x509v3_context(issuer.map(|issuer| &**issuer), None);
            let names = SubjectAlternativeName::new()
                .uri(&format!("spiffe://{TRUST_DOMAIN}/master/bench"))
                .dns("localhost")
                .ip(&Ipv4Addr::LOCALHOST.to_string())
                .build(&context)?;
            builder.append_extension(names)
        }
    }
}
