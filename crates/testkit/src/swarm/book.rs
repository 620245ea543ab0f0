//! What came of the agents and frameworks of a swarm since they last heard of a master.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use wire::v1::TaskState;

/// Something that happened to one agent or framework.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
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
    /// An agent began to run this task.
    Started(String),
    /// An agent was told to run a task that it has.
    Twice(String),
    /// A task has ended on its agent, of which the master is told next.
    Ended(String, TaskState),
    /// The agent with this id told the master that a task has ended.
    Freed(String),
    /// A framework is subscribed.
    Subscribed,
    /// A framework lost its stream or its calls, for this reason.
    Disconnected(String),
    /// The master sent a framework an error.
    Error(String),
    /// A framework was offered something of the agent with this id.
    Offered(String),
    /// An offer was rescinded.
    Rescinded,
    /// A framework launched these tasks on the agent with that id.
    Launched {
        /// Which tasks.
        tasks: Vec<String>,
        /// Where.
        agent: String,
    },
    /// The agent with this id is gone for good.
    Left(String),
    /// A framework asked about so many tasks.
    Asked(u64),
    /// A task runs, so long after it was launched.
    Runs(Duration),
    /// A framework heard that a task is over; if not finished, for this reason.
    Over(String, TaskState, Option<String>),
    /// A framework heard again of a task that is over.
    Repeated(String, TaskState),
    /// A framework heard that the agent of a task is unreachable.
    Unreachable(String),
    /// A call was answered otherwise than with 202 or 200.
    CallRefused(u16),
}

/// The book of all agents of a swarm.
#[derive(Debug)]
pub struct Book {
    entries: Mutex<Entries>,
    /// Told of every fact.
    news: tokio::sync::Notify,
}

#[derive(Debug)]
struct Entries {
    since: Instant,
    authenticated: Vec<Duration>,
    registered: Vec<Duration>,
    /// When agents told of the first end of a task since they were last offered.
    freed: HashMap<String, Instant>,
    offered: Vec<Duration>,
    runs: Vec<Duration>,
    /// What became of each task, if that is kept.
    tasks: Option<BTreeMap<String, Story>>,
    /// Agents that are gone for good.
    left: BTreeSet<String>,
    report: Report,
}

/// What became of one task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Story {
    /// The id of the agent on which it was launched.
    pub agent: String,
    /// Whether that agent is gone for good.
    pub left: bool,
    /// How often an agent began to run it.
    pub started: u32,
    /// How it ended there.
    pub ended: Option<TaskState>,
    /// Whether its framework heard last that its agent is unreachable.
    pub unreachable: bool,
    /// What its framework heard as its end, and why if it did not finish.
    pub over: Option<(TaskState, Option<String>)>,
}

/// What the book says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// How long it took them to authenticate, since the detection.
    pub authenticated: Times,
    /// How long it took them to be registered, since the detection.
    pub registered: Times,
    /// Attempts to authenticate.
    pub attempts: u64,
    /// Those without result.
    pub timed_out: u64,
    /// Those that ended with an error.
    pub failed: u64,
    /// Agents that were refused, or told to shut down.
    pub refused: u64,
    /// Messages with which agents registered.
    pub registrations: u64,
    /// Links that broke.
    pub broken_links: u64,
    /// Answers other than 202.
    pub not_accepted: u64,
    /// Messages that had no place.
    pub stray: u64,
    /// Pings.
    pub pings: u64,
    /// Tasks that agents began to run.
    pub started: u64,
    /// Tasks that agents were told to run although they had them.
    pub twice: u64,
    /// Tasks that ended on their agents.
    pub ended: u64,
    /// Subscriptions of frameworks.
    pub subscribed: u64,
    /// Subscriptions that were lost.
    pub disconnected: u64,
    /// Offers.
    pub offers: u64,
    /// Offers that were rescinded.
    pub rescinded: u64,
    /// Tasks that were launched.
    pub launched: u64,
    /// Tasks that were ever launched, if their stories are kept.
    pub stories: u64,
    /// Those of them of which frameworks have heard no end, although their agents are there.
    pub open: u64,
    /// Tasks that frameworks heard have finished.
    pub finished: u64,
    /// Tasks that frameworks heard ended otherwise: state and reason.
    pub over: BTreeMap<String, u64>,
    /// Ends that frameworks heard of more than once.
    pub repeated: u64,
    /// How often frameworks heard that the agent of a task is unreachable.
    pub unreachable: u64,
    /// Tasks that frameworks asked about.
    pub asked: u64,
    /// Calls that were refused.
    pub refused_calls: u64,
    /// From a launch until the framework hears that the task runs.
    pub runs: Times,
    /// From the end of a task until its agent is offered again: how quickly what it gave up is
    /// offered, if nothing else of the agent can be.
    pub offered: Times,
    /// Why, and how often: of the first kinds of trouble.
    pub trouble: BTreeMap<String, u64>,
    /// Processor time that this process has used since its start, in seconds.
    pub cpu: f64,
}

/// Times of many agents, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// How many there are.
    pub count: usize,
    /// The one in the middle.
    pub median: f64,
    /// The one that 99 of 100 do not exceed.
    pub most: f64,
    /// The longest.
    pub last: f64,
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
                freed: HashMap::new(),
                offered: Vec::new(),
                runs: Vec::new(),
                tasks: None,
                left: BTreeSet::new(),
                report: Report::default(),
            }),
            news: tokio::sync::Notify::new(),
        }
    }
}

