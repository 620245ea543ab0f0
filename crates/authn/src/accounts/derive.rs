//! What is made of a secret so that the secret itself need not be kept.

use std::fmt;
use std::str::FromStr;

use argon2::password_hash::phc::{PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::{ScramVerifier, StoredSecret};
use crate::mac::hmac_sha256;
use crate::secret::Secret;

/// The fewest iterations that RFC 7677 §4 allows, and how many there are unless somebody asks for
/// more: enough for secrets that were generated.
pub const ITERATIONS: u32 = 4096;
/// The most that are taken: what a client would have to compute for longer than for a second
/// helps nobody but those who want it to.
pub const MOST_ITERATIONS: u32 = 1_000_000;
/// The memory that argon2id takes, in KiB.
const MEMORY: u32 = 19 * 1024;
/// How often argon2id goes over that memory.
const PASSES: u32 = 2;
/// The most memory that a hash in a file may ask for, in KiB.
const MOST_MEMORY: u32 = 256 * 1024;
/// The most passes that a hash in a file may ask for.
const MOST_PASSES: u32 = 16;

impl ScramVerifier {
    /// What RFC 5802 §3 makes of `secret`, taken byte by byte. Takes a millisecond for every
    /// thousand iterations or so.
    #[must_use]
    pub fn derive(secret: &Secret, salt: &[u8], iterations: u32) -> Self {
        let salted = salted_password(secret, salt, iterations);
        let client_key = Zeroizing::new(hmac_sha256(salted.as_slice(), &[b"Client Key"]));
        let server_key = Zeroizing::new(hmac_sha256(salted.as_slice(), &[b"Server Key"]));
        Self {
            salt: salt.to_vec(),
            iterations,
            stored_key: Sha256::digest(client_key.as_slice()).into(),
            server_key: Secret::new(server_key.to_vec()),
        }
    }

    /// Whether it was derived from `secret`.
    #[must_use]
    pub fn verifies(&self, secret: &Secret) -> bool {
        let derived = Self::derive(secret, &self.salt, self.iterations);
        derived.stored_key.ct_eq(&self.stored_key).into()
    }
}

/// `SaltedPassword`, from which a client derives everything. It takes long on purpose.
pub(crate) fn salted_password(
    secret: &Secret,
    salt: &[u8],
    iterations: u32,
) -> Zeroizing<[u8; 32]> {
    let mut salted = Zeroizing::new([0; 32]);
    pbkdf2::pbkdf2_hmac::<Sha256>(secret.expose(), salt, iterations, salted.as_mut_slice());
    salted
}

/// `<iterations>:<salt>$<stored key>:<server key>`, the last three in base64. Whoever reads the
/// text can pretend to be the server, but not the client.
#[derive(Clone, Copy, Debug)]
pub struct VerifierText<'a>(pub &'a ScramVerifier);

impl fmt::Display for VerifierText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ScramVerifier { salt, iterations, stored_key, server_key } = self.0;
        let [salt, stored_key, server_key] =
            [salt.as_slice(), stored_key, server_key.expose()].map(|bytes| STANDARD.encode(bytes));
        write!(f, "{iterations}:{salt}${stored_key}:{server_key}")
    }
}

/// Why a text is no verifier. It does not repeat the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifierError {
    /// The parts are not there, or are not base64, or not as long as they must be.
    #[error("is not of the form `<iterations>:<salt>$<stored key>:<server key>`")]
    Form,
    /// Fewer than [`ITERATIONS`] or more than [`MOST_ITERATIONS`].
    #[error("has {0} iterations, which are not {ITERATIONS} to {MOST_ITERATIONS}")]
    Iterations(u32),
}

impl FromStr for ScramVerifier {
    type Err = VerifierError;

    fn from_str(text: &str) -> Result<Self, VerifierError> {
        let parts = || {
            let (salted, keys) = text.split_once('$')?;
            let (iterations, salt) = salted.split_once(':')?;
            let (stored_key, server_key) = keys.split_once(':')?;
            let decode = |text: &str| STANDARD.decode(text).ok();
            let salt = decode(salt).filter(|salt| !salt.is_empty())?;
            let server_key = decode(server_key).filter(|key| key.len() == 32)?;
            let stored_key = decode(stored_key)?.try_into().ok()?;
            let digits = iterations.bytes().all(|byte| byte.is_ascii_digit());
            let iterations = iterations.parse().ok().filter(|_| digits)?;
            Some(Self { salt, iterations, stored_key, server_key: Secret::new(server_key) })
        };
        let verifier = parts().ok_or(VerifierError::Form)?;
        match verifier.iterations {
            ITERATIONS..=MOST_ITERATIONS => Ok(verifier),
            other => Err(VerifierError::Iterations(other)),
        }
    }
}

/// The argon2id hash of `secret` in PHC form, with the salt `salt`: 19 MiB, two passes, one lane.
///
/// # Errors
/// If the secret or the salt is too long, which takes gigabytes, or the salt shorter than 8
/// bytes.
pub fn argon2id(secret: &Secret, salt: &[u8; 16]) -> Result<String, Argon2idError> {
    let params = Params::new(MEMORY, PASSES, 1, Some(32)).map_err(|_| Argon2idError)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut hash = [0; 32];
    argon2.hash_password_into(secret.expose(), salt, &mut hash).map_err(|_| Argon2idError)?;
    let no_padding = base64::engine::general_purpose::STANDARD_NO_PAD;
    let (salt, hash) = (no_padding.encode(salt), no_padding.encode(hash));
    Ok(format!("$argon2id$v=19$m={MEMORY},t={PASSES},p=1${salt}${hash}"))
}

