//! Who calls, and who may.

use std::net::SocketAddr;

use authn::proved::{Certified, Proved};
use libprocess::sender::{ConnectionId, PeerFacts};
use model::identity::{Identity, Kind};
use model::principal::{Kinds, Owner};
use tls_policy::{ClientCertificates, Demand, Inbound, PlaintextPeers, TlsRules};
use transport::tls::Security;

/// What a caller has to prove before a route is reached, as the policy says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posture {
    /// Whether certificates carry identities of this cluster.
    identities: bool,
    /// Where a caller needs a certificate.
    certificates: ClientCertificates,
    /// Whether connections without TLS are served.
    plain: bool,
}

impl Posture {
    /// What `security` asks of callers.
    #[must_use]
    pub fn of(security: &Security) -> Self {
        match security {
            Security::DangerPlaintext => Self::danger_plaintext(),
            Security::Tls(contexts) => Self::of_rules(contexts.rules()),
        }
    }

    /// What `rules` ask of callers.
    #[must_use]
    pub fn of_rules(rules: &TlsRules) -> Self {
        Self {
            identities: matches!(rules.inbound, Inbound::ComponentIdentity(_)),
            certificates: rules.client_certificates.clone(),
            plain: matches!(rules.plaintext_peers, PlaintextPeers::Accepted(_)),
        }
    }

    /// A verified certificate with an identity of this cluster, everywhere.
    #[must_use]
    pub fn identities() -> Self {
        let certificates = ClientCertificates::everywhere(Demand::Required);
        Self { identities: true, certificates, plain: false }
    }

    /// Nothing: everybody is let in, nobody is known by name. Only for daemons that were told,
    /// by name, to run in plaintext.
    #[must_use]
    pub fn danger_plaintext() -> Self {
        let certificates = ClientCertificates::everywhere(Demand::None);
        Self { identities: false, certificates, plain: true }
    }

    /// Whether certificates carry identities of this cluster.
    #[must_use]
    pub fn has_identities(&self) -> bool {
        self.identities
    }

    /// Whether `caller` has proved what is asked at the door of `realm`. Who is served without
    /// TLS, because the operator wants that, can present no certificate, and is asked for none.
    #[must_use]
    pub fn is_satisfied(&self, caller: &Caller, realm: Realm) -> bool {
        let proved = if self.identities { caller.identity.is_some() } else { caller.certified };
        proved
            || self.certificates.at(realm.name()) != Demand::Required
            || (self.plain && !caller.encrypted)
    }
}

/// Who called: what the connection and the credentials of the request have proved, never what
/// the request merely says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    identity: Option<Identity>,
    certificate: Option<String>,
    proved: Option<Proved>,
    certified: bool,
    encrypted: bool,
    address: SocketAddr,
    connection: ConnectionId,
}

impl Caller {
    /// The caller behind a connection.
    #[must_use]
    pub fn new(peer: &PeerFacts) -> Self {
        Self {
            identity: peer.identity.clone(),
            certificate: peer.principal.clone(),
            proved: None,
            certified: peer.certified,
            encrypted: peer.encrypted,
            address: peer.address,
            connection: peer.connection,
        }
    }

    /// The connection over which the caller comes.
    #[must_use]
    pub fn connection(&self) -> ConnectionId {
        self.connection
    }

    /// The identity in the verified certificate; `None` when none was presented, or where
    /// certificates carry no identities.
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// The caller, whose credentials were found to be good.
    #[must_use]
    pub fn with_proof(self, proved: Proved) -> Self {
        Self { proved: Some(proved), ..self }
    }

    /// What its credentials have proved, if it was asked for any.
    #[must_use]
    pub fn proved(&self) -> Option<&Proved> {
        self.proved.as_ref()
    }

    /// The name others know the caller by: that of its credentials, or else of its identity, or
    /// what the rules make of its verified certificate. `None` for anonymous callers, and for
    /// bearers of tokens that carry claims and no name.
    #[must_use]
    pub fn principal(&self) -> Option<&str> {
        match &self.proved {
            Some(proved) => proved.principal.value(),
            None => self.identity.as_ref().map(Identity::name).or(self.certificate.as_deref()),
        }
    }

