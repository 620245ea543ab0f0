//! The policy: what a driver loads and obeys.

use std::path::PathBuf;
use std::time::Duration;

use model::identity::TrustDomain;

use crate::clients::{ClientCertificates, Demand};
use crate::notice::{DangerAccepted, Notice};
use crate::principal::PrincipalRules;

/// How often files are looked at for changes unless said otherwise.
pub const RELOAD_INTERVAL: Duration = Duration::from_secs(10);

/// How this program protects its connections, all of them.
#[expect(clippy::large_enum_variant, reason = "a process has one or two of them")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsPolicy {
    /// Nothing is encrypted and nobody proves anything.
    Plaintext(WhyPlaintext),
    /// Connections are encrypted as the rules say.
    Tls(TlsRules),
}

impl TlsPolicy {
    /// The posture of our own commands: mutual TLS, every component carries an identity of
    /// `identity.trust_domain`. A client without a certificate completes the handshake (HTTP
    /// answers it with 401); one with an invalid certificate does not.
    #[must_use]
    pub fn identities(materials: MaterialPaths, identity: IdentityRules) -> Self {
        Self::Tls(TlsRules::identities(materials, identity))
    }

    /// Plaintext, asked for by the name of the setting in `danger`, and the notice about it.
    #[must_use]
    pub fn danger_plaintext(danger: DangerAccepted) -> (Self, Notice) {
        let notice = Notice::Weak {
            danger: danger.clone(),
            consequence: "connections are neither encrypted nor authenticated: whoever reaches \
                          the port can read and send everything"
                .into(),
        };
        (Self::Plaintext(WhyPlaintext::Asked(danger)), notice)
    }

    /// The rules, if connections are encrypted.
    #[must_use]
    pub fn rules(&self) -> Option<&TlsRules> {
        match self {
            Self::Plaintext(_) => None,
            Self::Tls(rules) => Some(rules),
        }
    }

    /// The trust domain whose identities every component proves. `None`: peers prove nothing
    /// about which component they are (plaintext, or the original's kind of TLS).
    #[must_use]
    pub fn trust_domain(&self) -> Option<&TrustDomain> {
        match &self.rules()?.inbound {
            Inbound::ComponentIdentity(rules) => Some(&rules.trust_domain),
            Inbound::AnyClient(_) | Inbound::ClientCertificate(..) => None,
        }
    }
}

/// Why connections are not encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhyPlaintext {
    /// A setting says so by name.
    Asked(DangerAccepted),
    /// `LIBPROCESS_SSL_ENABLED` is not set: the original's default.
    NotEnabled(DangerAccepted),
}

/// The rules of encrypted connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsRules {
    /// What is asked of whoever connects to us.
    pub inbound: Inbound,
    /// What is asked of whom we connect to.
    pub outbound: Outbound,
    /// Where clients need a certificate. At doors that ask for nothing whoever connects is served;
    /// `inbound` says how a certificate that is presented is verified.
    pub client_certificates: ClientCertificates,
    /// How a verified certificate becomes a principal.
    pub principals: PrincipalRules,
    /// A PEM file of revocation lists; when given, each chain must be covered by a list that has
    /// not run out, and no certificate in it may be revoked.
    pub revocation: Option<PathBuf>,
    /// How often the files that the policy names are looked at for changes; `None`: only when
    /// told to (by a signal or a request).
    pub reload: Option<Duration>,
    /// What becomes of peers that do not speak TLS.
    pub plaintext_peers: PlaintextPeers,
    /// The profile that filled in what was not said.
    pub profile: Profile,
    /// Protocol versions that may be negotiated; at least one.
    pub versions: Versions,
    /// Cipher suites of TLS 1.2 and older. Those of TLS 1.3 are the library's.
    pub suites: Suites,
    /// Key-exchange groups, colon separated in order of preference; `None`: the library's.
    pub groups: Option<String>,
    /// The files with our own certificate and key.
    pub materials: MaterialPaths,
}

impl TlsRules {
    /// The rules of [`TlsPolicy::identities`].
    #[must_use]
    pub fn identities(materials: MaterialPaths, identity: IdentityRules) -> Self {
        Self {
            inbound: Inbound::ComponentIdentity(identity.clone()),
            outbound: Outbound::ComponentIdentity(identity),
            plaintext_peers: PlaintextPeers::Refused,
            client_certificates: ClientCertificates::everywhere(Demand::Required),
            principals: PrincipalRules::default(),
            revocation: None,
            reload: Some(RELOAD_INTERVAL),
            profile: Profile::Intermediate,
            versions: Versions { tls10: false, tls11: false, tls12: true, tls13: true },
            suites: Suites::Modern,
            groups: None,
            materials,
        }
    }
}

/// What is asked of whoever connects to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inbound {
    /// No certificate is requested.
    AnyClient(DangerAccepted),
    /// A certificate is requested. One that does not verify fails the handshake; whether one is
    /// needed is decided at each door ([`TlsRules::client_certificates`]).
    ClientCertificate(ChainRules, NameCheck),
    /// A certificate is requested. One that does not verify or carries no identity of the trust
    /// domain fails the handshake; whether one is needed is decided for each route.
    ComponentIdentity(IdentityRules),
}

