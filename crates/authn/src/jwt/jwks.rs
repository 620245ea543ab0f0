//! Public keys as an identity provider publishes them (RFC 7517, 7518, 8037).

use std::fmt;

use serde_json::{Map, Value};

use super::encoded::decode;

/// The most keys taken from one set.
const MOST_KEYS: usize = 64;
/// RSA keys outside of these lengths, in bits, are not used: too weak, or too slow to verify.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// How a token may be signed with a key of a set. There is one way for each key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// EdDSA on Curve25519.
    EdDsa,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Rs256, Self::Es256, Self::EdDsa];

    /// The word in `alg`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The one that is called `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A public key as numbers, big-endian.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// For RS256.
    Rsa {
        /// The modulus.
        n: Vec<u8>,
        /// The exponent.
        e: Vec<u8>,
    },
    /// For ES256: a point on P-256.
    P256 {
        /// Its x coordinate.
        x: [u8; 32],
        /// Its y coordinate.
        y: [u8; 32],
    },
    /// For EdDSA.
    Ed25519([u8; 32]),
}

impl PublicKey {
    /// The only algorithm that the key is used with.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Rsa { .. } => Algorithm::Rs256,
            Self::P256 { .. } => Algorithm::Es256,
            Self::Ed25519(_) => Algorithm::EdDsa,
        }
    }
}

/// One key of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwk {
    /// Its name in the set, by which tokens say which key they are signed with.
    pub kid: Option<String>,
    /// The key.
    pub key: PublicKey,
}

/// A set of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Jwks {
    keys: Vec<Jwk>,
    skipped: Vec<String>,
}

/// Why a file is no set of keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwksError {
    /// It is no JSON, or not of this form.
    #[error("not a set of JSON web keys: {0}")]
    Form(String),
    /// It contains what only the identity provider should have.
    #[error("key {0} is a private or secret key: whoever reads the file could sign with it")]
    Private(String),
    /// None of the keys is of use.
    #[error("no key to verify RS256, ES256 or EdDSA with{}", listed(.0))]
    Useless(Vec<String>),
    /// Two keys for the same algorithm have the same name.
    #[error("two keys are called {0}")]
    Duplicate(String),
    /// More than anybody needs.
    #[error("more than {MOST_KEYS} keys")]
    TooMany,
}

fn listed(reasons: &[String]) -> String {
    if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join("; ")) }
}

impl Jwks {
    /// Reads a set. Keys for other purposes or algorithms are passed over, as RFC 7517 §5 says;
    /// [`Jwks::skipped`] has the reasons.
    pub fn parse(text: &[u8]) -> Result<Self, JwksError> {
        let value: Value =
            serde_json::from_slice(text).map_err(|e| JwksError::Form(e.to_string()))?;
        let entries = value.get("keys").and_then(Value::as_array);
        let entries = entries.ok_or_else(|| JwksError::Form("there is no list `keys`".into()))?;
        if entries.len() > MOST_KEYS {
            return Err(JwksError::TooMany);
        }
        let mut set = Self::default();
        for (n, entry) in entries.iter().enumerate() {
            let Value::Object(entry) = entry else {
                return Err(JwksError::Form(format!("key {n} is no object")));
            };
            let kid = entry.get("kid").and_then(Value::as_str).map(str::to_owned);
            let called = match &kid {
                Some(kid) => format!("'{}'", kid.escape_default()),
                None => format!("number {n}"),
            };
            if entry.contains_key("d") || text_of(entry, "kty") == Ok("oct") {
                return Err(JwksError::Private(called));
            }
            let key = match read(entry) {
                Ok(key) => key,
                Err(why) => {
                    set.skipped.push(format!("key {called}: {why}"));
                    continue;
                }
            };
            if kid.is_some() && set.of(key.algorithm()).any(|known| known.kid == kid) {
                return Err(JwksError::Duplicate(called));
            }
            set.keys.push(Jwk { kid, key });
        }
        if set.keys.is_empty() { Err(JwksError::Useless(set.skipped)) } else { Ok(set) }
    }

