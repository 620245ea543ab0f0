//! What comes in at the port: messages become events, requests are answered by the site.
//!
//! A message is looked at here as far as that needs no state: is there such an actor, is the name
//! known, may this kind of sender send it, is the body what the name says. What fails is dropped,
//! counted and logged; the engine never sees it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use endpoints::serve::serve;
use endpoints::site::Site;
use libprocess::sender::BoundPid;
use model::identity::Kind;
use transport::server::{Handler, Receipt, Received, Request, Response};

use crate::engine::event::Event;
use crate::engine::message::{Inbound, InboundError};
use crate::http::Master;

/// The program's side of the server.
#[derive(Debug)]
pub(super) struct Door {
    master: Arc<Master>,
    site: Site<Master>,
}

impl Door {
    pub(super) fn new(master: Arc<Master>, site: Site<Master>) -> Self {
        Self { master, site }
    }
}

/// Which kind of component may send the message called `name`. Schedulers speak HTTP to this
/// master; so all that is left are agents.
fn allowed_sender(name: &str) -> Option<Kind> {
    Inbound::NAMES.contains(&name).then_some(Kind::Agent)
}

/// The actors that messages may be addressed to.
fn is_actor(id: &str) -> bool {
    id == "master"
        || id
            .strip_prefix("slave-observer(")
            .and_then(|rest| rest.strip_suffix(')'))
            .is_some_and(|n| n.parse::<u64>().is_ok())
}

impl Handler for Door {
    async fn message(&self, message: Received) -> Receipt {
        let Received { from, to, name, body, memory, .. } = message;
        if !is_actor(&to) {
            return Receipt::NoSuchActor;
        }
        if let Err(refusal) = may_send(&from, &name) {
            let counted = &self.master.counted;
            match refusal {
                Dropped::Unknown => &counted.undecodable,
                Dropped::Forbidden => &counted.forbidden,
            }
            .fetch_add(1, Ordering::Relaxed);
            let identity = from.identity().map(ToString::to_string);
            tracing::warn!(from = %from.upid(), identity, ?name, ?refusal, "a message was dropped");
            return Receipt::Accepted;
        }
        match Inbound::decode(&name, body) {
            Ok(message) => {
                let event = Event::Message { from, to, message: Box::new(message) };
                // The engine is gone when the master stops; the sender sends again elsewhere.
                match self.master.inbox.put_with(event, Some(memory)).await {
                    Ok(()) => Receipt::Accepted,
                    Err(_) => Receipt::NoSuchActor,
                }
            }
            Err(error) => {
                self.master.counted.undecodable.fetch_add(1, Ordering::Relaxed);
                log_undecodable(&from, &error);
                Receipt::Accepted
            }
        }
    }

    async fn request(&self, request: Request) -> Response {
        serve(&self.site, request).await
    }
}

fn log_undecodable(from: &BoundPid, error: &InboundError) {
    tracing::warn!(from = %from.upid(), %error, "a message was dropped");
}

/// Why a message is dropped unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dropped {
    /// Nobody here knows its name.
    Unknown,
    /// Its sender may not send it.
    Forbidden,
}

fn may_send(from: &BoundPid, name: &str) -> Result<(), Dropped> {
    let kind = allowed_sender(name).ok_or(Dropped::Unknown)?;
    if from.may_speak_as(kind) { Ok(()) } else { Err(Dropped::Forbidden) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_master_and_its_observers_are_addressed() {
        for id in ["master", "slave-observer(1)", "slave-observer(12345)"] {
            assert!(is_actor(id), "{id}");
        }
        for id in
            ["", "Master", "slave(1)", "slave-observer()", "slave-observer(x)", "registrar(1)"]
        {
            assert!(!is_actor(id), "{id}");
        }
    }
}
