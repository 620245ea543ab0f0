//! The TLS of a running daemon: what it is, what is counted, and how its files are read again.
//!
//! Files are read again when somebody says so (a signal, a request) and when they have changed.
//! New connections use what they say then, old ones go on; what cannot be used changes nothing and
//! is reported.

mod files;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use model::time::Timestamp;
use tls_policy::{
    DangerAccepted, Diagnosis, Inbound, NameCheck, Outbound, PlaintextPeers, Profile, TlsPolicy,
    TlsRules, WhyPlaintext, diagnose,
};
use tokio::sync::{Mutex, watch};
use tokio::time::sleep;
use transport::tls::{Contexts, Reloaded, Security};
use transport::with_causes;
use wire::json;

use crate::refusal::Refusal;
use crate::reply::{Answer, Reply};

/// How long before the end of a certificate of ours the log begins to speak of it.
pub const WARN_BEFORE: Duration = Duration::from_secs(30 * DAY);
/// Revocation lists live for days only.
const LISTS_WARN_BEFORE: Duration = Duration::from_secs(2 * DAY);
const DAY: u64 = 24 * 60 * 60;
/// How often the log speaks of it.
const WARN_EVERY: Duration = Duration::from_secs(DAY);
/// Files that are being written are left alone until they have not changed for so long.
const SETTLE: Duration = Duration::from_millis(500);
/// But not for ever: something may be written all the time.
const MOST_SETTLING: u32 = 20;

/// What protects a daemon's connections, for those who serve and watch it.
#[derive(Debug)]
pub struct Tls {
    security: Security,
    diagnosis: Diagnosis,
    /// Held while files are read: one reading after the other.
    reading: Arc<Mutex<()>>,
    replaced: watch::Sender<u64>,
    reloads: AtomicU64,
    failed_reloads: AtomicU64,
}

/// Why files are read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// One of them has changed.
    Change,
    /// Somebody asked over HTTP.
    Request,
    /// SIGHUP came.
    Signal,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Change => "a file has changed",
            Self::Request => "a request asked for it",
            Self::Signal => "SIGHUP asked for it",
        })
    }
}

/// Why files were not read again with success. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReloadError {
    /// They are being read already, because of somebody else.
    #[error("the certificates are being read already")]
    Busy,
    /// What they say cannot be used.
    #[error("the certificates of before stay in use: {0}")]
    Files(String),
    /// There are none.
    #[error("this daemon serves in plaintext: there are no certificates to read")]
    Plaintext,
}

impl Tls {
    /// What `security` does; in plaintext because TLS is not switched on. `notices` is what its
    /// operator was told at the start.
    #[must_use]
    pub fn new(security: Security, notices: Vec<String>) -> Arc<Self> {
        let policy = match &security {
            Security::Tls(contexts) => TlsPolicy::Tls(TlsRules::clone(contexts.rules())),
            Security::DangerPlaintext => {
                let silence = DangerAccepted::asked_by("LIBPROCESS_SSL_ENABLED");
                TlsPolicy::Plaintext(WhyPlaintext::NotEnabled(silence))
            }
        };
        Self::of(security, &policy, notices)
    }

    /// Plaintext, for which the flag `asked_by` asked.
    #[must_use]
    pub fn danger_plaintext(asked_by: &str, notices: Vec<String>) -> Arc<Self> {
        let (policy, _) = TlsPolicy::danger_plaintext(DangerAccepted::asked_by(asked_by));
        Self::of(Security::DangerPlaintext, &policy, notices)
    }

    fn of(security: Security, policy: &TlsPolicy, notices: Vec<String>) -> Arc<Self> {
        Arc::new(Self {
            security,
            diagnosis: Diagnosis { notices, ..diagnose(policy, &[]) },
            reading: Arc::default(),
            replaced: watch::Sender::new(0),
            reloads: AtomicU64::new(0),
            failed_reloads: AtomicU64::new(0),
        })
    }

    /// What protects connections.
    #[must_use]
    pub fn security(&self) -> &Security {
        &self.security
    }

    fn contexts(&self) -> Option<&Arc<Contexts>> {
        match &self.security {
            Security::Tls(contexts) => Some(contexts),
            Security::DangerPlaintext => None,
        }
    }

    /// How often the files have been replaced; a receiver sees each change.
    #[must_use]
    pub fn replaced(&self) -> watch::Receiver<u64> {
        self.replaced.subscribe()
    }

