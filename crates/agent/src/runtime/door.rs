//! What comes in at the port: messages become events, requests are answered by the site.
//!
//! A message is looked at here as far as that needs no state: is there such an actor, is the name
//! known, is the body what the name says. What fails is dropped, counted and logged; the engine
//! never sees it. Who may send what is the engine's to judge, since it knows who leads.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use endpoints::serve::serve;
use endpoints::site::Site;
use libprocess::allowed;
use libprocess::sender::{BoundPid, PeerFacts};
use model::identity::Kind;
use transport::server::{Handler, Receipt, Received, Request, Response};

use super::ACTOR;
use super::authenticatee::{Delivery, Mailbox};
use crate::engine::event::Event;
use crate::http::Agent;
use crate::message::{ExecutorMessage, MasterMessage};

/// The program's side of the server.
#[derive(Debug)]
pub(super) struct Door {
    agent: Arc<Agent>,
    site: Site<Agent>,
    mailbox: Arc<Mailbox>,
}

impl Door {
    pub(super) fn new(agent: Arc<Agent>, site: Site<Agent>, mailbox: Arc<Mailbox>) -> Self {
        Self { agent, site, mailbox }
    }

    /// Drops a message: counted and logged.
    fn drop_message(&self, from: &BoundPid, name: &str, why: &str) -> Receipt {
        self.agent.counted.undecodable.fetch_add(1, Ordering::Relaxed);
        let identity = from.identity().map(ToString::to_string);
        tracing::warn!(from = %from.upid(), identity, name, why, "a message was dropped");
        Receipt::Accepted
    }

    /// A message of an executor of the v0 protocol, if it comes from the executor that it says.
    async fn executor_message(
        &self,
        from: BoundPid,
        peer: &PeerFacts,
        message: ExecutorMessage,
    ) -> Result<Event, &'static str> {
        let container = {
            let snapshot = self.agent.snapshots.load();
            message.named().and_then(|(framework, executor)| {
                let framework = snapshot.state.frameworks.get(&framework)?;
                framework.executors.get(&executor).map(|executor| executor.container.clone())
            })
        };
        let container = container.ok_or("there is no such executor here")?;
        let holders = &self.agent.holders;
        if !holders.holds(&container, peer.connection, peer.address).await {
            self.agent.counted.strangers.fetch_add(1, Ordering::Relaxed);
            return Err("no process of the executor's container holds the connection");
        }
        // What the agent says to an executor must not go to somebody else's port.
        let registers =
            matches!(message, ExecutorMessage::Register(_) | ExecutorMessage::Reregister(_));
        if registers && !holders.listens(&container, from.upid().address).await {
            self.agent.counted.strangers.fetch_add(1, Ordering::Relaxed);
            return Err("no process of the executor's container listens at the sender's address");
        }
        Ok(Event::ExecutorMessage { from, container, message })
    }
}

impl Handler for Door {
    async fn message(&self, message: Received) -> Receipt {
        let Received { from, to, name, body, memory, peer } = message;
        if to != ACTOR && !Mailbox::is_for(&to) {
            return Receipt::NoSuchActor;
        }
        if let Err(refusal) = allowed::may_send(&from, Kind::Agent, &name) {
            return self.drop_message(&from, &name, &refusal.to_string());
        }
        if Mailbox::is_for(&to) {
            return match self.mailbox.deliver(&to, &from, &name, &body) {
                Delivery::Taken => Receipt::Accepted,
                Delivery::Dropped(why) => self.drop_message(&from, &name, why),
                Delivery::NoSuchActor => Receipt::NoSuchActor,
            };
        }
        let event = if ExecutorMessage::NAMES.contains(&name.as_str()) {
            let message = match ExecutorMessage::decode(&name, &body) {
                Ok(message) => message,
                Err(error) => return self.drop_message(&from, &name, &error.to_string()),
            };
            match self.executor_message(from.clone(), &peer, message).await {
                Ok(event) => event,
                Err(why) => return self.drop_message(&from, &name, why),
            }
        } else {
            match MasterMessage::decode(&name, &body) {
                Ok(message) => Event::Message { from, message },
                Err(error) => return self.drop_message(&from, &name, &error.to_string()),
            }
        };
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
