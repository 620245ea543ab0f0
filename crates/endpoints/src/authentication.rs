//! Who is asked who they are in which realm, and by what (`authentication.md` §12–14).

mod guesses;
mod realms;
mod signatures;

use std::sync::Arc;

use authn::audit::AuditTrail;
use authn::diagnosis::{Diagnosis, Finding};
use authn::live::Live;
use authn::throttle::ThrottleSettings;
use wire::json;

use crate::access::Caller;
use crate::audit::Traced;
use crate::reply::{Answer, Reply};

pub use guesses::Guesses;
pub use realms::{AgentFlags, AuthenticatorError, Known, MasterFlags, Realms, StartError};
pub use signatures::OpenSsl;

/// How a daemon authenticates over HTTP.
#[derive(Clone, Debug)]
pub struct Authentication {
    realms: Realms,
    audit: Arc<dyn AuditTrail>,
    guesses: Arc<Guesses>,
    diagnosis: Arc<Live<Diagnosis>>,
}

impl Default for Authentication {
    /// Nobody is asked for credentials (certificates are another matter), and decisions go to the
    /// log, under the target `audit`.
    fn default() -> Self {
        Self::new(Realms::default())
    }
}

impl Authentication {
    /// Asks for credentials in these realms. Decisions go to the log, under the target `audit`.
    #[must_use]
    pub fn new(realms: Realms) -> Self {
        let guesses = Arc::new(Guesses::new(ThrottleSettings::default()));
        Self { realms, audit: Arc::new(Traced), guesses, diagnosis: Arc::default() }
    }

    /// With decisions appended to `audit` instead.
    #[must_use]
    pub fn with_audit(mut self, audit: Arc<dyn AuditTrail>) -> Self {
        self.audit = audit;
        self
    }

    /// With other limits for guessing.
    #[must_use]
    pub fn with_throttle(mut self, settings: ThrottleSettings) -> Self {
        self.guesses = Arc::new(Guesses::new(settings));
        self
    }

    /// How often somebody may guess: one book for all doors of the daemon.
    #[must_use]
    pub fn guesses(&self) -> &Arc<Guesses> {
        &self.guesses
    }

    /// With what is to be said about it, which may change with the files that it was read from.
    #[must_use]
    pub fn with_diagnosis(mut self, diagnosis: Arc<Live<Diagnosis>>) -> Self {
        self.diagnosis = diagnosis;
        self
    }

    /// What is open and what is weak, as JSON. Whoever has not proved who it is learns that something
    /// is, and not about whose account or file.
    pub(crate) fn describe(&self, caller: &Caller) -> Answer {
        let known = caller.is_certified() || caller.identity().is_some();
        let known = known || caller.proved().is_some();
        let mut diagnosis = self.diagnosis.current();
        if !known {
            diagnosis = Arc::new(diagnosis.for_strangers());
        }
        let mut out = Vec::new();
        json::object(&mut out, |o| {
            o.field("posture", diagnosis.posture.to_string());
            findings(o, "holes", &diagnosis.holes);
            findings(o, "remarks", &diagnosis.remarks);
            o.array("notices", |a| {
                for notice in &diagnosis.notices {
                    a.push(notice);
                }
            });
        });
        Ok(Reply::Json(out.into()))
    }

    /// Where decisions go: those of the doors of libprocess belong there too.
    #[must_use]
    pub fn audit(&self) -> &Arc<dyn AuditTrail> {
        &self.audit
    }

    /// What is asked in which realm.
    #[must_use]
    pub fn realms(&self) -> &Realms {
        &self.realms
    }
}

fn findings(o: &mut json::Object<'_>, name: &str, findings: &[Finding]) {
    o.array(name, |a| {
        for finding in findings {
            a.object(|o| {
                o.field("id", finding.id);
                o.field("what", &finding.what);
                o.field("closed_by", &finding.closed_by);
            });
        }
    });
}

#[cfg(test)]
mod authn_describe {
    use authn::proved::{Method, Proved};
    use libprocess::sender::{ConnectionId, PeerFacts};
    use model::principal::{Kinds, Principal};

    use super::*;

    #[test]
    fn attack_strangers_do_not_learn_whose_secret_is_weak() {
        let finding = Finding {
            id: "empty-secrets",
            what: "\"ops\" has none".into(),
            closed_by: "alcazar credentials rotate /etc/c.json ops".into(),
            names: true,
        };
        let notices = vec!["\"ops\": says nothing about kinds".to_owned()];
        let diagnosis = Diagnosis { holes: vec![finding], notices, ..Diagnosis::default() };
        let of = Authentication::default().with_diagnosis(Arc::new(Live::new(diagnosis)));
        let told = |caller: &Caller| match of.describe(caller) {
            Ok(Reply::Json(json)) => String::from_utf8(json.to_vec()).unwrap(),
            other => panic!("{other:?}"),
        };
        let address = "127.0.0.1:40000".parse().unwrap();
        let stranger = Caller::new(&PeerFacts::plaintext(ConnectionId(0), address));
        let text = told(&stranger);
        assert!(text.contains("empty-secrets"), "{text}");
        assert!(!text.contains("ops") && !text.contains("/etc"), "{text}");
        let (principal, method) = (Principal::named("me"), Method::BASIC);
        let known = stranger.with_proof(Proved { principal, kinds: Kinds::ANY, method });
        let text = told(&known);
        assert!(text.contains("ops") && text.contains("/etc/c.json"), "{text}");
        assert!(text.contains("says nothing about kinds"), "{text}");
    }
}