    /// Reads all files again, and says in the log what came of it. Goes on if the future is
    /// dropped.
    ///
    /// # Errors
    /// If what they say cannot be used: the old certificates stay.
    pub async fn reload(self: &Arc<Self>, cause: Cause) -> Result<Reloaded, ReloadError> {
        let reading = Arc::clone(&self.reading);
        // However many ask, there is one reading at a time, and nobody waits for a thread.
        let alone = match cause {
            Cause::Request => reading.try_lock_owned().map_err(|_| ReloadError::Busy)?,
            Cause::Change | Cause::Signal => reading.lock_owned().await,
        };
        let this = Arc::clone(self);
        // Reads from disks, and may run a command for a passphrase.
        let reading = tokio::task::spawn_blocking(move || {
            let outcome = this.read_again(cause);
            drop(alone);
            outcome
        });
        reading.await.unwrap_or_else(|error| Err(ReloadError::Files(error.to_string())))
    }

    fn read_again(&self, cause: Cause) -> Result<Reloaded, ReloadError> {
        let contexts = self.contexts().ok_or(ReloadError::Plaintext)?;
        match contexts.reload() {
            Ok(reloaded) => {
                self.reloads.fetch_add(1, Ordering::Relaxed);
                match reloaded {
                    Reloaded::Unchanged if cause == Cause::Change => {}
                    Reloaded::Unchanged => tracing::info!(%cause, "the certificates are the same"),
                    Reloaded::Replaced => {
                        let days = self.days_left();
                        tracing::info!(%cause, days, "new connections use new certificates");
                        for notice in contexts.notices() {
                            tracing::warn!("{notice}");
                        }
                        self.replaced.send_modify(|times| *times += 1);
                    }
                }
                Ok(reloaded)
            }
            Err(error) => {
                self.failed_reloads.fetch_add(1, Ordering::Relaxed);
                let error = ReloadError::Files(with_causes(&error));
                tracing::error!(%cause, "cannot use the new certificates: {error}");
                Err(error)
            }
        }
    }

    /// Watches the files and the calendar for as long as the daemon runs: reads the files again
    /// when they have changed, warns long before a certificate of ours runs out.
    pub async fn watch(self: Arc<Self>) {
        let Some(contexts) = self.contexts() else { return std::future::pending().await };
        let rules = Arc::clone(contexts.rules());
        let look = async {
            let Some(interval) = rules.reload else { return std::future::pending().await };
            let mut seen = files::settled(&rules, SETTLE, MOST_SETTLING).await;
            // What has changed since the start, before anybody looked.
            let _ = self.reload(Cause::Change).await;
            loop {
                sleep(interval).await;
                if files::look(&rules).await == seen {
                    continue;
                }
                seen = files::settled(&rules, SETTLE, MOST_SETTLING).await;
                // What came of it is in the log.
                let _ = self.reload(Cause::Change).await;
            }
        };
        let warn = async {
            loop {
                self.warn_of_the_end();
                sleep(WARN_EVERY).await;
            }
        };
        tokio::join!(look, warn);
    }

    fn warn_of_the_end(&self) {
        match self.lists_days_left() {
            Some(days) if days <= 0.0 => {
                tracing::error!("a revocation list has run out: no peer is believed any more");
            }
            Some(days) if days * DAY as f64 <= LISTS_WARN_BEFORE.as_secs_f64() => {
                let days = days.floor();
                tracing::warn!(days, "a revocation list runs out soon: put a new one in its place");
            }
            Some(_) | None => {}
        }
        let Some(days) = self.days_left() else { return };
        if days <= 0.0 {
            tracing::error!("a certificate of ours has run out: peers that verify refuse it");
        } else if days * DAY as f64 <= WARN_BEFORE.as_secs_f64() {
            let days = days.floor();
            tracing::warn!(days, "a certificate of ours runs out soon: put a new one in its place");
        }
    }

    /// Until the first of our own certificates runs out, in days; negative afterwards.
    #[must_use]
    pub fn days_left(&self) -> Option<f64> {
        Some(days_until(self.contexts()?.first_expiry()?))
    }

    /// Until the first of the revocation lists runs out, in days; negative afterwards. `None` if
    /// there are none.
    #[must_use]
    pub fn lists_days_left(&self) -> Option<f64> {
        Some(days_until(self.contexts()?.lists_expiry()?))
    }

    /// What is counted, for `/metrics/snapshot`; nothing in plaintext.
    #[must_use]
    pub fn metrics(&self) -> BTreeMap<String, f64> {
        let Some(contexts) = self.contexts() else { return BTreeMap::new() };
        let counted = contexts.counters().entries();
        let mut all: BTreeMap<String, f64> =
            counted.into_iter().map(|(name, n)| (format!("alcazar/{name}"), n as f64)).collect();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        all.insert("alcazar/tls/reloads/done".to_owned(), count(&self.reloads));
        all.insert("alcazar/tls/reloads/failed".to_owned(), count(&self.failed_reloads));
        if let Some(days) = self.days_left() {
            all.insert("alcazar/tls/certificate_expires_in_days".to_owned(), days);
        }
        if let Some(days) = self.lists_days_left() {
            all.insert("alcazar/tls/revocation_list_expires_in_days".to_owned(), days);
        }
        all
    }