/// What is asked of whom we connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outbound {
    /// The chain verifies and the certificate carries an identity of the trust domain; who
    /// connects may ask for one kind or one name.
    ComponentIdentity(IdentityRules),
    /// Nothing: any certificate will do.
    Unverified(DangerAccepted),
    /// The chain verifies and the name fits.
    Verified(ChainRules, NameCheck),
}

/// How a chain is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainRules {
    /// Which roots are believed.
    pub anchors: TrustAnchors,
    /// How many intermediates may stand between the leaf and its root: 0 means that a root must
    /// have issued the leaf (or be it). Fits into an `i32`.
    pub depth: u32,
}

/// Which roots are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrustAnchors {
    /// Those in a PEM file, in a directory, or both; at least one is given.
    Files {
        /// A PEM bundle.
        file: Option<PathBuf>,
        /// A directory, hashed by OpenSSL or with plain PEM files.
        dir: Option<PathBuf>,
    },
    /// Those of the operating system.
    System,
}

/// How component identities are verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityRules {
    /// The cluster's roots: a PEM bundle, nothing else is believed.
    pub trust_bundle: PathBuf,
    /// The trust domain that every identity must belong to.
    pub trust_domain: TrustDomain,
}

/// How the name in a verified certificate is compared with the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameCheck {
    /// Not at all: a valid chain is enough.
    ChainOnly,
    /// With the host name that was dialled; if only an address was dialled, with its IP SANs if
    /// `ip`, otherwise the connection fails (the scheme `openssl`).
    Dialled {
        /// Whether IP SANs count (`VERIFY_IPADD`).
        ip: bool,
    },
    /// With what a reverse lookup of the peer's address says (the scheme `legacy`).
    ReverseDns {
        /// Whether IP SANs count (`VERIFY_IPADD`).
        ip: bool,
    },
}

/// What becomes of peers that do not speak TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlaintextPeers {
    /// They are served, and dialled again in plaintext when they show that they speak no TLS.
    Accepted(DangerAccepted),
    /// Their connections are closed.
    Refused,
}

/// A protocol version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// SSL 3.0, broken.
    Ssl3,
    /// TLS 1.0, obsolete.
    Tls10,
    /// TLS 1.1, obsolete.
    Tls11,
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// A named set of versions, suites, groups and leaves, filled in where nothing was said. One that
/// was asked for by name is also a ceiling: what it excludes stays out whatever else is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// What a stock peer can speak: TLS 1.2 and 1.3, its two suites last.
    Mesos,
    /// TLS 1.2 and 1.3, forward secrecy and authenticated encryption only; RSA leaves may stand
    /// beside ECDSA ones.
    Intermediate,
    /// The strictest: TLS 1.3 only, ECDSA leaves only, names checked without asking the DNS.
    Modern,
}

/// The protocol versions that may be negotiated; SSL 3.0 never is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// TLS 1.0; works only where the security level of the library is lowered.
    pub tls10: bool,
    /// TLS 1.1; likewise.
    pub tls11: bool,
    /// TLS 1.2.
    pub tls12: bool,
    /// TLS 1.3.
    pub tls13: bool,
}

/// The cipher suites of TLS 1.2 and older.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Suites {
    /// Forward secrecy and authenticated encryption first, the two suites that a stock peer
    /// can speak (`AES128-SHA`, `AES256-SHA`) last.
    Compatible,
    /// Forward secrecy and authenticated encryption only.
    Modern,
    /// An OpenSSL cipher string, but for the elements that a notice says were left out.
    Named(String),
    /// As [`Self::Compatible`], with suites in between that TLS 1.0 and 1.1 can use with any leaf.
    Obsolete,
}

impl Suites {
    /// The suites as an OpenSSL cipher string.
    #[must_use]
    pub fn openssl_string(&self) -> &str {
        match self {
            Self::Compatible => {
                "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:\
                 ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:\
                 ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:\
                 AES128-SHA:AES256-SHA"
            }
            Self::Modern => {
                "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:\
                 ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:\
                 ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
            }
            Self::Named(string) => string,
            Self::Obsolete => {
                "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:\
                 ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:\
                 ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:\
                 ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:\
                 ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-SHA:\
                 AES128-SHA:AES256-SHA"
            }
        }
    }
}

/// The files with our own certificates and keys. Several pairs stand side by side (an ECDSA and
/// an RSA one); the library picks what the peer can use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaterialPaths {
    /// At least one pair.
    pub pairs: Vec<MaterialPair>,
}

impl MaterialPair {
    /// A certificate chain and its key, which is not encrypted.
    #[must_use]
    pub fn new(certificate_chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self { certificate_chain: certificate_chain.into(), key: key.into(), passphrase: None }
    }
}

impl MaterialPaths {
    /// One certificate and its key.
    #[must_use]
    pub fn one(certificate_chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self { pairs: vec![MaterialPair::new(certificate_chain, key)] }
    }
}

/// A certificate chain and the key of its leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaterialPair {
    /// PEM, the leaf first.
    pub certificate_chain: PathBuf,
    /// PEM.
    pub key: PathBuf,
    /// What the key is encrypted with; `None`: it is not.
    pub passphrase: Option<PassphraseSource>,
}

/// Where the passphrase of a key comes from. Never the passphrase itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PassphraseSource {
    /// The first line of what this command prints; run by `sh -c`.
    Command(String),
    /// A file of this name in the directory that systemd names in `CREDENTIALS_DIRECTORY`.
    Credential(String),
    /// The first line of this file.
    File(PathBuf),
}
