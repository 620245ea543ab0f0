//! The audit trail: one line for each decision about who somebody is.

use std::net::IpAddr;

use model::time::Timestamp;

/// A decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// When.
    pub time: Timestamp,
    /// Who it was about: proved if `granted`, otherwise as claimed, if anything was.
    pub principal: Option<String>,
    /// From where.
    pub address: IpAddr,
    /// By which method: `certificate`, `Basic`, `SCRAM-SHA-256`; empty if it did not come to one.
    pub method: String,
    /// Where: the name of a realm, or of the message that asked.
    pub realm: String,
    /// Whether it was granted.
    pub granted: bool,
    /// Why, or why not.
    pub reason: String,
}

/// Where decisions go. What fails to be written is the driver's to report: whoever decides goes
/// on.
pub trait AuditTrail: std::fmt::Debug + Send + Sync {
    /// Appends a decision.
    fn append(&self, decision: &Decision);
}
