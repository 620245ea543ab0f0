//! The names in a certificate whose chain has been verified.

use std::net::IpAddr;

use model::identity::{Identity, IdentityError, TrustDomain};
use openssl::nid::Nid;
use openssl::x509::X509Ref;
use tls_policy::CertificateNames;

/// What a certificate says about its holder.
#[derive(Debug)]
pub(super) struct Names {
    /// URI and DNS SANs and common names, as the rules for principals want them.
    pub(super) texts: CertificateNames,
    /// The IP SANs.
    pub(super) addresses: Vec<IpAddr>,
    /// Whether a subject alternative name is of a kind that is not read here, or malformed.
    unreadable: bool,
}

/// Why a verified certificate names no component.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerNameError {
    /// A URI SAN is not an identity.
    #[error("its URI is not an identity: {0}")]
    Identity(IdentityError),
    /// There is more than one URI SAN, so that the holder could be two components.
    #[error("it has more than one URI")]
    ManyUris,
    /// There is no URI SAN.
    #[error("it has no URI")]
    NoUri,
    /// The identity belongs to another trust domain.
    #[error("{0} belongs to another trust domain")]
    OtherTrustDomain(Identity),
    /// A subject alternative name cannot be read, so that it cannot be said what it says.
    #[error("it has a name that cannot be read")]
    Unreadable,
}

/// Reads all names.
pub(super) fn read(certificate: &X509Ref) -> Names {
    let mut texts = CertificateNames::default();
    let mut addresses = Vec::new();
    let mut unreadable = false;
    for name in certificate.subject_alt_names().iter().flatten() {
        if let Some(uri) = name.uri() {
            texts.uris.push(uri.to_owned());
        } else if let Some(dns) = name.dnsname() {
            texts.dns.push(dns.to_owned());
        } else if let Some(octets) = name.ipaddress() {
            match ip_address(octets) {
                Some(address) => addresses.push(address),
                None => unreadable = true,
            }
        } else if name.email().is_none() {
            unreadable = true;
        }
    }
    for entry in certificate.subject_name().entries_by_nid(Nid::COMMONNAME) {
        // What is not text fits no rule.
        texts.common_names.extend(entry.data().to_string());
    }
    Names { texts, addresses, unreadable }
}

/// The hosts that a certificate is for, in one line for a log. It need not have been verified, so
/// the line is bounded and holds nothing that a terminal would obey.
pub(super) fn line(certificate: &X509Ref) -> String {
    let Names { texts, addresses, .. } = read(certificate);
    let mut hosts = texts.dns;
    hosts.extend(addresses.iter().map(ToString::to_string));
    if hosts.is_empty() {
        hosts = texts.common_names;
    }
    if hosts.is_empty() {
        return "nobody".to_owned();
    }
    let line: String = hosts.join(", ").chars().take(MOST_OF_A_LINE).collect();
    line.escape_debug().to_string()
}

/// How many characters of a certificate's names are written to a log.
const MOST_OF_A_LINE: usize = 200;

impl Names {
    /// The one URI SAN as an identity of the trust domain. An unreadable name fails it: it might
    /// be a second URI.
    pub(super) fn identity(&self, trust_domain: &TrustDomain) -> Result<Identity, PeerNameError> {
        if self.unreadable {
            return Err(PeerNameError::Unreadable);
        }
        let uri = match &self.texts.uris[..] {
            [] => return Err(PeerNameError::NoUri),
            [uri] => uri,
            [_, _, ..] => return Err(PeerNameError::ManyUris),
        };
        let identity: Identity = uri.parse().map_err(PeerNameError::Identity)?;
        if identity.trust_domain() == trust_domain {
            Ok(identity)
        } else {
            Err(PeerNameError::OtherTrustDomain(identity))
        }
    }
}

pub(super) fn ip_address(octets: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(octets) {
        return Some(IpAddr::from(four));
    }
    <[u8; 16]>::try_from(octets).ok().map(IpAddr::from)
}
