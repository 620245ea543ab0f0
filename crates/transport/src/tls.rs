//! What protects connections: mutual TLS with identities, or nothing when told so by name.

use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use libprocess::sender::{Binding, PeerFacts};
use model::identity::{Identity, Kind, TrustDomain};
use openssl::error::ErrorStack;
use openssl::pkey::PKey;
use openssl::ssl::{
    Ssl, SslContext, SslContextBuilder, SslMethod, SslMode, SslOptions, SslSessionCacheMode,
    SslVerifyMode, SslVersion,
};
use openssl::x509::X509;
use openssl::x509::store::X509StoreBuilder;
use tokio_openssl::SslStream;

use crate::stream::{Enduring, Stream};

mod load;
mod names;

pub use load::LoadError;
pub use names::PeerNameError;

/// What protects the connections of a program.
#[derive(Clone, Debug)]
pub enum Security {
    /// TLS, both ends with an identity of the trust domain.
    Tls(Arc<Contexts>),
    /// Nothing: whoever reaches the port can read and send everything. Only when told by name.
    DangerPlaintext,
}

impl Security {
    /// How the senders of messages are bound.
    #[must_use]
    pub fn binding(&self) -> Binding {
        match self {
            Self::Tls(_) => Binding::Certificate,
            Self::DangerPlaintext => Binding::DangerSourceAddress,
        }
    }

    /// `https` or `http`.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        match self {
            Self::Tls(_) => "https",
            Self::DangerPlaintext => "http",
        }
    }
}

/// The contents of the files behind TLS: what we present and whom we believe.
#[derive(Clone)]
pub struct TlsMaterial {
    /// Our own certificates with their keys. Several stand side by side (an ECDSA and an RSA
    /// one); the peer's abilities decide. May be empty for a client that has no identity.
    pub leaves: Vec<Leaf>,
    /// The cluster's roots, PEM, at least one. Nothing else is believed.
    pub roots_pem: Vec<u8>,
    /// The trust domain to which every identity must belong.
    pub trust_domain: TrustDomain,
    /// Which versions, suites and groups are offered.
    pub offer: Offer,
}

impl fmt::Debug for TlsMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsMaterial")
            .field("leaves", &self.leaves.len())
            .field("trust_domain", &self.trust_domain)
            .field("offer", &self.offer)
            .finish_non_exhaustive()
    }
}

/// A certificate with its chain and its key.
#[derive(Clone)]
pub struct Leaf {
    /// PEM: the leaf, then its intermediates.
    pub chain_pem: Vec<u8>,
    /// PEM: the private key of the leaf.
    pub key_pem: zeroize::Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaf").finish_non_exhaustive()
    }
}

/// What is offered in a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Whether TLS 1.2 is offered.
    pub tls12: bool,
    /// Whether TLS 1.3 is offered.
    pub tls13: bool,
    /// The suites of TLS 1.2 as an OpenSSL cipher string.
    pub suites: String,
    /// Key-exchange groups, colon separated; `None`: the library's.
    pub groups: Option<String>,
}

impl Default for Offer {
    /// Both versions; forward secrecy and authenticated encryption only.
    fn default() -> Self {
        Self {
            tls12: true,
            tls13: true,
            suites: "ECDHE+AESGCM:ECDHE+CHACHA20".to_owned(),
            groups: None,
        }
    }
}

