//! What comes in at the port: messages become events, requests are answered by the site.
//!
//! A message is looked at here as far as that needs no state: is there such an actor, is the name
//! known, may this kind of sender send it, is the body what the name says. What fails is dropped,
//! counted and logged; the engine never sees it.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use endpoints::exchange;
use endpoints::serve::serve;
use endpoints::site::Site;
use libprocess::allowed::{Refusal, may_send};
use libprocess::sender::BoundPid;
use model::identity::Kind;
use transport::server::{Handler, Receipt, Received, Request, Response};

use super::desk::{Arrived, Desk, Held};
use crate::engine::event::Event;
use crate::engine::message::Inbound;
use crate::http::Master;

/// The program's side of the server.
#[derive(Debug)]
pub(super) struct Door {
    master: Arc<Master>,
    site: Site<Master>,
    desk: Desk,
}

impl Door {
    pub(super) fn new(master: Arc<Master>, site: Site<Master>, desk: Desk) -> Self {
        Self { master, site, desk }
    }

    /// Counts and logs what cannot be read.
    fn undecodable(&self, from: &BoundPid, name: &str, error: &dyn Display) -> Receipt {
        self.master.counted.undecodable.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(from = %from.upid(), ?name, %error, "a message was dropped");
        Receipt::Accepted
    }
}

/// The actors that messages may be addressed to, besides those of the desk.
fn is_actor(id: &str) -> bool {
    id == "master"
        || id
            .strip_prefix("slave-observer(")
            .and_then(|rest| rest.strip_suffix(')'))
            .is_some_and(|n| n.parse::<u64>().is_ok())
}

impl Handler for Door {
    async fn message(&self, message: Received) -> Receipt {
        let Received { from, to, name, body, peer, memory } = message;
        let exchange = exchange::is_from_client(&name);
        if !exchange && !is_actor(&to) {
            return Receipt::NoSuchActor;
        }
        if let Err(refusal) = may_send(&from, Kind::Master, &name) {
            let counted = &self.master.counted;
            match refusal {
                Refusal::Unknown { .. } => &counted.undecodable,
                Refusal::Forbidden { .. } => &counted.forbidden,
            }
            .fetch_add(1, Ordering::Relaxed);
            let identity = from.identity().map(ToString::to_string);
            let principal = from.principal().map(|name| name.escape_debug().to_string());
            tracing::warn!(
                from = %from.upid(), identity, principal, ?name, %refusal,
                "a message was dropped"
            );
            return Receipt::Accepted;
        }
        if let Some(read) = exchange::from_client(&name, &body) {
            return match read {
                Ok(message) => self.desk.take(Arrived { from, to, message, facts: peer }).await,
                Err(error) => self.undecodable(&from, &name, &error),
            };
        }
        let message = match Inbound::decode(&name, body) {
            Ok(message) => Box::new(message),
            Err(error) => return self.undecodable(&from, &name, &error),
        };
        let (event, memory) = if message.registers() {
            match self.desk.hold(Held { from, to, message, facts: peer, memory }) {
                None => return Receipt::Accepted,
                Some(held) => held.at_once(),
            }
        } else {
            (Event::Message { from, to, message }, memory)
        };
        // The engine is gone when the master stops; the sender sends again elsewhere.
        match self.master.inbox.put_message(event, memory).await {
            Ok(()) => Receipt::Accepted,
            Err(_) => Receipt::NoSuchActor,
        }
    }

    async fn request(&self, request: Request) -> Response {
        serve(&self.site, request).await
    }
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