impl Book {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets everything but what became of tasks: a master is detected now.
    pub fn begin(&self) {
        let mut entries = self.entries();
        entries.since = Instant::now();
        entries.authenticated.clear();
        entries.registered.clear();
        entries.freed.clear();
        entries.offered.clear();
        entries.runs.clear();
        entries.report = Report::default();
    }

    /// Enters a fact.
    pub fn enter(&self, fact: Fact) {
        let mut guard = self.entries();
        let entries = &mut *guard;
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
            Fact::Started(id) => {
                report.started += 1;
                entries.story(id, |story| story.started += 1);
            }
            Fact::Twice(_) => report.twice += 1,
            Fact::Ended(id, state) => {
                report.ended += 1;
                entries.story(id, |story| story.ended = Some(state));
            }
            Fact::Freed(agent) => {
                // The one that has waited longest is what the next offer answers.
                entries.freed.entry(agent).or_insert_with(Instant::now);
            }
            Fact::Subscribed => report.subscribed += 1,
            Fact::Disconnected(why) => {
                report.disconnected += 1;
                report.note(why);
            }
            Fact::Error(text) => report.note(format!("the master sent an error: {text}")),
            Fact::Offered(agent) => {
                report.offers += 1;
                if let Some(at) = entries.freed.remove(&agent) {
                    entries.offered.push(at.elapsed());
                }
            }
            Fact::Rescinded => report.rescinded += 1,
            Fact::Launched { tasks, agent } => {
                report.launched += tasks.len() as u64;
                for id in tasks {
                    entries.story(id, |story| story.agent.clone_from(&agent));
                }
            }
            Fact::Left(agent) => drop(entries.left.insert(agent)),
            Fact::Asked(count) => report.asked += count,
            Fact::Runs(after) => entries.runs.push(after),
            Fact::Over(id, state, why) => {
                if state == TaskState::TaskFinished {
                    report.finished += 1;
                } else {
                    let why = why.as_deref().unwrap_or("no reason");
                    *report.over.entry(format!("{} {why}", state.as_str_name())).or_default() += 1;
                }
                entries.story(id, |story| story.over = Some((state, why)));
            }
            Fact::Repeated(..) => report.repeated += 1,
            Fact::Unreachable(id) => {
                report.unreachable += 1;
                entries.story(id, |story| story.unreachable = true);
            }
            Fact::CallRefused(status) => {
                report.refused_calls += 1;
                report.note(format!("a call was answered with {status}"));
            }
        }
        drop(guard);
        self.news.notify_waiters();
    }

    /// The first report of which `is_so` holds.
    pub async fn wait_until(&self, is_so: impl Fn(&Report) -> bool) -> Report {
        loop {
            let news = self.news.notified();
            let report = self.report();
            if is_so(&report) {
                return report;
            }
            news.await;
        }
    }

    /// From now on what becomes of each task is kept: for tests, since it is never forgotten.
    pub fn keep_stories(&self) {
        self.entries().tasks.get_or_insert_default();
    }

    /// What became of each task, if that is kept.
    #[must_use]
    pub fn stories(&self) -> BTreeMap<String, Story> {
        let entries = self.entries();
        let mut tasks = entries.tasks.clone().unwrap_or_default();
        for story in tasks.values_mut() {
            story.left = entries.left.contains(&story.agent);
        }
        tasks
    }

    /// What has happened so far.
    #[must_use]
    pub fn report(&self) -> Report {
        let entries = self.entries();
        let mut report = entries.report.clone();
        let times = (entries.authenticated.clone(), entries.registered.clone());
        if let Some(tasks) = &entries.tasks {
            let open =
                |story: &&Story| story.over.is_none() && !entries.left.contains(&story.agent);
            report.stories = tasks.len() as u64;
            report.open = tasks.values().filter(open).count() as u64;
        }
        let of_tasks = (entries.runs.clone(), entries.offered.clone());
        drop(entries);
        report.authenticated = Times::of(times.0);
        report.registered = Times::of(times.1);
        report.runs = Times::of(of_tasks.0);
        report.offered = Times::of(of_tasks.1);
        report.cpu = crate::usage::own_cpu().as_secs_f64();
        report
    }
}

impl Entries {
    fn story(&mut self, id: String, change: impl FnOnce(&mut Story)) {
        if let Some(tasks) = &mut self.tasks {
            change(tasks.entry(id).or_default());
        }
    }
}

impl Report {
    /// Tasks that their frameworks heard are over.
    #[must_use]
    pub fn over(&self) -> u64 {
        self.finished + self.over.values().sum::<u64>()
    }

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
             ({} asked), {} pings, {} links broken, {} answers other than 202, {} stray messages; \
             {} launched, {} started, {} over, {} offers, {} streams lost, {} calls refused",
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
            self.launched,
            self.started,
            self.over(),
            self.offers,
            self.disconnected,
            self.refused_calls,
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
        Self {
            count,
            median: at(count / 2),
            most: at(count.saturating_sub(1) * 99 / 100),
            last: at(count.saturating_sub(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_answers_the_end_that_has_waited_longest() {
        let book = Book::default();
        let freed = || book.enter(Fact::Freed("a".to_owned()));
        freed();
        let first = book.entries().freed["a"];
        while first.elapsed().is_zero() {}
        freed();
        assert_eq!(book.entries().freed["a"], first);
        book.enter(Fact::Offered("a".to_owned()));
        book.enter(Fact::Offered("a".to_owned()));
        assert_eq!(book.report().offered.count, 1);
    }
}
