//! What is counted about handshakes.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use openssl::pkey::Id;
use openssl::ssl::{SslRef, SslVersion};

use super::Failure;

/// Counts of handshakes since the start, in both roles. They survive a change of the
/// certificates.
#[derive(Debug, Default)]
pub struct TlsCounters(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    versions: BTreeMap<&'static str, u64>,
    suites: BTreeMap<&'static str, u64>,
    groups: BTreeMap<&'static str, u64>,
    failures: BTreeMap<&'static str, u64>,
    resumed: u64,
    downgrades_accepted: u64,
    downgrades_dialled: u64,
}

/// Which end of a connection we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Client,
    Server,
}

/// Suites that are counted one by one; a library has fewer that anybody enables.
const MOST_SUITES: usize = 64;
const VERSIONS: [&str; 4] = ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"];

impl TlsCounters {
    /// Counts a handshake that has succeeded.
    pub(crate) fn succeeded(&self, ssl: &SslRef, role: Role) {
        let resumed = ssl.session_reused();
        let suite = ssl.current_cipher().map_or("none", |suite| suite.name());
        let group = if resumed { None } else { Some(group(ssl, suite, role)) };
        let mut counts = self.lock();
        *counts.versions.entry(ssl.version_str()).or_default() += 1;
        let known = counts.suites.len() < MOST_SUITES || counts.suites.contains_key(suite);
        *counts.suites.entry(if known { suite } else { "others" }).or_default() += 1;
        if let Some(group) = group {
            *counts.groups.entry(group).or_default() += 1;
        }
        counts.resumed += u64::from(resumed);
    }

    /// Counts a handshake that has failed.
    pub(crate) fn failed(&self, failure: Failure) {
        *self.lock().failures.entry(failure.name()).or_default() += 1;
    }

    /// Counts a connection that we accepted and that goes on in plaintext.
    pub(crate) fn downgrade_accepted(&self) {
        self.lock().downgrades_accepted += 1;
    }

    /// Counts a connection that we opened and that goes on in plaintext.
    pub(crate) fn downgrade_dialled(&self) {
        self.lock().downgrades_dialled += 1;
    }

    /// Names and values, for those who print all of them. The names of versions, failures and
    /// totals are always there; those of suites and groups when they were negotiated.
    #[must_use]
    pub fn entries(&self) -> Vec<(String, u64)> {
        let counts = self.lock();
        let mut entries = vec![
            ("tls/downgrades/accepted".to_owned(), counts.downgrades_accepted),
            ("tls/downgrades/dialled".to_owned(), counts.downgrades_dialled),
            ("tls/handshakes/resumed".to_owned(), counts.resumed),
        ];
        let mut add = |kind: &str, name: &str, value: Option<&u64>| {
            entries.push((format!("tls/{kind}/{name}"), value.copied().unwrap_or_default()));
        };
        for version in VERSIONS {
            add("handshakes", version, counts.versions.get(version));
        }
        for failure in Failure::ALL {
            add("failures", failure.name(), counts.failures.get(failure.name()));
        }
        for (suite, count) in &counts.suites {
            add("suites", suite, Some(count));
        }
        for (group, count) in &counts.groups {
            add("groups", group, Some(count));
        }
        entries
    }

    /// The value of one of [`Self::entries`]; zero if there is none of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> u64 {
        self.entries().into_iter().find(|(n, _)| n == name).map_or(0, |(_, value)| value)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Counts> {
        // Nothing panics while the counts are held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The group in which keys were exchanged. The library does not name it: it gives us the peer's
/// ephemeral key, in a key encapsulation only to the server, in TLS 1.2 only to the client.
fn group(ssl: &SslRef, suite: &str, role: Role) -> &'static str {
    let tls13 = ssl.version2() == Some(SslVersion::TLS1_3);
    match ssl.peer_tmp_key() {
        Err(_) if tls13 && role == Role::Client => HYBRID,
        Err(_) if suite.starts_with("ECDHE-") => "ECDHE",
        Err(_) if suite.starts_with("DHE-") => "DHE",
        Err(_) => "none",
        Ok(key) => match key.id() {
            Id::X25519 => "X25519",
            Id::X448 => "X448",
            Id::DH | Id::DHX => "DHE",
            Id::EC => match key.bits() {
                256 => "P-256",
                384 => "P-384",
                521 => "P-521",
                _ => "other_curve",
            },
            _ => HYBRID,
        },
    }
}

/// A classic group together with a lattice.
const HYBRID: &str = "hybrid";
