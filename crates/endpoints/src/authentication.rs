//! Who is asked who they are in which realm, and by what (`authentication.md` §12–14).

mod realms;
mod signatures;

use std::sync::Arc;

use authn::audit::AuditTrail;

use crate::audit::Traced;

pub use realms::{AgentFlags, AuthenticatorError, Known, MasterFlags, Realms, StartError};
pub use signatures::OpenSsl;

/// How a daemon authenticates over HTTP.
#[derive(Clone, Debug)]
pub struct Authentication {
    realms: Realms,
    audit: Arc<dyn AuditTrail>,
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
        Self { realms, audit: Arc::new(Traced) }
    }

    /// With decisions appended to `audit` instead.
    #[must_use]
    pub fn with_audit(mut self, audit: Arc<dyn AuditTrail>) -> Self {
        self.audit = audit;
        self
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
