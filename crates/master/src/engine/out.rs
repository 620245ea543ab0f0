//! Effects in the making.

use std::sync::Arc;

use libprocess::sender::{BoundPid, SessionId};
use libprocess::upid::Upid;
use model::time::Now;
use wire::v1::scheduler;

use super::effect::{Accepted, Effect, Level, Peer};
use super::event::{RequestId, SubscriptionId};
use super::message::Outbound;
use super::refusal::Refusal;

/// The actor that speaks for the master.
pub(super) const MASTER: &str = "master";

/// Collects the effects of one event, in their order.
#[derive(Debug)]
pub(super) struct Out {
    /// When the event happened.
    pub(super) now: Now,
    effects: Vec<Effect>,
}

impl Out {
    pub(super) fn new(now: Now) -> Self {
        Self { now, effects: Vec::new() }
    }

    pub(super) fn into_effects(self) -> Vec<Effect> {
        self.effects
    }

    pub(super) fn push(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub(super) fn persist(&mut self, operation: registry::Operation) {
        self.push(Effect::Persist(operation));
    }

    pub(super) fn send(&mut self, to: &Peer, message: Outbound) {
        self.send_as(MASTER.to_owned(), to, message);
    }

    pub(super) fn send_as(&mut self, from: String, to: &Peer, message: Outbound) {
        self.push(Effect::Send { from, to: to.clone(), message: Arc::new(message) });
    }

    /// Sends what several are sent.
    pub(super) fn send_shared(&mut self, to: &Peer, message: Arc<Outbound>) {
        self.push(Effect::Send { from: MASTER.to_owned(), to: to.clone(), message });
    }

    pub(super) fn stream(&mut self, subscription: SubscriptionId, event: scheduler::Event) {
        self.push(Effect::Stream { subscription, event: Box::new(event) });
    }

    pub(super) fn answer(&mut self, request: RequestId, answer: Result<Accepted, Refusal>) {
        self.push(Effect::Answer { request, answer });
    }

    /// Ends the session of somebody who is gone.
    pub(super) fn end_session(&mut self, pid: Upid, session: Option<SessionId>) {
        if let Some(session) = session {
            self.push(Effect::EndSession { pid, session });
        }
    }

    pub(super) fn info(&mut self, text: String) {
        self.push(Effect::Log { level: Level::Info, text });
    }

    pub(super) fn warn(&mut self, text: String) {
        self.push(Effect::Log { level: Level::Warn, text });
    }

    pub(super) fn error(&mut self, text: String) {
        self.push(Effect::Log { level: Level::Error, text });
    }
}

/// Texts from outside, fit for one line of a log however many there are: whoever names a million
/// things that do not exist fills no log with them.
pub(super) fn few_of(texts: &[&str]) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<_> = texts.iter().take(SHOWN).map(|text| quoted(text)).collect();
    match texts.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Text from outside, fit for one line of a log.
pub(super) fn quoted(text: &str) -> String {
    let short: String = text.chars().take(300).collect();
    format!("'{}'", short.escape_debug())
}

/// A sender, for the log.
pub(super) fn sender(from: &BoundPid) -> String {
    match from.identity() {
        Some(identity) => format!("{} ({identity})", quoted(&from.upid().to_string())),
        None => quoted(&from.upid().to_string()),
    }
}
