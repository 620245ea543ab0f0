//! The names in a certificate whose chain has been verified.

use std::net::IpAddr;

use model::identity::{Identity, IdentityError, TrustDomain};
use openssl::x509::X509Ref;

/// What a certificate says about its holder.
#[derive(Debug)]
pub(super) struct Names {
    /// The one URI SAN as an identity of the trust domain, or why there is none.
    pub(super) identity: Result<Identity, PeerNameError>,
    /// The IP SANs.
    pub(super) addresses: Vec<IpAddr>,
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

/// Reads the subject alternative names. Fails only if one is unreadable: it might be a second
/// URI.
pub(super) fn read(
    certificate: &X509Ref,
    trust_domain: &TrustDomain,
) -> Result<Names, PeerNameError> {
    let mut uris = Vec::new();
    let mut addresses = Vec::new();
    for name in certificate.subject_alt_names().iter().flatten() {
        if let Some(uri) = name.uri() {
            uris.push(uri.to_owned());
        } else if let Some(octets) = name.ipaddress() {
            addresses.push(ip_address(octets).ok_or(PeerNameError::Unreadable)?);
        } else if name.dnsname().is_none() && name.email().is_none() {
            return Err(PeerNameError::Unreadable);
        }
    }
    Ok(Names { identity: identity(&uris, trust_domain), addresses })
}

fn identity(uris: &[String], trust_domain: &TrustDomain) -> Result<Identity, PeerNameError> {
    let uri = match uris {
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

fn ip_address(octets: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(octets) {
        return Some(IpAddr::from(four));
    }
    <[u8; 16]>::try_from(octets).ok().map(IpAddr::from)
}
