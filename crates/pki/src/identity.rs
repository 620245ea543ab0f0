//! The identity in a certificate.

use model::identity::{Identity, IdentityError};
use openssl::error::ErrorStack;
use openssl::x509::X509;

/// Why a certificate carries no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityOfError {
    /// The one URI SAN is not an identity.
    #[error("the certificate's URI SAN is no identity")]
    Identity(#[from] IdentityError),
    /// The bytes are not a certificate.
    #[error("not a certificate")]
    Malformed(#[from] ErrorStack),
    /// There is no URI SAN.
    #[error("the certificate carries no URI SAN")]
    None,
    /// There is more than one URI SAN: nobody could say which one counts.
    #[error("the certificate carries {0} URI SANs, expected one")]
    Several(usize),
    /// A SAN is of an unknown kind or not text, so that URI SANs cannot be counted.
    #[error("the certificate carries a SAN that cannot be read")]
    UnreadableName,
}

/// The identity that the certificate in `der` names: its one URI SAN (X509-SVID §2). Says
/// nothing about whether the certificate can be believed.
pub fn identity_of(der: &[u8]) -> Result<Identity, IdentityOfError> {
    read(&X509::from_der(der)?)
}

/// The identity in the first certificate of a PEM file: one's own, for a component that reads
/// its files.
pub fn identity_of_pem(pem: &[u8]) -> Result<Identity, IdentityOfError> {
    read(&X509::from_pem(pem)?)
}

fn read(certificate: &X509) -> Result<Identity, IdentityOfError> {
    let names = certificate.subject_alt_names().ok_or(IdentityOfError::None)?;
    let mut uris = Vec::new();
    for name in &names {
        // A URI that is not UTF-8 looks like no known kind of name. It must not hide.
        let other = || {
            name.dnsname().is_some()
                || name.ipaddress().is_some()
                || name.email().is_some()
                || name.directory_name().is_some()
        };
        match name.uri() {
            Some(uri) => uris.push(uri),
            None if other() => {}
            None => return Err(IdentityOfError::UnreadableName),
        }
    }
    match uris[..] {
        [] => Err(IdentityOfError::None),
        [uri] => Ok(uri.parse()?),
        _ => Err(IdentityOfError::Several(uris.len())),
    }
}
