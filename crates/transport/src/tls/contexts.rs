//! The contexts of a program, and the handshakes made with them.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use libprocess::sender::{Binding, PeerFacts};
use model::identity::{Identity, TrustDomain};
use model::time::Timestamp;
use openssl::error::ErrorStack;
use openssl::ssl::{Ssl, SslContext, SslRef};
use openssl::x509::{X509PurposeId, X509Ref};
use tls_policy::{Demand, IdentityRules, Inbound, MESSAGES, MaterialPaths, NameCheck, TlsRules};
use tokio_openssl::SslStream;

use super::counters::{Role, TlsCounters};
use super::dialler::Dialler;
use super::exporter::Exported;
use super::failure::{Failure, HandshakeError};
use super::inputs::{Inputs, Judge};
use super::load::LoadError;
use super::names::{self, Names};
use super::notice::LoadNotice;
use super::recheck::{self, Recheck};
use super::reverse::{self, ReverseDns};
use super::{Expected, MaterialError, TlsMaterial, context};
use crate::seldom;
use crate::sessions::fresh_connection;
use crate::stream::{Enduring, Stream};

/// The TLS contexts of a program, for both roles. They can be replaced while connections are
/// open; new connections use the new ones.
#[derive(Debug)]
pub struct Contexts {
    rules: Arc<TlsRules>,
    from_files: bool,
    current: ArcSwap<Built>,
    counters: TlsCounters,
    reverse_dns: ReverseDns,
}

/// What [`Contexts::reload`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// Every file says what it said.
    Unchanged,
    /// New connections use what the files say now. Sessions of before are not resumed.
    Replaced,
}

/// How long tickets are encrypted with the same key: whoever learns it can open the sessions of
/// that time.
const TICKET_KEYS: Duration = Duration::from_secs(12 * 3600);

/// All that is made from one reading of the files.
#[derive(Debug)]
pub(super) struct Built {
    inputs: Inputs,
    made: Instant,
    server: SslContext,
    client: Dialler,
    inbound: Option<Peers>,
    outbound: Option<Peers>,
    own: Option<Identity>,
    first_expiry: Option<Timestamp>,
    lists_expiry: Option<Timestamp>,
    notices: Vec<LoadNotice>,
    digest: [u8; 32],
    /// PEM: the roots of servers that are believed.
    roots_pem: Vec<u8>,
}

/// How peers of one role are judged when the library has verified their chain.
#[derive(Debug)]
struct Peers {
    judge: Judge,
    recheck: Recheck,
}

/// What the library compares with the names in a certificate, beside its chain.
enum Comparison {
    Nothing,
    Host(String),
    Address(IpAddr),
}

impl Contexts {
    /// Builds contexts for components with identities; the material is checked completely.
    pub fn new(material: &TlsMaterial) -> Result<Self, MaterialError> {
        let built = Built::new(Inputs::try_from(material)?)?;
        let rules = rules_of(material.trust_domain.clone());
        Ok(Self::with(rules, false, built))
    }

    /// Reads the files that the rules name and builds contexts. Blocks on the file system, and on
    /// the command that gives a passphrase.
    pub fn load(rules: &TlsRules) -> Result<Self, LoadError> {
        let built = Built::new(Inputs::load(rules)?).map_err(LoadError::Setting)?;
        Ok(Self::with(rules.clone(), true, built))
    }

    pub(super) fn with(rules: TlsRules, from_files: bool, built: Built) -> Self {
        Self {
            rules: Arc::new(rules),
            from_files,
            current: ArcSwap::from_pointee(built),
            counters: TlsCounters::default(),
            reverse_dns: ReverseDns::default(),
        }
    }

    /// Replaces the contexts for new connections. On error the old ones stay.
    pub fn replace(&self, material: &TlsMaterial) -> Result<(), MaterialError> {
        self.current.store(Arc::new(Built::new(Inputs::try_from(material)?)?));
        Ok(())
    }

