//! What an executor needs to trust its agent and to be believed by it.
//!
//! The agent hands it over as a sealed memory file on standard input, so that it is never in
//! the environment, on a command line or on a disk, and that a task, whose standard input is
//! another, does not inherit it. [`VARIABLE`] says that it is there.
//!
//! The format is private to one version of this program: agent and executor are the same file.
//! An executor built with another version says so and ends.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::time::Duration;

use model::identity::IdentityError;
use prost::Message as _;
use rustix::fs::SealFlags;
use tls_policy::{NameCheck, Recognize, ServerTrust, Suites, Versions};
use zeroize::{Zeroize as _, Zeroizing};

/// The variable that holds the number of the descriptor with a [`Material`]: always [`STDIN`].
pub const VARIABLE: &str = "ALCAZAR_EXECUTOR_MATERIAL_FD";

/// The number of standard input.
pub const STDIN: &str = "0";

/// The largest material accepted, in bytes: far more than any bundle of certificates.
pub const MAX_BYTES: u64 = 4 << 20;

const MAGIC: &[u8] = b"alcazar executor material 3\n";

/// The token that stands for one container in `Authorization: Bearer`. Never printed; erased
/// from memory when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct BearerToken(Zeroizing<String>);

impl BearerToken {
    /// Takes a token in the form in which it travels in the header.
    #[must_use]
    pub fn new(token: String) -> Self {
        Self(Zeroizing::new(token))
    }

    /// The token, for the header and for nothing else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(…)")
    }
}

/// Trust and proof for one executor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Material {
    /// What proves that the executor runs in its container.
    pub token: BearerToken,
    /// How long the token is good for. Who calls before is given another one in time.
    pub lifetime: Duration,
    /// How the executor recognizes its agent.
    pub trust: ServerTrust,
}

