//! Signatures of tokens, by OpenSSL.

use authn::jwt::{PublicKey, Signatures};
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::ecdsa::EcdsaSig;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Public};
use openssl::rsa::Rsa;
use openssl::sign::Verifier;

/// Verifies signatures with OpenSSL.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenSsl;

impl Signatures for OpenSsl {
    fn is_signed(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<bool, String> {
        is_signed(key, message, signature).map_err(|errors| errors.to_string())
    }
}

fn is_signed(key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<bool, ErrorStack> {
    match key {
        PublicKey::Rsa { n, e } => {
            let key = Rsa::from_public_components(BigNum::from_slice(n)?, BigNum::from_slice(e)?)?;
            let key = PKey::from_rsa(key)?;
            // What is not as long as the modulus is no signature, not a failure.
            if signature.len() != key.size() {
                return Ok(false);
            }
            verify(&mut Verifier::new(MessageDigest::sha256(), &key)?, signature, message)
        }
        PublicKey::P256 { x, y } => {
            let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
            let (x, y) = (BigNum::from_slice(x)?, BigNum::from_slice(y)?);
            let key: EcKey<Public> = EcKey::from_public_key_affine_coordinates(&group, &x, &y)?;
            let key = PKey::from_ec_key(key)?;
            if signature.len() != 64 {
                return Ok(false);
            }
            let (r, s) = signature.split_at(32);
            let (r, s) = (BigNum::from_slice(r)?, BigNum::from_slice(s)?);
            let der = EcdsaSig::from_private_components(r, s)?.to_der()?;
            verify(&mut Verifier::new(MessageDigest::sha256(), &key)?, &der, message)
        }
        PublicKey::Ed25519(bytes) => {
            let key = PKey::public_key_from_raw_bytes(bytes, Id::ED25519)?;
            if signature.len() != 64 {
                return Ok(false);
            }
            verify(&mut Verifier::new_without_digest(&key)?, signature, message)
        }
    }
}

/// A signature of the right length is right or wrong. OpenSSL answers an error for some of the
/// wrong ones (an `R` of zero, for example); only whoever holds the key makes a right one, so that
/// nothing is lost by taking those for wrong too.
fn verify(
    verifier: &mut Verifier<'_>,
    signature: &[u8],
    message: &[u8],
) -> Result<bool, ErrorStack> {
    Ok(verifier.verify_oneshot(signature, message).unwrap_or(false))
}
