//! What comes in at the port: messages become events, requests are answered by the site.
//!
//! A message is looked at here as far as that needs no state: is there such an actor, is the name
//! known, is the body what the name says. What fails is dropped, counted and logged; the engine
//! never sees it. Who may send what is the engine's to judge, since it knows who leads.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use endpoints::serve::serve;
use endpoints::site::Site;
use transport::server::{Handler, Receipt, Received, Request, Response};

use super::ACTOR;
use crate::engine::event::Event;
use crate::http::Agent;
use crate::message::MasterMessage;

/// The program's side of the server.
#[derive(Debug)]
pub(super) struct Door {
    agent: Arc<Agent>,
    site: Site<Agent>,
}

impl Door {
    pub(super) fn new(agent: Arc<Agent>, site: Site<Agent>) -> Self {
        Self { agent, site }
    }
}

impl Handler for Door {
    async fn message(&self, message: Received) -> Receipt {
        let Received { from, to, name, body, memory, .. } = message;
        if to != ACTOR {
            return Receipt::NoSuchActor;
        }
        let message = match MasterMessage::decode(&name, &body) {
            Ok(message) => message,
            Err(error) => {
                self.agent.counted.undecodable.fetch_add(1, Ordering::Relaxed);
                let identity = from.identity().map(ToString::to_string);
                tracing::warn!(from = %from.upid(), identity, %error, "a message was dropped");
                return Receipt::Accepted;
            }
        };
        let event = Event::Message { from, message };
        // The engine is gone when the agent stops; the sender tries again.
        match self.agent.inbox.put_with(event, Some(memory)).await {
            Ok(()) => Receipt::Accepted,
            Err(_) => Receipt::NoSuchActor,
        }
    }

    async fn request(&self, request: Request) -> Response {
        serve(&self.site, request).await
    }
}