    /// The keys for `algorithm`.
    pub fn of(&self, algorithm: Algorithm) -> impl Iterator<Item = &Jwk> {
        self.keys.iter().filter(move |jwk| jwk.key.algorithm() == algorithm)
    }

    /// The key that a token names; if it names none, the only one that there is for `algorithm`.
    #[must_use]
    pub fn select(&self, algorithm: Algorithm, kid: Option<&str>) -> Option<&PublicKey> {
        let mut fitting =
            self.of(algorithm).filter(|jwk| kid.is_none() || jwk.kid.as_deref() == kid);
        let first = fitting.next()?;
        // A guess among several would make the choice of key the sender's.
        if fitting.next().is_some() { None } else { Some(&first.key) }
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none, so that no token verifies.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// What was passed over, and why; for the log.
    #[must_use]
    pub fn skipped(&self) -> &[String] {
        &self.skipped
    }
}

fn text_of<'a>(entry: &'a Map<String, Value>, name: &str) -> Result<&'a str, String> {
    entry.get(name).and_then(Value::as_str).ok_or_else(|| format!("no `{name}`"))
}

fn number(entry: &Map<String, Value>, name: &str) -> Result<Vec<u8>, String> {
    decode(text_of(entry, name)?).map_err(|e| format!("`{name}` is not base64url: {e}"))
}

fn coordinate(entry: &Map<String, Value>, name: &str) -> Result<[u8; 32], String> {
    number(entry, name)?.try_into().map_err(|_| format!("`{name}` is not 32 bytes long"))
}

/// Reads one key, or says why it is not one for us.
fn read(entry: &Map<String, Value>) -> Result<PublicKey, String> {
    if let Some(purpose) = entry.get("use")
        && purpose.as_str() != Some("sig")
    {
        return Err("it is not for signatures".into());
    }
    if let Some(operations) = entry.get("key_ops") {
        let operations = operations.as_array().map(Vec::as_slice).unwrap_or_default();
        if !operations.iter().any(|operation| operation.as_str() == Some("verify")) {
            return Err("it is not to verify with".into());
        }
    }
    let kty = text_of(entry, "kty")?;
    let key = match (kty, entry.get("crv").and_then(Value::as_str)) {
        ("RSA", _) => rsa(entry)?,
        ("EC", Some("P-256")) => {
            PublicKey::P256 { x: coordinate(entry, "x")?, y: coordinate(entry, "y")? }
        }
        ("OKP", Some("Ed25519")) => PublicKey::Ed25519(coordinate(entry, "x")?),
        _ => return Err("keys of this type or curve are not used".into()),
    };
    match entry.get("alg").map(Value::as_str) {
        None => Ok(key),
        Some(Some(name)) if Algorithm::named(name) == Some(key.algorithm()) => Ok(key),
        Some(_) => Err(format!("it is not for {}", key.algorithm())),
    }
}

fn rsa(entry: &Map<String, Value>) -> Result<PublicKey, String> {
    let trimmed =
        |bytes: Vec<u8>| -> Vec<u8> { bytes.into_iter().skip_while(|byte| *byte == 0).collect() };
    let (n, e) = (trimmed(number(entry, "n")?), trimmed(number(entry, "e")?));
    let bits = n.first().map_or(0, |first| n.len() * 8 - first.leading_zeros() as usize);
    if !RSA_BITS.contains(&bits) {
        return Err(format!("an RSA key of {bits} bits is not used"));
    }
    let is_odd = |number: &[u8]| number.last().is_some_and(|last| last % 2 == 1);
    // An exponent of 1 signs nothing; a long one only takes long.
    if e == [1] || e.len() > 4 || !is_odd(&e) || !is_odd(&n) {
        return Err("its numbers are not those of an RSA key".into());
    }
    Ok(PublicKey::Rsa { n, e })
}