    /// Reads again all files that the rules name. On error nothing changes. Blocks as
    /// [`Self::load`] does.
    pub fn reload(&self) -> Result<Reloaded, LoadError> {
        if !self.from_files {
            return Err(LoadError::NotFromFiles);
        }
        let built = Built::new(Inputs::load(&self.rules)?).map_err(LoadError::Setting)?;
        if built.digest == self.current.load().digest {
            return Ok(Reloaded::Unchanged);
        }
        self.current.store(Arc::new(built));
        Ok(Reloaded::Replaced)
    }

    /// The rules that are carried out.
    #[must_use]
    pub fn rules(&self) -> &Arc<TlsRules> {
        &self.rules
    }

    /// PEM: the roots of servers that are believed now.
    pub(super) fn roots_pem(&self) -> Vec<u8> {
        self.current.load().roots_pem.clone()
    }

    /// What an operator should know about the files and the library as they are now.
    #[must_use]
    pub fn notices(&self) -> Vec<LoadNotice> {
        self.current.load().notices.clone()
    }

    /// When the first of our own certificates runs out; `None` if we have none.
    #[must_use]
    pub fn first_expiry(&self) -> Option<Timestamp> {
        self.current.load().first_expiry
    }

    /// When the first of the revocation lists runs out: then nobody is believed any more. `None`
    /// if there are none.
    #[must_use]
    pub fn lists_expiry(&self) -> Option<Timestamp> {
        self.current.load().lists_expiry
    }

    /// What is counted about handshakes.
    #[must_use]
    pub fn counters(&self) -> &TlsCounters {
        &self.counters
    }

    /// Our own identity: that of the first leaf. `None` for a client without one, and where
    /// certificates carry none.
    #[must_use]
    pub fn own_identity(&self) -> Option<Identity> {
        self.current.load().own.clone()
    }

    /// The contexts, made anew from the same inputs if they are older than `most`: the keys of
    /// tickets change with them.
    fn fresh(&self, most: Duration) -> Arc<Built> {
        let built = self.current.load_full();
        if built.made.elapsed() < most {
            return built;
        }
        match Built::new(built.inputs.clone()) {
            Ok(renewed) => {
                // A reload that came first stays.
                self.current.compare_and_swap(&built, Arc::new(renewed));
                self.current.load_full()
            }
            Err(error) => {
                seldom!(warn, %error, "the keys of TLS tickets cannot be changed");
                built
            }
        }
    }

    /// How the senders of messages are bound on encrypted connections.
    pub(super) fn binding(&self) -> Binding {
        match (&self.rules.inbound, self.rules.client_certificates.at(MESSAGES)) {
            (Inbound::ComponentIdentity(_), _) => Binding::Certificate,
            (_, Demand::Required) => Binding::AnyCertificate,
            (_, Demand::None | Demand::Optional) => Binding::DangerSourceAddress,
        }
    }

    /// Serves the handshake. A client without certificate passes, without identity; one with a
    /// certificate that does not verify, or that says what it must not, fails.
    pub(crate) async fn accept(
        &self,
        socket: Enduring,
        address: SocketAddr,
    ) -> Result<(Stream, PeerFacts), HandshakeError> {
        let outcome = self.try_accept(socket, address).await;
        self.count(&outcome, Role::Server);
        outcome
    }

    async fn try_accept(
        &self,
        socket: Enduring,
        address: SocketAddr,
    ) -> Result<(Stream, PeerFacts), HandshakeError> {
        let built = self.fresh(TICKET_KEYS);
        let mut stream = SslStream::new(Ssl::new(&built.server)?, socket)?;
        let outcome = Pin::new(&mut stream).accept().await;
        outcome.map_err(|error| HandshakeError::of(&error, stream.ssl().verify_result()))?;
        let facts = encrypted(address, stream.ssl())?;
        let Some(peers) = &built.inbound else {
            return Ok((Stream::Tls(stream), facts));
        };
        let Some(certificate) = stream.ssl().peer_certificate() else {
            return Ok((Stream::Tls(stream), facts));
        };
        peers.recheck(stream.ssl(), &certificate)?;
        let names = names::read(&certificate);
        let identity = match &peers.judge {
            Judge::Identity(trust_domain) => Some(names.identity(trust_domain)?),
            Judge::Name(NameCheck::ReverseDns { ip }) => {
                self.by_reverse_dns(&certificate, None, address.ip(), *ip).await?;
                None
            }
            Judge::Name(NameCheck::ChainOnly | NameCheck::Dialled { .. }) => None,
        };
        Ok((Stream::Tls(stream), built.certified(facts, identity, names)))
    }