/// Why TLS material cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MaterialError {
    /// A certificate chain is not PEM, or holds no certificate.
    #[error("the certificate chain cannot be read")]
    Chain(#[source] ErrorStack),
    /// A certificate chain holds no certificate.
    #[error("the certificate chain is empty")]
    EmptyChain,
    /// A private key cannot be read.
    #[error("the private key cannot be read")]
    Key(#[source] ErrorStack),
    /// A private key is not that of its certificate.
    #[error("the private key does not belong to the certificate")]
    KeyMismatch(#[source] ErrorStack),
    /// Our own certificate carries no identity of the trust domain.
    #[error("our own certificate names no component of the trust domain")]
    OwnName(#[source] PeerNameError),
    /// The roots cannot be read.
    #[error("the root certificates cannot be read")]
    Roots(#[source] ErrorStack),
    /// There are no roots, so that nobody could be believed.
    #[error("there is no root certificate")]
    NoRoots,
    /// No version of TLS is offered.
    #[error("neither TLS 1.2 nor TLS 1.3 is offered")]
    NoVersion,
    /// The suites or groups select nothing, or the library refuses a setting.
    #[error("the TLS library refuses a setting")]
    Setting(#[source] ErrorStack),
}

/// Whom a client expects at the other end. Anybody else is left before a byte is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// A component of this kind.
    Kind(Kind),
    /// This component.
    Identity(Identity),
    /// Any component of the trust domain.
    Member,
    /// A server of this DNS name or IP address, with or without an identity, whose certificate
    /// the cluster's roots vouch for.
    Host(String),
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(kind) => write!(f, "a component of kind {kind}"),
            Self::Identity(identity) => write!(f, "{identity}"),
            Self::Member => f.write_str("a component of the trust domain"),
            Self::Host(host) => write!(f, "the host {host}"),
        }
    }
}

impl Expected {
    /// Whether `identity` is who is expected. In plaintext (`None`) nobody proves anything and
    /// everybody is; a name of a host was compared in the handshake.
    #[must_use]
    pub fn admits(&self, identity: Option<&Identity>) -> bool {
        match (self, identity) {
            (Self::Host(_), _) | (_, None) | (Self::Member, Some(_)) => true,
            (Self::Kind(kind), Some(identity)) => identity.kind() == *kind,
            (Self::Identity(expected), Some(identity)) => identity == expected,
        }
    }
}

/// The TLS contexts of a program, for both roles. They can be replaced while connections are
/// open; new connections use the new ones.
#[derive(Debug)]
pub struct Contexts {
    current: ArcSwap<Built>,
}

#[derive(Debug)]
struct Built {
    server: SslContext,
    client: SslContext,
    trust_domain: TrustDomain,
    own: Option<Identity>,
}

/// Why a handshake did not lead to a peer that may speak.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    #[error("the TLS handshake failed: {}", describe(.0))]
    Handshake(openssl::ssl::Error),
    #[error("the TLS library failed")]
    Library(#[from] ErrorStack),
    #[error("the peer presented no certificate")]
    NoCertificate,
    #[error("the peer's certificate is not accepted")]
    Name(#[from] PeerNameError),
    #[error("the peer is {actual}, expected {expected}")]
    SomebodyElse { expected: Expected, actual: Identity },
}

/// An error of OpenSSL as a person would say it: the reasons, not the places in its source.
fn describe(error: &openssl::ssl::Error) -> String {
    match error.ssl_error() {
        Some(stack) if !stack.errors().is_empty() => {
            let reasons = stack.errors().iter().filter_map(|e| e.reason());
            reasons.collect::<Vec<_>>().join(", ")
        }
        _ => match error.io_error() {
            Some(error) => error.to_string(),
            None => "the connection ended".to_owned(),
        },
    }
}

impl Contexts {
    /// Builds the contexts; the material is checked completely.
    pub fn new(material: &TlsMaterial) -> Result<Self, MaterialError> {
        Ok(Self { current: ArcSwap::from_pointee(Built::new(material)?) })
    }

    /// Replaces the contexts for new connections. On error the old ones stay.
    pub fn replace(&self, material: &TlsMaterial) -> Result<(), MaterialError> {
        self.current.store(Arc::new(Built::new(material)?));
        Ok(())
    }

    /// Our own identity: that of the first leaf. `None` for a client without one.
    #[must_use]
    pub fn own_identity(&self) -> Option<Identity> {
        self.current.load().own.clone()
    }

    /// Serves the handshake. A client without certificate passes, without identity; one with a
    /// certificate that does not verify or names no component fails.
    pub(crate) async fn accept(
        &self,
        socket: Enduring,
        address: std::net::SocketAddr,
    ) -> Result<(Stream, PeerFacts), HandshakeError> {
        let built = self.current.load_full();
        let mut stream = SslStream::new(Ssl::new(&built.server)?, socket)?;
        Pin::new(&mut stream).accept().await.map_err(HandshakeError::Handshake)?;
        let (identity, vouched_addresses) = match stream.ssl().peer_certificate() {
            None => (None, Vec::new()),
            Some(certificate) => {
                let names = names::read(&certificate, &built.trust_domain)?;
                (Some(names.identity?), names.addresses)
            }
        };
        let facts = PeerFacts { address, identity, vouched_addresses, encrypted: true };
        Ok((Stream::Tls(stream), facts))
    }

    /// Makes the handshake as a client and checks that the peer is who is expected, before a
    /// byte is sent to it.
    pub(crate) async fn connect(
        &self,
        socket: Enduring,
        address: std::net::SocketAddr,
        expected: &Expected,
    ) -> Result<(Stream, PeerFacts), HandshakeError> {
        let built = self.current.load_full();
        let mut ssl = Ssl::new(&built.client)?;
        if let Expected::Host(host) = expected {
            match host.parse::<IpAddr>() {
                Ok(ip) => ssl.param_mut().set_ip(ip)?,
                Err(_) => {
                    ssl.param_mut().set_host(host)?;
                    ssl.set_hostname(host)?;
                }
            }
        }
        let mut stream = SslStream::new(ssl, socket)?;
        Pin::new(&mut stream).connect().await.map_err(HandshakeError::Handshake)?;
        let certificate = stream.ssl().peer_certificate().ok_or(HandshakeError::NoCertificate)?;
        let names = names::read(&certificate, &built.trust_domain)?;
        let identity = match expected {
            Expected::Host(_) => names.identity.ok(),
            Expected::Kind(_) | Expected::Identity(_) | Expected::Member => {
                let actual = names.identity?;
                if !expected.admits(Some(&actual)) {
                    let expected = expected.clone();
                    return Err(HandshakeError::SomebodyElse { expected, actual });
                }
                Some(actual)
            }
        };
        let vouched_addresses = names.addresses;
        let facts = PeerFacts { address, identity, vouched_addresses, encrypted: true };
        Ok((Stream::Tls(stream), facts))
    }
}

impl Built {
    fn new(material: &TlsMaterial) -> Result<Self, MaterialError> {
        let (server, own) = context(material, SslMethod::tls_server())?;
        let (client, _) = context(material, SslMethod::tls_client())?;
        let mut server = server;
        // Framing says where a message ends, so that a missing close_notify can hide nothing.
        // Clients keep the error: the end of a response may be the end of the connection.
        server.set_options(SslOptions::IGNORE_UNEXPECTED_EOF);
        Ok(Self {
            server: server.build(),
            client: client.build(),
            trust_domain: material.trust_domain.clone(),
            own,
        })
    }
}

fn context(
    material: &TlsMaterial,
    method: SslMethod,
) -> Result<(SslContextBuilder, Option<Identity>), MaterialError> {
    let mut builder = SslContextBuilder::new(method).map_err(MaterialError::Setting)?;
    let own = present(&mut builder, material)?;
    believe(&mut builder, material)?;
    limit(&mut builder, &material.offer)?;
    Ok((builder, own))
}

/// What we present.
fn present(
    builder: &mut SslContextBuilder,
    material: &TlsMaterial,
) -> Result<Option<Identity>, MaterialError> {
    let mut own = None;
    let mut sent: Vec<X509> = Vec::new();
    for leaf in &material.leaves {
        let mut chain = X509::stack_from_pem(&leaf.chain_pem).map_err(MaterialError::Chain)?;
        if chain.is_empty() {
            return Err(MaterialError::EmptyChain);
        }
        let certificate = chain.remove(0);
        let identity = names::read(&certificate, &material.trust_domain)
            .and_then(|names| names.identity)
            .map_err(MaterialError::OwnName)?;
        let key = PKey::private_key_from_pem(&leaf.key_pem).map_err(MaterialError::Key)?;
        builder.set_certificate(&certificate).map_err(MaterialError::Chain)?;
        builder.set_private_key(&key).map_err(MaterialError::KeyMismatch)?;
        builder.check_private_key().map_err(MaterialError::KeyMismatch)?;
        for intermediate in chain {
            if !sent.contains(&intermediate) {
                builder.add_extra_chain_cert(intermediate.clone()).map_err(MaterialError::Chain)?;
                sent.push(intermediate);
            }
        }
        own.get_or_insert(identity);
    }
    Ok(own)
}

/// Whom we believe.
fn believe(builder: &mut SslContextBuilder, material: &TlsMaterial) -> Result<(), MaterialError> {
    let roots = X509::stack_from_pem(&material.roots_pem).map_err(MaterialError::Roots)?;
    if roots.is_empty() {
        return Err(MaterialError::NoRoots);
    }
    let mut store = X509StoreBuilder::new().map_err(MaterialError::Roots)?;
    for root in roots {
        store.add_cert(root).map_err(MaterialError::Roots)?;
    }
    builder.set_cert_store(store.build());
    // As a server: a certificate is requested, an invalid one fails the handshake, a missing one
    // is judged for each route.
    builder.set_verify(SslVerifyMode::PEER);
    builder.set_verify_depth(MAX_INTERMEDIATES);
    Ok(())
}

/// Certificates that may stand between a leaf and a root.
const MAX_INTERMEDIATES: u32 = 4;

/// What we are willing to speak.
fn limit(builder: &mut SslContextBuilder, offer: &Offer) -> Result<(), MaterialError> {
    let (lowest, highest) = match (offer.tls12, offer.tls13) {
        (true, true) => (SslVersion::TLS1_2, SslVersion::TLS1_3),
        (true, false) => (SslVersion::TLS1_2, SslVersion::TLS1_2),
        (false, true) => (SslVersion::TLS1_3, SslVersion::TLS1_3),
        (false, false) => return Err(MaterialError::NoVersion),
    };
    builder.set_min_proto_version(Some(lowest)).map_err(MaterialError::Setting)?;
    builder.set_max_proto_version(Some(highest)).map_err(MaterialError::Setting)?;
    builder.set_cipher_list(&offer.suites).map_err(MaterialError::Setting)?;
    if let Some(groups) = &offer.groups {
        builder.set_groups_list(groups).map_err(MaterialError::Setting)?;
    }
    builder.set_mode(
        SslMode::ENABLE_PARTIAL_WRITE
            | SslMode::ACCEPT_MOVING_WRITE_BUFFER
            | SslMode::RELEASE_BUFFERS
            | SslMode::AUTO_RETRY,
    );
    builder.set_options(
        SslOptions::NO_COMPRESSION
            | SslOptions::NO_RENEGOTIATION
            | SslOptions::CIPHER_SERVER_PREFERENCE
            | SslOptions::NO_TICKET,
    );
    // Every connection proves who is at its other end; none inherits the proof of another.
    builder.set_session_cache_mode(SslSessionCacheMode::OFF);
    builder.set_num_tickets(0).map_err(MaterialError::Setting)
}