/// Why there is no material on standard input.
#[derive(Debug, thiserror::Error)]
pub enum MaterialError {
    /// Standard input is not a memory file that nobody can change any more.
    #[error("standard input is not a sealed memory file: {0}")]
    NotSealed(io::Error),
    /// It could not be read.
    #[error("could not read the executor's material: {0}")]
    Read(io::Error),
    /// It holds something else, or was written by another version of the program.
    #[error("standard input holds no executor material of this version")]
    Form,
    /// The agent's identity has no such form.
    #[error("the agent's identity in the executor's material: {0}")]
    Identity(#[from] IdentityError),
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
struct Encoded {
    #[prost(string, tag = "1")]
    token: String,
    /// Without it: those of the operating system.
    #[prost(bytes = "vec", optional, tag = "2")]
    roots: Option<Vec<u8>>,
    #[prost(oneof = "How", tags = "3, 4, 5, 9")]
    how: Option<How>,
    /// One bit for each version of TLS, 1.0 first.
    #[prost(uint32, tag = "6")]
    versions: u32,
    #[prost(string, tag = "7")]
    suites: String,
    #[prost(string, optional, tag = "8")]
    groups: Option<String>,
    /// Milliseconds.
    #[prost(uint64, tag = "10")]
    lifetime: u64,
    /// The last field: what was cut off lacks it.
    #[prost(bool, tag = "15")]
    whole: bool,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum How {
    /// By this identity.
    #[prost(string, tag = "3")]
    Identity(String),
    #[prost(message, tag = "4")]
    Chain(Chain),
    #[prost(bool, tag = "5")]
    Unverified(bool),
    #[prost(bool, tag = "9")]
    Plaintext(bool),
}

#[derive(Clone, PartialEq, prost::Message)]
struct Chain {
    #[prost(uint32, tag = "1")]
    depth: u32,
    /// 0: the name is not compared; 1: with what was dialled; 2: with a reverse lookup.
    #[prost(uint32, tag = "2")]
    names: u32,
    #[prost(bool, tag = "3")]
    ip: bool,
}

impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoded").finish_non_exhaustive()
    }
}

impl Drop for Encoded {
    fn drop(&mut self) {
        self.token.zeroize();
    }
}

impl Material {
    /// The bytes of the memory file.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let ServerTrust { recognize, versions, suites, groups } = &self.trust;
        let (how, roots) = match recognize {
            Recognize::Chain { roots, depth, names } => {
                let (names, ip) = match *names {
                    NameCheck::ChainOnly => (0, false),
                    NameCheck::Dialled { ip } => (1, ip),
                    NameCheck::ReverseDns { ip } => (2, ip),
                };
                (How::Chain(Chain { depth: *depth, names, ip }), roots.clone())
            }
            Recognize::Identity { roots, identity } => {
                (How::Identity(identity.to_string()), Some(roots.clone()))
            }
            Recognize::Plaintext => (How::Plaintext(true), None),
            Recognize::Unverified => (How::Unverified(true), None),
        };
        let all = [versions.tls10, versions.tls11, versions.tls12, versions.tls13];
        let bits = all.iter().enumerate().map(|(bit, offered)| u32::from(*offered) << bit).sum();
        let encoded = Encoded {
            token: self.token.expose().to_owned(),
            roots,
            how: Some(how),
            versions: bits,
            suites: suites.openssl_string().to_owned(),
            groups: groups.clone(),
            lifetime: u64::try_from(self.lifetime.as_millis()).unwrap_or(u64::MAX),
            whole: true,
        };
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAGIC.len() + encoded.encoded_len()));
        bytes.extend_from_slice(MAGIC);
        #[expect(
            clippy::disallowed_methods,
            reason = "a message of our own, without maps or required fields"
        )]
        let encoded = Zeroizing::new(encoded.encode_to_vec());
        bytes.extend_from_slice(&encoded);
        bytes
    }

    /// Reads what [`Material::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, MaterialError> {
        let message = bytes.strip_prefix(MAGIC).ok_or(MaterialError::Form)?;
        #[expect(
            clippy::disallowed_methods,
            reason = "a message of our own, without maps or required fields"
        )]
        let mut encoded = Encoded::decode(message).map_err(|_| MaterialError::Form)?;
        if !encoded.whole {
            return Err(MaterialError::Form);
        }
        let roots = encoded.roots.take();
        let recognize = match encoded.how.take().ok_or(MaterialError::Form)? {
            How::Chain(Chain { depth, names, ip }) => {
                let names = match names {
                    0 => NameCheck::ChainOnly,
                    1 => NameCheck::Dialled { ip },
                    2 => NameCheck::ReverseDns { ip },
                    _ => return Err(MaterialError::Form),
                };
                Recognize::Chain { roots, depth, names }
            }
            How::Identity(identity) => Recognize::Identity {
                roots: roots.ok_or(MaterialError::Form)?,
                identity: identity.parse()?,
            },
            How::Plaintext(_) => Recognize::Plaintext,
            How::Unverified(_) => Recognize::Unverified,
        };
        let offers = |bit: u32| encoded.versions & (1 << bit) != 0;
        let trust = ServerTrust {
            recognize,
            versions: Versions {
                tls10: offers(0),
                tls11: offers(1),
                tls12: offers(2),
                tls13: offers(3),
            },
            suites: Suites::Named(std::mem::take(&mut encoded.suites)),
            groups: encoded.groups.take(),
        };
        let token = BearerToken::new(std::mem::take(&mut encoded.token));
        Ok(Self { token, lifetime: Duration::from_millis(encoded.lifetime), trust })
    }

    /// Reads standard input, which must be a sealed memory file, and puts `/dev/null` in its
    /// place, so that what this process starts has no way to it.
    pub fn take_from_stdin() -> Result<Self, MaterialError> {
        let stdin = rustix::stdio::stdin();
        let seals = rustix::fs::fcntl_get_seals(stdin)
            .map_err(|error| MaterialError::NotSealed(error.into()))?;
        if !seals.contains(SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK) {
            return Err(MaterialError::NotSealed(io::Error::other("seals are missing")));
        }
        let mut file =
            File::from(rustix::io::dup(stdin).map_err(|e| MaterialError::Read(e.into()))?);
        let mut bytes = Zeroizing::new(Vec::with_capacity(64 << 10));
        file.rewind().map_err(MaterialError::Read)?;
        file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(MaterialError::Read)?;
        let null = File::open("/dev/null").map_err(MaterialError::Read)?;
        rustix::stdio::dup2_stdin(&null).map_err(|error| MaterialError::Read(error.into()))?;
        Self::decode(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn material() -> Material {
        let recognize = Recognize::Identity {
            roots: b"-----BEGIN CERTIFICATE-----".to_vec(),
            identity: "spiffe://alcazar.local/agent/agent-1".parse().unwrap(),
        };
        Material {
            token: BearerToken::new("0123abcd".into()),
            lifetime: Duration::from_secs(3600),
            trust: ServerTrust {
                recognize,
                versions: Versions { tls10: false, tls11: true, tls12: false, tls13: true },
                suites: Suites::Named("AES128-SHA".into()),
                groups: Some("X25519:P-256".into()),
            },
        }
    }

    #[test]
    fn material_is_read_back() {
        let chain = |roots, names| Recognize::Chain { roots, depth: 3, names };
        for recognize in [
            material().trust.recognize,
            chain(None, NameCheck::ReverseDns { ip: false }),
            chain(Some(b"PEM".to_vec()), NameCheck::Dialled { ip: true }),
            chain(Some(Vec::new()), NameCheck::ChainOnly),
            Recognize::Plaintext,
            Recognize::Unverified,
        ] {
            let trust = ServerTrust { recognize, groups: None, ..material().trust };
            let material = Material { trust, ..material() };
            assert_eq!(Material::decode(&material.encode()).unwrap(), material);
        }
        assert_eq!(Material::decode(&material().encode()).unwrap(), material());
    }

    #[test]
    fn material_never_prints_its_token() {
        assert!(!format!("{:?}", material()).contains("0123abcd"));
    }

    #[test]
    fn other_bytes_are_no_material() {
        let encoded = material().encode();
        for cut in 0..encoded.len() {
            assert!(Material::decode(&encoded[..cut]).is_err(), "{cut}");
        }
        assert!(matches!(Material::decode(b"hello"), Err(MaterialError::Form)));
    }
}