    /// Whether a connection may be opened at all, before a packet is sent: the scheme `openssl`
    /// needs something to compare.
    pub(crate) fn may_dial(
        &self,
        name: Option<&str>,
        expected: &Expected,
    ) -> Result<(), HandshakeError> {
        let built = self.current.load();
        let judge = built.outbound.as_ref().map(|peers| &peers.judge);
        match judge {
            Some(Judge::Name(NameCheck::Dialled { ip: false }))
                if host_name(name, expected).is_none() =>
            {
                self.counters.failed(HandshakeError::NoName.failure());
                Err(HandshakeError::NoName)
            }
            _ => Ok(()),
        }
    }

    /// Makes the handshake as a client and checks that the peer is who is expected, before a
    /// byte is sent to it. `name` is the host name that was dialled, if one is known.
    pub(crate) async fn connect(
        &self,
        socket: Enduring,
        address: SocketAddr,
        name: Option<&str>,
        expected: &Expected,
    ) -> Result<(Stream, PeerFacts), HandshakeError> {
        let waiting = Waiting(Some(&self.counters));
        let outcome = self.try_connect(socket, address, name, expected).await;
        waiting.end();
        self.count(&outcome, Role::Client);
        outcome
    }

    async fn try_connect(
        &self,
        socket: Enduring,
        address: SocketAddr,
        name: Option<&str>,
        expected: &Expected,
    ) -> Result<(Stream, PeerFacts), HandshakeError> {
        let built = self.current.load_full();
        let name = host_name(name, expected);
        let comparison = built.comparison(address.ip(), name, expected)?;
        let purpose = format!("{address} {name:?} {expected:?}");
        let sni = name.map(str::to_owned);
        let prepare = move |ssl: &mut SslRef| {
            if let Some(name) = &sni {
                ssl.set_hostname(name)?;
            }
            match &comparison {
                Comparison::Nothing => Ok(()),
                Comparison::Host(name) => ssl.param_mut().set_host(name),
                Comparison::Address(ip) => ssl.param_mut().set_ip(*ip),
            }
        };
        let ip = address.ip().to_string();
        let dialled = name.unwrap_or(&ip);
        let stream = built.client.connect(socket, dialled, &purpose, prepare).await?;
        let ssl = stream.inner().ssl();
        let facts = encrypted(address, ssl)?;
        let Some(peers) = &built.outbound else {
            return Ok((Stream::Dialled(stream), facts));
        };
        let certificate = ssl.peer_certificate().ok_or(HandshakeError::NoCertificate)?;
        peers.recheck(ssl, &certificate)?;
        let names = names::read(&certificate);
        let identity = match (&peers.judge, expected) {
            (Judge::Identity(trust_domain), Expected::Host(_)) => names.identity(trust_domain).ok(),
            (Judge::Identity(trust_domain), _) => {
                let actual = names.identity(trust_domain)?;
                if !expected.is(&actual) {
                    let expected = expected.clone();
                    return Err(HandshakeError::SomebodyElse { expected, actual });
                }
                Some(actual)
            }
            (Judge::Name(NameCheck::ReverseDns { ip }), _) => {
                self.by_reverse_dns(&certificate, name, address.ip(), *ip).await?;
                None
            }
            (Judge::Name(NameCheck::ChainOnly | NameCheck::Dialled { .. }), _) => None,
        };
        Ok((Stream::Dialled(stream), built.certified(facts, identity, names)))
    }

