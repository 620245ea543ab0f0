//! What came of the agents of a swarm since they last heard of a master.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// Something that happened to one agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    /// An attempt to authenticate began.
    Attempt,
    /// An attempt had no result when its time was up.
    TimedOut,
    /// An attempt ended with an error; the text is for people.
    Failed(String),
    /// The master refuses the credential, or told the agent to shut down.
    Refused(String),
    /// It is authenticated, for the first time since the detection.
    Authenticated,
    /// It asked to be registered.
    Registration,
    /// It is registered, for the first time since the detection.
    Registered,
    /// The link to the master broke.
    LinkBroke,
    /// The master answered a message otherwise than with 202.
    Status(u16),
    /// A message that has no place came, or one that cannot be read.
    Stray(String),
    /// The master pinged it.
    Pinged,
}

/// The book of all agents of a swarm.
#[derive(Debug)]
pub(crate) struct Book {
    entries: Mutex<Entries>,
    /// Told of every fact.
    #[cfg(test)]
    news: tokio::sync::Notify,
}

#[derive(Debug)]
struct Entries {
    since: Instant,
    authenticated: Vec<Duration>,
    registered: Vec<Duration>,
    report: Report,
}

/// What the book says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// How long it took them to authenticate, since the detection.
    pub(crate) authenticated: Times,
    /// How long it took them to be registered, since the detection.
    pub(crate) registered: Times,
    /// Attempts to authenticate.
    pub(crate) attempts: u64,
    /// Those without result.
    pub(crate) timed_out: u64,
    /// Those that ended with an error.
    pub(crate) failed: u64,
    /// Agents that were refused, or told to shut down.
    pub(crate) refused: u64,
    /// Messages with which agents registered.
    pub(crate) registrations: u64,
    /// Links that broke.
    pub(crate) broken_links: u64,
    /// Answers other than 202.
    pub(crate) not_accepted: u64,
    /// Messages that had no place.
    pub(crate) stray: u64,
    /// Pings.
    pub(crate) pings: u64,
    /// Why, and how often: of the first kinds of trouble.
    pub(crate) trouble: BTreeMap<String, u64>,
    /// Processor time that this process has used since its start, in seconds.
    pub(crate) cpu: f64,
}

/// Times of many agents, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Times {
    /// How many there are.
    pub(crate) count: usize,
    /// The one in the middle.
    pub(crate) median: f64,
    /// The longest.
    pub(crate) last: f64,
}

/// Different kinds of trouble that are kept apart.
const KINDS: usize = 12;

impl Default for Book {
    fn default() -> Self {
        Self {
            entries: Mutex::new(Entries {
                since: Instant::now(),
                authenticated: Vec::new(),
                registered: Vec::new(),
                report: Report::default(),
            }),
            #[cfg(test)]
            news: tokio::sync::Notify::new(),
        }
    }
}

impl Book {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets everything: a master is detected now.
    pub(crate) fn begin(&self) {
        let mut entries = self.entries();
        entries.since = Instant::now();
        entries.authenticated.clear();
        entries.registered.clear();
        entries.report = Report::default();
    }

    /// Enters a fact.
    pub(crate) fn enter(&self, fact: Fact) {
        let mut entries = self.entries();
        let after = entries.since.elapsed();
        let report = &mut entries.report;
        match fact {
            Fact::Attempt => report.attempts += 1,
            Fact::TimedOut => report.timed_out += 1,
            Fact::Failed(why) => {
                report.failed += 1;
                report.note(why);
            }
            Fact::Refused(why) => {
                report.refused += 1;
                report.note(why);
            }
            Fact::Authenticated => entries.authenticated.push(after),
            Fact::Registration => report.registrations += 1,
            Fact::Registered => entries.registered.push(after),
            Fact::LinkBroke => report.broken_links += 1,
            Fact::Status(status) => {
                report.not_accepted += 1;
                report.note(format!("a message was answered with {status}"));
            }
            Fact::Stray(what) => {
                report.stray += 1;
                report.note(what);
            }
            Fact::Pinged => report.pings += 1,
        }
        drop(entries);
        #[cfg(test)]
        self.news.notify_waiters();
    }

    /// The first report of which `is_so` holds.
    #[cfg(test)]
    pub(crate) async fn wait_until(&self, is_so: impl Fn(&Report) -> bool) -> Report {
        loop {
            let news = self.news.notified();
            let report = self.report();
            if is_so(&report) {
                return report;
            }
            news.await;
        }
    }

    /// What has happened so far.
    pub(crate) fn report(&self) -> Report {
        let entries = self.entries();
        let mut report = entries.report.clone();
        let times = (entries.authenticated.clone(), entries.registered.clone());
        drop(entries);
        report.authenticated = Times::of(times.0);
        report.registered = Times::of(times.1);
        report.cpu = crate::proc::own_cpu().as_secs_f64();
        report
    }
}

impl Report {
    fn note(&mut self, why: String) {
        if let Some(count) = self.trouble.get_mut(&why) {
            *count += 1;
        } else if self.trouble.len() < KINDS {
            self.trouble.insert(why, 1);
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "authenticated {} ({} attempts, {} timed out, {} failed, {} refused), registered {} \
             ({} asked), {} pings, {} links broken, {} answers other than 202, {} stray messages",
            self.authenticated,
            self.attempts,
            self.timed_out,
            self.failed,
            self.refused,
            self.registered,
            self.registrations,
            self.pings,
            self.broken_links,
            self.not_accepted,
            self.stray,
        )
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (half by {:.2} s, last {:.2} s)", self.count, self.median, self.last)
    }
}

impl Times {
    fn of(mut all: Vec<Duration>) -> Self {
        all.sort_unstable();
        let at = |index: usize| all.get(index).map_or(0.0, Duration::as_secs_f64);
        let count = all.len();
        Self { count, median: at(count / 2), last: at(count.saturating_sub(1)) }
    }
}
