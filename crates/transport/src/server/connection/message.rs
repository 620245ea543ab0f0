//! Messages: bound to their sender, handed over, answered.

use std::sync::Arc;

use http::StatusCode;
use libprocess::decode::Event;
use libprocess::message::{MessageHead, MessageHeadError};
use libprocess::sender::{BindError, BoundPid, Finding, PeerFacts, bind};

use super::{Connected, Connection, End, answer};
use crate::seldom;
use crate::server::body::{BodyError, Gathered, InflateError, inflate};
use crate::server::{Handler, Receipt, Received, Response};

impl<H: Handler> Connection<H> {
    /// Receives a message, hands it over, answers it.
    pub(super) async fn message(&mut self, head: MessageHead) -> Result<(), End> {
        if let Some(claim) = head.channel {
            self.ties.claim(claim);
        }
        let bound = match self.bind(&head) {
            // A stranger gets one answer, and nobody waits for the rest of what it sends.
            Err(refusal) if !self.is_proven() => return self.answered(*refusal, false).await,
            bound => bound,
        };
        self.speaks |= bound.is_ok();
        self.begin()?;
        let mut body = Gathered::default();
        loop {
            match self.event().await? {
                Event::Data(piece) if bound.is_ok() => {
                    body.add(piece, &self.memory).await.map_err(|_| End::Memory)?;
                }
                // Of a message that is dropped nothing is kept.
                Event::Data(_) => {}
                Event::End => break,
                Event::Message(_) | Event::MessageRefused(_) | Event::Request(_) => break,
            }
        }
        let keep_alive = head.keep_alive;
        let response = match bound.and_then(|bound| self.bound_still(bound, &head)) {
            Err(refusal) => *refusal,
            Ok(from) => self.deliver(from, head, body).await?,
        };
        self.answered(response, keep_alive).await
    }

    /// Hands a message over to the program.
    async fn deliver(
        &mut self,
        from: BoundPid,
        head: MessageHead,
        mut body: Gathered,
    ) -> Result<Response, End> {
        let shared = Arc::clone(&self.shared);
        let parts = &shared.parts;
        if head.gzip {
            match inflate(body, parts.settings.limits.body, &self.memory).await {
                Ok(inflated) => body = inflated,
                Err(InflateError::Body(BodyError::Memory)) => return Err(End::Memory),
                Err(error) => {
                    parts.counters.messages_malformed.increment();
                    let address = self.facts.address;
                    seldom!(warn, %address, %error, name = head.name, "a message was dropped");
                    return Ok(Response::text(StatusCode::BAD_REQUEST, error.to_string()));
                }
            }
        }
        let (body, memory) = body.into_parts();
        let peer = Arc::clone(&self.facts);
        let MessageHead { to, name, .. } = head;
        let taken = parts.handler.message(Received { from, to, name, body, peer, memory });
        Ok(match self.wire.writing_during(taken).await {
            Receipt::Accepted => {
                parts.counters.messages_received.increment();
                Response::new(StatusCode::ACCEPTED)
            }
            Receipt::NoSuchActor => {
                parts.counters.messages_undeliverable.increment();
                Response::status_text(StatusCode::NOT_FOUND)
            }
        })
    }

    /// The sender of a message that is complete: between its head and its end a session may have
    /// ended, or another may have taken its place.
    fn bound_still(
        &mut self,
        (from, finding): (BoundPid, Finding),
        head: &MessageHead,
    ) -> Result<BoundPid, Box<Response>> {
        if self.ties.prove(from.upid(), &head.to) == finding {
            return Ok(from);
        }
        self.bind(head).map(|(from, _)| from)
    }

    /// Binds the claimed sender of a message, or says how it is refused.
    fn bind(&mut self, head: &MessageHead) -> Result<(BoundPid, Finding), Box<Response>> {
        let parts = &self.shared.parts;
        let address = self.facts.address;
        let claimed = match &head.from {
            Ok(claimed) => claimed.clone(),
            Err(error) => {
                parts.counters.messages_malformed.increment();
                seldom!(warn, %address, %error, name = head.name, "a message without sender");
                let text = format!("Failed to read the sender of the message: {error}");
                return Err(Box::new(Response::text(StatusCode::BAD_REQUEST, text)));
            }
        };
        let listener = parts.listeners.at(claimed.0.address);
        let finding = self.ties.prove(&claimed.0, &head.to);
        let rule = parts.security.binding(&self.facts);
        let bound = bind(claimed, &self.facts, rule, listener.as_ref(), finding.clone());
        bound.map(|from| (from, finding)).map_err(|error| {
            parts.counters.messages_dropped_unbound.increment();
            seldom!(warn, %address, %error, name = head.name, "a message was dropped");
            Box::new(unbound(&error, &self.facts))
        })
    }

    /// A message without an addressee: its body is skipped, it is answered in its place. That of
    /// a stranger is not waited for.
    pub(super) async fn refused(&mut self, error: MessageHeadError) -> Result<(), End> {
        let known = self.is_proven() || self.speaks;
        if known {
            self.begin()?;
            while !matches!(self.event().await?, Event::End) {}
        }
        self.shared.parts.counters.messages_malformed.increment();
        let address = self.facts.address;
        seldom!(warn, %address, %error, "a message without addressee");
        let status = match error {
            MessageHeadError::Escape { .. } => StatusCode::INTERNAL_SERVER_ERROR,
            MessageHeadError::Path => StatusCode::BAD_REQUEST,
        };
        self.answered(Response::text(status, error.to_string()), known).await
    }

    async fn answered(&mut self, response: Response, keep_alive: bool) -> Result<(), End> {
        if keep_alive && response.status == StatusCode::ACCEPTED {
            self.wire.accept();
            return Ok(());
        }
        self.wire.make_room().await?;
        let connected = if keep_alive { Connected::Stay } else { Connected::Close };
        answer(&mut self.wire.out, &response, connected);
        if keep_alive { Ok(()) } else { Err(End::Answered) }
    }
}

/// The answer to a message whose sender did not bind. In plaintext it is the original's answer
/// under `LIBPROCESS_REQUIRE_PEER_ADDRESS_IP_MATCH`. A libprocess peer reads neither.
fn unbound(error: &BindError, facts: &PeerFacts) -> Response {
    match error {
        BindError::OtherAddress { claimed, actual } if !facts.encrypted => {
            let text = format!(
                "UPID IP address validation failed: Message from {claimed} was sent from IP {actual}"
            );
            Response::text(StatusCode::BAD_REQUEST, text)
        }
        BindError::NoCertificate { .. }
        | BindError::OtherAddress { .. }
        | BindError::OtherListener { .. }
        | BindError::OtherSession { .. } => Response::text(
            StatusCode::FORBIDDEN,
            "The connection does not vouch for the sender of the message",
        ),
    }
}