    async fn by_reverse_dns(
        &self,
        certificate: &X509Ref,
        dialled: Option<&str>,
        ip: IpAddr,
        ip_addresses: bool,
    ) -> Result<(), HandshakeError> {
        let found = self.reverse_dns.name(ip).await;
        let name = found.as_deref().or(dialled);
        Ok(reverse::check(certificate, name, ip, ip_addresses)?)
    }

    fn count(&self, outcome: &Result<(Stream, PeerFacts), HandshakeError>, role: Role) {
        match outcome {
            Ok((Stream::Tls(stream), _)) => self.counters.succeeded(stream.ssl(), role),
            Ok((Stream::Dialled(stream), _)) => {
                self.counters.succeeded(stream.inner().ssl(), role);
            }
            Ok((Stream::Plain(_), _)) => {}
            Err(error) => self.counters.failed(error.failure()),
        }
    }
}

/// Counts a handshake that is given up because nobody waits for it any more.
struct Waiting<'a>(Option<&'a TlsCounters>);

impl Waiting<'_> {
    fn end(mut self) {
        self.0 = None;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(counters) = self.0 {
            counters.failed(Failure::Deadline);
        }
    }
}

/// The host name that is known of the other end; an address is none.
fn host_name<'a>(dialled: Option<&'a str>, expected: &'a Expected) -> Option<&'a str> {
    let name = match expected {
        Expected::Host(host) => Some(host.as_str()),
        Expected::Kind(_) | Expected::Identity(_) | Expected::Member => dialled,
    };
    name.filter(|name| name.parse::<IpAddr>().is_err())
}

/// The facts of an encrypted connection whose peer proved nothing.
fn encrypted(address: SocketAddr, ssl: &SslRef) -> Result<PeerFacts, ErrorStack> {
    let (binding, secret) = Exported::of(ssl)?.map(|e| (e.binding, e.secret)).unzip();
    Ok(PeerFacts {
        encrypted: true,
        channel_binding: binding,
        channel_secret: secret,
        ..PeerFacts::plaintext(fresh_connection(), address)
    })
}

/// The rules of contexts that were made from material in memory.
fn rules_of(trust_domain: TrustDomain) -> TlsRules {
    let identity = IdentityRules { trust_bundle: PathBuf::new(), trust_domain };
    let materials = MaterialPaths { pairs: Vec::new() };
    TlsRules::identities(materials, identity)
}

impl Peers {
    /// Keeps what a full handshake showed, and verifies again what a resumed one did not.
    fn recheck(&self, ssl: &SslRef, certificate: &X509Ref) -> Result<(), HandshakeError> {
        if ssl.session_reused() {
            return self.recheck.check(certificate);
        }
        self.recheck.remember(ssl);
        Ok(())
    }
}

impl Built {
    pub(super) fn new(inputs: Inputs) -> Result<Self, MaterialError> {
        let mut notices = inputs.notices.clone();
        let own = own_identity(&inputs)?;
        let server = context::server(&inputs, &mut notices)?.build();
        let level = server.security_level();
        // The client's notices are the server's.
        let client = context::client(&inputs, &mut Vec::new())?;
        let peers = |believed: &Option<super::inputs::Believed>, purpose, level| {
            let Some(believed) = believed else { return Ok(None) };
            let recheck = Recheck::new(believed, inputs.revocation.as_deref(), purpose, level)?;
            Ok(Some(Peers { judge: believed.judge.clone(), recheck }))
        };
        let seconds = |end: i64| Timestamp::new(Duration::from_secs(end.try_into().unwrap_or(0)));
        let mut first_expiry = None;
        for leaf in inputs.leaves.iter().filter_map(|leaf| leaf.chain.first()) {
            let end = recheck::unix(leaf.not_after()).map_err(MaterialError::Chain)?;
            let end = seconds(end);
            first_expiry = Some(first_expiry.map_or(end, |first: Timestamp| first.min(end)));
        }
        let lists_until = recheck::lists_until(inputs.revocation.as_deref());
        let mut roots_pem = Vec::new();
        for root in inputs.outbound.iter().flat_map(|believed| &believed.roots) {
            roots_pem.extend(root.to_pem().map_err(MaterialError::Roots)?);
        }
        Ok(Self {
            roots_pem,
            inbound: peers(&inputs.inbound, X509PurposeId::SSL_CLIENT, level)?,
            outbound: peers(&inputs.outbound, X509PurposeId::SSL_SERVER, level)?,
            own,
            first_expiry,
            digest: inputs.digest().map_err(MaterialError::Setting)?,
            lists_expiry: lists_until.map_err(MaterialError::Roots)?.map(seconds),
            made: Instant::now(),
            inputs,
            notices,
            server,
            client,
        })
    }