/// A text that is no argon2id hash, or one that would cost too much; or a secret of which none
/// can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "is no argon2id hash in PHC form with a salt and at most {MOST_MEMORY} KiB and {MOST_PASSES} \
     passes"
)]
pub struct Argon2idError;

/// Whether `text` is a hash that can be verified against.
pub(super) fn check_argon2id(text: &str) -> Result<(), Argon2idError> {
    acceptable_argon2id(text).map(drop)
}

/// The hash, and the memory in KiB times the passes that verifying takes, if it can be verified
/// against.
pub(crate) fn acceptable_argon2id(text: &str) -> Result<(PasswordHash, u64), Argon2idError> {
    let hash = PasswordHash::new(text).map_err(|_| Argon2idError)?;
    let params = Params::try_from(&hash).map_err(|_| Argon2idError)?;
    let bounded = params.m_cost() <= MOST_MEMORY && params.t_cost() <= MOST_PASSES;
    let complete = hash.salt.as_ref().is_some_and(|salt: &Salt| salt.len() >= 8)
        && hash.hash.is_some()
        && hash.algorithm.as_str() == "argon2id";
    let work = u64::from(params.m_cost()) * u64::from(params.t_cost());
    (bounded && complete).then_some((hash, work)).ok_or(Argon2idError)
}

impl StoredSecret {
    /// Whether it is, or was made of, `secret`. Slow if it was made of it. For tools: daemons have
    /// ways of their own, which say nothing by how long they take.
    #[must_use]
    pub fn verifies(&self, secret: &Secret) -> bool {
        use argon2::PasswordVerifier as _;
        match self {
            Self::Plain(kept) => kept == secret,
            Self::Scram(verifier) => verifier.verifies(secret),
            Self::Argon2id(text) => PasswordHash::new(text).is_ok_and(|hash| {
                Argon2::default().verify_password(secret.expose(), &hash).is_ok()
            }),
        }
    }
}

#[cfg(test)]
mod authn_derive {
    use super::*;

    #[test]
    fn a_verifier_is_that_of_rfc_7677() {
        // The keys behind the exchange of §3: its client proof and server signature follow.
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let verifier = ScramVerifier::derive(&Secret::from("pencil"), &salt, 4096);
        let message = "n=user,r=rOprNGfwEbeRWgbNEkqO,\
                       r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                       s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
                       c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let signature = hmac_sha256(verifier.server_key.expose(), &[message.as_bytes()]);
        assert_eq!(STANDARD.encode(signature), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        let proof = STANDARD.decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=").unwrap();
        let client_signature = hmac_sha256(&verifier.stored_key, &[message.as_bytes()]);
        let key: Vec<u8> = proof.iter().zip(client_signature).map(|(a, b)| a ^ b).collect();
        assert_eq!(<[u8; 32]>::from(Sha256::digest(key)), verifier.stored_key);
        assert!(verifier.verifies(&Secret::from("pencil")));
        assert!(!verifier.verifies(&Secret::from("pencil ")));
    }

    #[test]
    fn a_verifier_survives_being_written_and_nothing_else_is_read() {
        let verifier = ScramVerifier::derive(&Secret::from("s"), b"salt", 4096);
        let text = VerifierText(&verifier).to_string();
        assert_eq!(text.parse(), Ok(verifier));
        for wrong in [
            "",
            "4096",
            &text.replace('$', ":"),
            &text.replace("4096:", "+4096:"),
            &text.replace("4096:", ":"),
            &text[..text.len() - 4],
            &format!("SCRAM-SHA-256${text}"),
            &text.replacen("c2FsdA==", "", 1),
        ] {
            assert_eq!(wrong.parse::<ScramVerifier>(), Err(VerifierError::Form), "{wrong}");
        }
        for (count, shown) in [("4095:", 4095), ("10000001:", 10_000_001)] {
            let other = text.replace("4096:", count);
            let expected = Err(VerifierError::Iterations(shown));
            assert_eq!(other.parse::<ScramVerifier>(), expected);
        }
    }

    #[test]
    fn an_argon2id_hash_verifies_its_secret_and_is_checked_when_it_is_read() {
        let hash = argon2id(&Secret::from("s3cret"), &[7; 16]).unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        check_argon2id(&hash).unwrap();
        let stored = StoredSecret::Argon2id(hash.clone());
        assert!(stored.verifies(&Secret::from("s3cret")));
        assert!(!stored.verifies(&Secret::from("S3cret")));
        for wrong in [
            "",
            "s3cret",
            &hash.replace("argon2id", "argon2i"),
            &hash.replace("m=19456", "m=1048577"),
            &hash.replace("t=2", "t=65"),
            hash.rsplit_once('$').unwrap().0,
            "$argon2id$v=19$m=19456,t=2,p=1",
        ] {
            assert_eq!(check_argon2id(wrong), Err(Argon2idError), "{wrong}");
        }
    }
}
