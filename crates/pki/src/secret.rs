//! Private keys as text that neither prints nor lingers.

use std::fmt;

use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use zeroize::Zeroizing;

/// A private key in PEM (PKCS #8). Its memory is overwritten when it is dropped.
#[derive(Clone)]
pub struct PrivateKeyPem(Zeroizing<Vec<u8>>);

impl PrivateKeyPem {
    pub(crate) fn new(key: &PKey<Private>) -> Result<Self, ErrorStack> {
        Ok(Self(Zeroizing::new(key.private_key_to_pem_pkcs8()?)))
    }

    /// The text. The name says what it is: search for it to find who handles keys.
    #[must_use]
    pub fn expose_secret(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for PrivateKeyPem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKeyPem(..)")
    }
}