    /// What the library itself shall compare in the handshake.
    fn comparison(
        &self,
        ip: IpAddr,
        name: Option<&str>,
        expected: &Expected,
    ) -> Result<Comparison, HandshakeError> {
        let Some(peers) = &self.outbound else { return Ok(Comparison::Nothing) };
        Ok(match (&peers.judge, expected, name) {
            (Judge::Identity(_), Expected::Host(_), Some(name))
            | (Judge::Name(NameCheck::Dialled { .. }), _, Some(name)) => {
                Comparison::Host(name.to_owned())
            }
            (Judge::Identity(_), Expected::Host(host), None) => {
                Comparison::Address(host.parse().map_err(|_| HandshakeError::NoName)?)
            }
            (Judge::Name(NameCheck::Dialled { ip: true }), _, None) => {
                Comparison::Address(ip.to_canonical())
            }
            (Judge::Name(NameCheck::Dialled { ip: false }), _, None) => {
                return Err(HandshakeError::NoName);
            }
            (Judge::Identity(_), _, _)
            | (Judge::Name(NameCheck::ChainOnly | NameCheck::ReverseDns { .. }), _, _) => {
                Comparison::Nothing
            }
        })
    }

    fn certified(&self, facts: PeerFacts, identity: Option<Identity>, names: Names) -> PeerFacts {
        PeerFacts {
            identity,
            principal: self.inputs.principals.principal(&names.texts),
            certified: true,
            vouched_addresses: names.addresses,
            ..facts
        }
    }
}

fn own_identity(inputs: &Inputs) -> Result<Option<Identity>, MaterialError> {
    let Some(trust_domain) = inputs.trust_domain() else { return Ok(None) };
    let mut own = None;
    for leaf in inputs.leaves.iter().filter_map(|leaf| leaf.chain.first()) {
        let identity = names::read(leaf).identity(trust_domain).map_err(MaterialError::OwnName)?;
        own.get_or_insert(identity);
    }
    Ok(own)
}

#[cfg(test)]
mod tests {
    use openssl::asn1::Asn1Time;
    use openssl::ec::{EcGroup, EcKey};
    use openssl::hash::MessageDigest;
    use openssl::nid::Nid;
    use openssl::pkey::PKey;
    use openssl::x509::{X509, X509Name};

    use super::super::Offer;
    use super::*;

    #[test]
    fn tls_tickets_get_new_keys_when_contexts_are_old() {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        let name = X509Name::builder().unwrap().build();
        let mut root = X509::builder().unwrap();
        root.set_subject_name(&name).unwrap();
        root.set_issuer_name(&name).unwrap();
        root.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
        root.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
        root.set_pubkey(&key).unwrap();
        root.sign(&key, MessageDigest::sha256()).unwrap();
        let contexts = Contexts::new(&TlsMaterial {
            leaves: Vec::new(),
            roots_pem: root.build().to_pem().unwrap(),
            trust_domain: TrustDomain::new("test.local").unwrap(),
            offer: Offer::default(),
        })
        .unwrap();
        let first = contexts.fresh(TICKET_KEYS);
        assert!(Arc::ptr_eq(&first, &contexts.fresh(TICKET_KEYS)));
        let second = contexts.fresh(Duration::ZERO);
        assert!(!Arc::ptr_eq(&first, &second));
        assert_eq!(first.digest, second.digest);
        assert!(Arc::ptr_eq(&second, &contexts.fresh(TICKET_KEYS)));
    }
}
