//! From TLS settings to one policy plus notices.
//!
//! [`resolve()`] turns what somebody wrote into `LIBPROCESS_SSL_*` variables into a [`TlsPolicy`]:
//! which files, who is verified how, which versions and suites. [`TlsPolicy::identities`] is the
//! posture of our own commands: mutual TLS in which every component carries an identity of the
//! cluster. The crate opens no file, knows no TLS library and logs nothing: sources are
//! arguments, what an operator should know comes back as [`Notice`]s.
//!
//! A variable that restricts and that the driver cannot honour ([`CryptoSupport`]) is an error
//! that names it; a daemon never runs more open than it was told.
//!
//! Read first: [`TlsPolicy`], [`TlsSettings`], [`resolve()`], [`diagnose`].

mod carried;
mod clients;
mod diagnosis;
mod error;
mod nearest;
mod notice;
mod policy;
mod posture;
mod principal;
mod reading;
mod resolve;
mod settings;
mod support;

pub use carried::{Recognize, ServerTrust};
pub use clients::{ClientCertificates, DOORS, Demand, MESSAGES};
pub use diagnosis::{Diagnosis, Finding, Line, diagnose};
pub use error::{PolicyError, PolicyErrors};
pub use notice::{DangerAccepted, Notice};
pub use policy::{
    ChainRules, IdentityRules, Inbound, MaterialPair, MaterialPaths, NameCheck, Outbound,
    PassphraseSource, PlaintextPeers, Profile, RELOAD_INTERVAL, Suites, TlsPolicy, TlsRules,
    TrustAnchors, Version, Versions, WhyPlaintext,
};
pub use posture::{Level, Posture};
pub use principal::{CertificateNames, NameSource, PrincipalRule, PrincipalRules};
pub use resolve::{OwnIdentity, Resolved, resolve, resolve_identities};
pub use settings::{Flag, Naming, Said, TlsSettings, VARIABLES, ValueKind, Variable};
pub use support::CryptoSupport;
