//! Where the audit trail goes (`authn::audit`): to the log, or to a file of its own.

mod file;
mod line;

use authn::audit::{AuditTrail, Decision};

pub use file::{AuditError, AuditFile};

/// To the program's log, under the target `audit`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traced;

impl AuditTrail for Traced {
    fn append(&self, decision: &Decision) {
        let Decision { principal, address, method, realm, granted, reason, .. } = decision;
        let principal = principal.as_deref();
        tracing::info!(target: "audit", principal, %address, ?method, realm, granted, ?reason, "decision");
    }
}
