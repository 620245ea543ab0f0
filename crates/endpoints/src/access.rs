//! Who calls, and who may.

use std::net::SocketAddr;

use libprocess::sender::PeerFacts;
use model::identity::{Identity, Kind};

/// What a caller has to prove before a route is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Posture {
    /// A verified certificate with an identity of this cluster.
    Certificate,
    /// Nothing: everybody is let in, nobody is known by name. Only for daemons that were told,
    /// by name, to run in plaintext.
    DangerPlaintext,
}

/// Who called: what the connection proved, never what the request says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    identity: Option<Identity>,
    address: SocketAddr,
}

impl Caller {
    /// The caller behind a connection.
    #[must_use]
    pub fn new(peer: &PeerFacts) -> Self {
        Self { identity: peer.identity.clone(), address: peer.address }
    }

    /// The identity in the verified certificate; `None` when none was presented.
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// The name others know the caller by: the identity's. `None` for anonymous callers.
    #[must_use]
    pub fn principal(&self) -> Option<&str> {
        self.identity.as_ref().map(Identity::name)
    }

    /// Where the connection comes from; for logs, it proves nothing.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A set of endpoints that share their rules of authentication. The names are the original's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
}

impl Realm {
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
            Self::AgentExecutor => matches!(kind, Kind::Executor),
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
    /// Nobody knows who calls: 401.
    Unknown,
    /// It is known who calls, and it is nobody who may: 403.
    Denied,
}

/// Judges a caller before anything of the request is looked at.
#[must_use]
pub fn judge(posture: Posture, caller: &Caller, realm: Realm, action: Action) -> Verdict {
    match (posture, caller.identity()) {
        (Posture::DangerPlaintext, None) => Verdict::Admitted,
        (Posture::Certificate, None) => Verdict::Unknown,
        (_, Some(identity)) => {
            if action == Action::Greet || realm.admits(identity.kind()) {
                Verdict::Admitted
            } else {
                Verdict::Denied
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(identity: Option<&str>) -> Caller {
        Caller::new(&PeerFacts {
            vouched_addresses: Vec::new(),
            identity: identity.map(|i| i.parse().unwrap()),
            certified: identity.is_some(),
            encrypted: identity.is_some(),
            ..PeerFacts::plaintext("127.0.0.1:40000".parse().unwrap())
        })
    }

    #[test]
    fn without_a_certificate_nothing_is_reached_unless_plaintext_was_asked_for() {
        for action in [Action::Greet, Action::ViewState, Action::Call] {
            let realm = Realm::MasterReadonly;
            assert_eq!(judge(Posture::Certificate, &caller(None), realm, action), Verdict::Unknown);
            assert_eq!(
                judge(Posture::DangerPlaintext, &caller(None), realm, action),
                Verdict::Admitted
            );
        }
    }

    #[test]
    fn an_identity_of_the_wrong_kind_is_denied_in_either_posture() {
        let agent = caller(Some("spiffe://d/agent/a1"));
        for posture in [Posture::Certificate, Posture::DangerPlaintext] {
            let realm = Realm::MasterReadwrite;
            assert_eq!(judge(posture, &agent, realm, Action::Call), Verdict::Denied);
            let realm = Realm::MasterReadonly;
            assert_eq!(judge(posture, &agent, realm, Action::ViewState), Verdict::Denied);
            assert_eq!(judge(posture, &agent, realm, Action::Greet), Verdict::Admitted);
        }
    }

    #[test]
    fn a_framework_reaches_the_scheduler_api_and_not_the_operators() {
        let framework = caller(Some("spiffe://d/framework/f1"));
        let judge = |realm| judge(Posture::Certificate, &framework, realm, Action::Call);
        assert_eq!(judge(Realm::MasterScheduler), Verdict::Admitted);
        assert_eq!(judge(Realm::MasterReadwrite), Verdict::Denied);
        assert_eq!(judge(Realm::AgentReadwrite), Verdict::Denied);
        assert_eq!(judge(Realm::AgentExecutor), Verdict::Denied);
    }
}
