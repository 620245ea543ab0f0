//! The contexts of the TLS library, and the handshakes made with them.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use libprocess::sender::PeerFacts;
use model::identity::{Identity, TrustDomain};
use openssl::error::ErrorStack;
use openssl::pkey::PKey;
use openssl::ssl::{
    Ssl, SslContext, SslContextBuilder, SslMethod, SslMode, SslOptions, SslSessionCacheMode,
    SslVerifyMode, SslVersion,
};
use openssl::x509::X509;
use openssl::x509::store::X509StoreBuilder;
use tokio_openssl::SslStream;

use super::names::{self, PeerNameError};
use super::{Expected, MaterialError, Offer, TlsMaterial};
use crate::stream::{Enduring, Stream};

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
        address: SocketAddr,
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
        let facts = PeerFacts {
            address,
            certified: identity.is_some(),
            principal: None,
            identity,
            vouched_addresses,
            encrypted: true,
        };
        Ok((Stream::Tls(stream), facts))
    }

    /// Makes the handshake as a client and checks that the peer is who is expected, before a
    /// byte is sent to it.
    pub(crate) async fn connect(
        &self,
        socket: Enduring,
        address: SocketAddr,
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
                if !expected.is(&actual) {
                    let expected = expected.clone();
                    return Err(HandshakeError::SomebodyElse { expected, actual });
                }
                Some(actual)
            }
        };
        let vouched_addresses = names.addresses;
        let facts = PeerFacts {
            address,
            certified: true,
            principal: None,
            identity,
            vouched_addresses,
            encrypted: true,
        };
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