    /// As what kinds of component it may speak: as far as certificate and credentials say.
    #[must_use]
    pub fn kinds(&self) -> Kinds {
        let certified = self.identity.as_ref().map_or(Kinds::ANY, |own| Kinds::only(own.kind()));
        self.proved.as_ref().map_or(Kinds::ANY, |proved| proved.kinds).and(certified)
    }

    /// To whom belongs what this caller brings.
    #[must_use]
    pub fn owner(&self) -> Owner {
        let identity = self.identity.as_ref().map(ToString::to_string);
        // Of who has a name the claims do not count: those of a renewed token are others.
        let name = |proved: &Proved| match proved.principal.value() {
            Some(value) => value.to_owned(),
            None => proved.principal.to_string(),
        };
        let proved = self.proved.as_ref().map(name);
        Owner { certificate: identity.or_else(|| self.certificate.clone()), principal: proved }
    }

    /// What its verified certificate says, if it names anybody.
    #[must_use]
    pub fn certified(&self) -> Option<Certified> {
        match (&self.identity, &self.certificate) {
            (Some(identity), _) => Some(Certified {
                principal: identity.name().to_owned(),
                kinds: Kinds::only(identity.kind()),
            }),
            (None, Some(principal)) => {
                Some(Certified { principal: principal.clone(), kinds: Kinds::ANY })
            }
            (None, None) => None,
        }
    }

    /// Whether the connection is encrypted.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// Whether the connection carries the proof of a verified certificate.
    #[must_use]
    pub fn is_certified(&self) -> bool {
        self.certified
    }

    /// Where the connection comes from; for logs, it proves nothing.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A set of endpoints that share their rules of authentication. The names are the original's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Realm {
    /// What is asked of the master without changing anything.
    MasterReadonly,
    /// What may change the cluster.
    MasterReadwrite,
    /// The scheduler API.
    MasterScheduler,
    /// What is asked of an agent without changing anything.
    AgentReadonly,
    /// What may change something on an agent.
    AgentReadwrite,
    /// The executor API.
    AgentExecutor,
    /// The resource provider API.
    AgentResourceProvider,
}

impl Realm {
    /// All of them, those of the master first.
    pub const ALL: [Self; 7] = [
        Self::MasterReadonly,
        Self::MasterReadwrite,
        Self::MasterScheduler,
        Self::AgentReadonly,
        Self::AgentReadwrite,
        Self::AgentExecutor,
        Self::AgentResourceProvider,
    ];

    /// The name in challenges, flags and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MasterReadonly => "mesos-master-readonly",
            Self::MasterReadwrite => "mesos-master-readwrite",
            Self::MasterScheduler => "mesos-master-scheduler",
            Self::AgentReadonly => "mesos-agent-readonly",
            Self::AgentReadwrite => "mesos-agent-readwrite",
            Self::AgentExecutor => "mesos-agent-executor",
            Self::AgentResourceProvider => "mesos-agent-resource-provider",
        }
    }

    /// Whether components of `kind` have any business here. Coarse on purpose, and first: what
    /// one caller of an admitted kind may do is the question of the route's [`Action`].
    #[must_use]
    pub const fn admits(self, kind: Kind) -> bool {
        match self {
            Self::MasterReadonly
            | Self::MasterReadwrite
            | Self::AgentReadonly
            | Self::AgentReadwrite => matches!(kind, Kind::Operator | Kind::Master),
            Self::MasterScheduler => matches!(kind, Kind::Framework | Kind::Operator),
            // Providers run beside executors, and like them carry a token of the agent.
            Self::AgentExecutor | Self::AgentResourceProvider => matches!(kind, Kind::Executor),
        }
    }
}

/// What a caller does by calling a route: the name under which rules speak about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// To learn that the daemon lives, which version it has, or who leads: every component of the
    /// cluster may.
    Greet,
    /// To read an endpoint that is judged as a whole, by its path.
    GetEndpointWithPath,
    /// To read the configuration.
    ViewFlags,
    /// To read state, of which each object is judged by itself.
    ViewState,
    /// To read files, each judged by its virtual path.
    AccessFiles,
    /// To make a call whose type decides what is asked.
    Call,
    /// To change what is logged.
    SetLogLevel,
}