    /// What there is to know about it, as JSON.
    pub(crate) fn describe(&self) -> Answer {
        let mut out = Vec::new();
        json::object(&mut out, |o| {
            diagnosis(o, &self.diagnosis);
            o.field("scheme", self.security.scheme());
            let mut notices = self.diagnosis.notices.clone();
            if let Some(contexts) = self.contexts() {
                rules(o, contexts.rules());
                o.optional("certificate_expires_in_days", self.days_left());
                notices.extend(contexts.notices().iter().map(ToString::to_string));
            } else {
                o.field("inbound", "anybody");
                o.field("outbound", "unverified");
                o.field("plaintext_peers", true);
            }
            o.array("notices", |a| {
                for notice in &notices {
                    a.push(notice);
                }
            });
        });
        Ok(Reply::Json(out.into()))
    }

    /// Reads the files again because of a request.
    pub(crate) async fn answer_reload(self: &Arc<Self>) -> Answer {
        let reloaded =
            self.reload(Cause::Request).await.map_err(|e| Refusal::conflict(e.to_string()))?;
        let mut out = Vec::new();
        json::object(&mut out, |o| {
            o.field("replaced", reloaded == Reloaded::Replaced);
            o.optional("certificate_expires_in_days", self.days_left());
        });
        Ok(Reply::Json(out.into()))
    }
}

fn days_until(end: Timestamp) -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (end.since_epoch().as_secs_f64() - now.as_secs_f64()) / DAY as f64
}

/// What the policy is called, what it leaves open and what closes it.
fn diagnosis(o: &mut json::Object<'_>, diagnosis: &Diagnosis) {
    o.field("posture", diagnosis.posture.level.to_string());
    o.field("downgrade", diagnosis.posture.downgrade);
    for (name, findings) in [("holes", &diagnosis.holes), ("remarks", &diagnosis.remarks)] {
        o.array(name, |a| {
            for finding in findings {
                a.object(|o| {
                    o.field("id", finding.id);
                    o.field("what", &*finding.what);
                    o.field("closed_by", finding.closed_by.to_string());
                });
            }
        });
    }
}

fn rules(o: &mut json::Object<'_>, rules: &TlsRules) {
    let (inbound, names) = match &rules.inbound {
        Inbound::AnyClient(_) => ("anybody", None),
        Inbound::ClientCertificate(_, names) => ("certificate", Some(*names)),
        Inbound::ComponentIdentity(_) => ("identity", None),
    };
    o.field("inbound", inbound);
    o.optional("inbound_names", names.map(word));
    let (outbound, names) = match &rules.outbound {
        Outbound::ComponentIdentity(_) => ("identity", None),
        Outbound::Unverified(_) => ("unverified", None),
        Outbound::Verified(_, names) => ("certificate", Some(*names)),
    };
    o.field("outbound", outbound);
    o.optional("outbound_names", names.map(word));
    o.field("plaintext_peers", matches!(rules.plaintext_peers, PlaintextPeers::Accepted(_)));
    o.field(
        "profile",
        match rules.profile {
            Profile::Intermediate => "intermediate",
            Profile::Mesos => "mesos",
            Profile::Modern => "modern",
        },
    );
    let versions = &rules.versions;
    let all = [
        ("TLSv1", versions.tls10),
        ("TLSv1.1", versions.tls11),
        ("TLSv1.2", versions.tls12),
        ("TLSv1.3", versions.tls13),
    ];
    o.array("versions", |a| {
        for (name, _) in all.iter().filter(|(_, offered)| *offered) {
            a.push(*name);
        }
    });
    o.object("client_certificates", |o| {
        o.field("otherwise", rules.client_certificates.otherwise.to_string());
        o.object("doors", |o| {
            for (door, demand) in &rules.client_certificates.doors {
                o.field(door, demand.to_string());
            }
        });
    });
    o.field("revocation_lists", rules.revocation.is_some());
}

fn word(names: NameCheck) -> &'static str {
    match names {
        NameCheck::ChainOnly => "any",
        NameCheck::Dialled { ip: false } => "dialled",
        NameCheck::Dialled { ip: true } => "dialled, addresses too",
        NameCheck::ReverseDns { ip: false } => "reverse DNS",
        NameCheck::ReverseDns { ip: true } => "reverse DNS, addresses too",
    }
}