impl Action {
    /// The word for logs and for the list of routes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Greet => "GREET",
            Self::GetEndpointWithPath => "GET_ENDPOINT_WITH_PATH",
            Self::ViewFlags => "VIEW_FLAGS",
            Self::ViewState => "VIEW_STATE",
            Self::AccessFiles => "ACCESS_FILES",
            Self::Call => "CALL",
            Self::SetLogLevel => "SET_LOG_LEVEL",
        }
    }
}

/// How a caller stands to a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The handler may see the request.
    Admitted,
    /// The door asks for a certificate and nobody knows who calls: 401.
    Unknown,
    /// It is known who calls, and it is nobody who may: 403.
    Denied,
}

/// Judges a caller before anything of the request is looked at.
#[must_use]
pub fn judge(posture: &Posture, caller: &Caller, realm: Realm, action: Action) -> Verdict {
    match caller.identity() {
        Some(identity) if action == Action::Greet || realm.admits(identity.kind()) => {
            Verdict::Admitted
        }
        Some(_) => Verdict::Denied,
        None if posture.is_satisfied(caller, realm) => Verdict::Admitted,
        None => Verdict::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use model::identity::TrustDomain;

    use super::*;

    fn peer() -> PeerFacts {
        PeerFacts::plaintext(
            libprocess::sender::ConnectionId(0),
            "127.0.0.1:40000".parse().unwrap(),
        )
    }

    fn caller(identity: Option<&str>) -> Caller {
        Caller::new(&PeerFacts {
            identity: identity.map(|i| i.parse().unwrap()),
            certified: identity.is_some(),
            encrypted: true,
            ..peer()
        })
    }

    fn posture(identities: bool, otherwise: Demand, doors: &[(Realm, Demand)]) -> Posture {
        let doors = doors.iter().map(|(r, d)| (r.name().to_owned(), *d)).collect();
        let certificates = ClientCertificates { otherwise, doors };
        Posture { identities, certificates, plain: false }
    }

    #[test]
    fn without_a_certificate_nothing_is_reached_unless_plaintext_was_asked_for() {
        for action in [Action::Greet, Action::ViewState, Action::Call] {
            let realm = Realm::MasterReadonly;
            let judge = |posture| judge(&posture, &caller(None), realm, action);
            assert_eq!(judge(Posture::identities()), Verdict::Unknown);
            assert_eq!(judge(Posture::danger_plaintext()), Verdict::Admitted);
        }
    }

    #[test]
    fn an_identity_of_the_wrong_kind_is_denied_in_every_posture() {
        let agent = caller(Some("spiffe://d/agent/a1"));
        let open = posture(true, Demand::None, &[]);
        for posture in [Posture::identities(), Posture::danger_plaintext(), open] {
            let realm = Realm::MasterReadwrite;
            assert_eq!(judge(&posture, &agent, realm, Action::Call), Verdict::Denied);
            let realm = Realm::MasterReadonly;
            assert_eq!(judge(&posture, &agent, realm, Action::ViewState), Verdict::Denied);
            assert_eq!(judge(&posture, &agent, realm, Action::Greet), Verdict::Admitted);
        }
    }

    #[test]
    fn a_framework_reaches_the_scheduler_api_and_not_the_operators() {
        let framework = caller(Some("spiffe://d/framework/f1"));
        let judge = |realm| judge(&Posture::identities(), &framework, realm, Action::Call);
        assert_eq!(judge(Realm::MasterScheduler), Verdict::Admitted);
        assert_eq!(judge(Realm::MasterReadwrite), Verdict::Denied);
        assert_eq!(judge(Realm::AgentReadwrite), Verdict::Denied);
        assert_eq!(judge(Realm::AgentExecutor), Verdict::Denied);
    }

    /// Row D9: the demand is that of the realm, not of the process.
    #[test]
    fn tls_realms_ask_for_certificates_each_for_itself() {
        let doors =
            [(Realm::MasterReadonly, Demand::None), (Realm::AgentReadonly, Demand::Optional)];
        for identities in [true, false] {
            let posture = posture(identities, Demand::Required, &doors);
            let judge = |realm| judge(&posture, &caller(None), realm, Action::ViewState);
            assert_eq!(judge(Realm::MasterReadonly), Verdict::Admitted);
            assert_eq!(judge(Realm::AgentReadonly), Verdict::Admitted);
            for closed in [Realm::MasterReadwrite, Realm::MasterScheduler, Realm::AgentReadwrite] {
                assert_eq!(judge(closed), Verdict::Unknown, "{closed:?}");
            }
        }
    }

    #[test]
    fn tls_where_identities_are_proved_no_other_certificate_counts() {
        let stranger = Caller { certified: true, ..caller(None) };
        let judge = |identities| {
            let posture = posture(identities, Demand::Required, &[]);
            judge(&posture, &stranger, Realm::MasterReadonly, Action::ViewState)
        };
        assert_eq!(judge(true), Verdict::Unknown);
        assert_eq!(judge(false), Verdict::Admitted);
    }

    #[test]
    fn tls_plain_peers_are_asked_for_nothing_only_where_they_are_served_at_all() {
        let plain = Caller::new(&peer());
        let mut posture = posture(false, Demand::Required, &[]);
        let judge = |posture: &Posture, caller| {
            judge(posture, caller, Realm::MasterReadonly, Action::ViewState)
        };
        assert_eq!(judge(&posture, &plain), Verdict::Unknown);
        posture.plain = true;
        assert_eq!(judge(&posture, &plain), Verdict::Admitted);
        assert_eq!(judge(&posture, &caller(None)), Verdict::Unknown, "over TLS it is asked");
    }

    /// Row A7: a verified certificate is somebody.
    #[test]
    fn a7_a_tls_certificate_becomes_the_principal() {
        let facts = PeerFacts {
            certified: true,
            encrypted: true,
            principal: Some("spiffe://d/operator/root".into()),
            ..peer()
        };
        assert_eq!(Caller::new(&facts).principal(), Some("spiffe://d/operator/root"));
        let known = PeerFacts { identity: "spiffe://d/operator/root".parse().ok(), ..facts };
        assert_eq!(Caller::new(&known).principal(), Some("root"));
        assert_eq!(caller(None).principal(), None);
    }

    #[test]
    fn authn_a_renewed_token_leaves_the_owner_who_it_was() {
        let bearer = |exp: &str| {
            let claims = BTreeMap::from([("exp".to_owned(), exp.to_owned())]);
            let principal = model::principal::Principal::new(Some("ops".into()), claims).unwrap();
            let method = authn::proved::Method::BEARER;
            caller(None).with_proof(Proved { principal, kinds: Kinds::ANY, method })
        };
        assert_eq!(bearer("1").owner(), bearer("2").owner());
        assert_eq!(bearer("1").owner().principal.as_deref(), Some("ops"));
    }

    #[test]
    fn tls_rules_become_postures() {
        use tls_policy::{IdentityRules, MaterialPaths, TlsPolicy};
        assert_eq!(Posture::of(&Security::DangerPlaintext), Posture::danger_plaintext());
        let policy = TlsPolicy::identities(
            MaterialPaths::one("c", "k"),
            IdentityRules {
                trust_bundle: "b".into(),
                trust_domain: TrustDomain::new("d").unwrap(),
            },
        );
        let TlsPolicy::Tls(mut rules) = policy else { panic!("encrypted") };
        assert_eq!(Posture::of_rules(&rules), Posture::identities());
        let doors = BTreeMap::from([("mesos-master-readonly".to_owned(), Demand::None)]);
        rules.client_certificates.doors = doors;
        let opened = Posture::of_rules(&rules);
        assert!(opened.is_satisfied(&caller(None), Realm::MasterReadonly));
        assert!(!opened.is_satisfied(&caller(None), Realm::MasterReadwrite));
    }
}
