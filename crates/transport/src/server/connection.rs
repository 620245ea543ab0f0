//! Serving one connection: what arrives is handled in order, and answered in order.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;
use libprocess::decode::{DecodeError, Decoder, Event, Position};
use libprocess::head::{RequestHead, Version};
use libprocess::message::{MessageHead, MessageHeadError};
use libprocess::route::{path_of, query_of};
use libprocess::sender::{BindError, BoundPid, PeerFacts, bind};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, timeout};

use super::body::{Body, BodyError, Gathered, inflate};
use super::gate::{Doing, Ticket};
use super::output::{Wire, WriteFailure};
use super::response::{Pieces, PiecesError, Response, ResponseBody};
use super::{Handler, Receipt, Received, Request, Settings, Shared, head, told_to_stop};
use crate::stream::Stream;

/// One connection after its handshake.
pub(super) struct Connection<H> {
    wire: Wire,
    facts: Arc<PeerFacts>,
    shared: Arc<Shared<H>>,
    ticket: Ticket,
    evicted: Arc<Notify>,
    stopped: watch::Receiver<bool>,
    /// What is left of the deadline of the head or body that is being received.
    allowance: Duration,
}

/// Why a connection ends.
#[derive(Debug)]
enum End {
    /// The peer or the server said so, between two requests.
    Orderly,
    /// The answer to what was received last said so.
    Answered,
    /// A head or body took too long.
    Deadline,
    /// The body of an answer did not come to its end.
    Body(PiecesError),
    /// It had to make room.
    Evicted,
    /// The peer disappeared in the middle of something.
    Gone,
    /// What was received means nothing.
    Malformed(DecodeError),
    /// There was no memory for a body.
    Memory,
    /// The peer did not take an answer in time.
    WriteDeadline,
}

impl From<WriteFailure> for End {
    fn from(failure: WriteFailure) -> Self {
        match failure {
            WriteFailure::Deadline => Self::WriteDeadline,
            WriteFailure::Gone => Self::Gone,
        }
    }
}

/// Bytes that a client may have sent ahead of the end of a streamed answer.
const MAX_AHEAD: usize = 64 * 1024;

impl<H: Handler> Connection<H> {
    pub(super) fn new(
        stream: Stream,
        facts: PeerFacts,
        shared: Arc<Shared<H>>,
        ticket: Ticket,
    ) -> Self {
        let settings = &shared.parts.settings;
        Self {
            wire: Wire::new(stream, Decoder::new(settings.limits)),
            facts: Arc::new(facts),
            evicted: ticket.end(),
            stopped: shared.stopped.clone(),
            allowance: settings.head_deadline,
            ticket,
            shared,
        }
    }

    /// Serves until the end.
    pub(super) async fn run(mut self) {
        let end = loop {
            if let Err(end) = self.one().await {
                break end;
            }
        };
        self.finish(end).await;
    }

    async fn finish(mut self, end: End) {
        self.note(&end);
        let farewell = match &end {
            End::Orderly | End::Answered | End::Body(_) | End::Gone => None,
            End::Evicted | End::WriteDeadline => return,
            End::Deadline => {
                Some((StatusCode::REQUEST_TIMEOUT, "The request took too long".into()))
            }
            End::Malformed(error) => Some((status_of(error), error.to_string())),
            End::Memory => {
                Some((StatusCode::SERVICE_UNAVAILABLE, "Too many requests at once".into()))
            }
        };
        if let Some((status, text)) = farewell {
            answer(&mut self.wire.out, &Response::text(status, text), Connected::Close);
        }
        self.wire.close(self.shared.parts.settings.write_deadline).await;
    }

    /// Counts and logs why the connection ends.
    fn note(&self, end: &End) {
        let address = self.facts.address;
        let counters = &self.shared.parts.counters;
        match end {
            End::Orderly | End::Answered => {}
            End::Gone => {
                tracing::debug!(%address, "a peer disappeared in the middle of a request");
            }
            End::Body(error) => {
                tracing::info!(%address, %error, "an answer did not come to its end: closed");
            }
            End::Evicted => {
                tracing::info!(%address, "an idle connection was closed to make room");
            }
            End::WriteDeadline => {
                counters.deadlines_missed.increment();
                tracing::info!(%address, "a peer does not take its answers: closed");
            }
            End::Deadline => {
                counters.deadlines_missed.increment();
                tracing::info!(%address, "a request was not complete in time: closed");
            }
            End::Malformed(error) => {
                counters.malformed.increment();
                tracing::warn!(%address, %error, "what a peer sent is not understood: closed");
            }
            End::Memory => {
                tracing::warn!(%address, "no memory for the body of a request: closed");
            }
        }
    }

    fn settings(&self) -> &Settings {
        &self.shared.parts.settings
    }

    /// Handles one message or request, from its head to its answer.
    async fn one(&mut self) -> Result<(), End> {
        match self.event().await? {
            Event::Message(head) => self.message(head).await,
            Event::MessageRefused(error) => self.refused(&error).await,
            Event::Request(head) => self.request(head).await,
            // A head comes first: the decoder gives nothing else between two requests.
            Event::Data(_) | Event::End => Ok(()),
        }
    }

    /// The next event. Deadlines run only here, while we wait for the peer, never while the peer
    /// waits for us.
    async fn event(&mut self) -> Result<Event, End> {
        loop {
            match self.wire.decoder.poll().map_err(End::Malformed)? {
                Some(event) => {
                    match event {
                        Event::Data(_) => {}
                        Event::End => self.allowance = self.settings().head_deadline,
                        Event::Message(_) | Event::MessageRefused(_) | Event::Request(_) => {
                            self.allowance = self.settings().body_deadline;
                            self.ticket.now(Doing::Worthy);
                        }
                    }
                    return Ok(event);
                }
                None if self.wire.ended => {
                    return Err(match self.wire.decoder.position() {
                        Position::Between => End::Orderly,
                        Position::Body | Position::Head => End::Gone,
                    });
                }
                None => self.more().await?,
            }
        }
    }

    /// Waits for bytes.
    async fn more(&mut self) -> Result<(), End> {
        let evicted = Arc::clone(&self.evicted);
        if self.wire.decoder.position() == Position::Between {
            let proven = self.facts.identity.is_some();
            self.ticket.now(if proven { Doing::Worthy } else { Doing::IdleUnproven });
            return tokio::select! {
                () = self.wire.fill() => Ok(()),
                () = evicted.notified() => Err(End::Evicted),
                () = told_to_stop(&mut self.stopped) => Err(End::Orderly),
            };
        }
        let began = Instant::now();
        let filled = tokio::select! {
            filled = timeout(self.allowance, self.wire.fill()) => filled.map_err(|_| End::Deadline),
            () = evicted.notified() => Err(End::Evicted),
        };
        self.allowance = self.allowance.saturating_sub(began.elapsed());
        filled
    }

    /// Receives a message, hands it over, answers it.
    async fn message(&mut self, head: MessageHead) -> Result<(), End> {
        let bound = self.bind(&head);
        let mut body = Gathered::default();
        loop {
            match self.event().await? {
                Event::Data(piece) if bound.is_ok() => {
                    let memory = &self.shared.memory;
                    body.add(piece, memory).await.map_err(|_| End::Memory)?;
                }
                // Of a message that is dropped nothing is kept.
                Event::Data(_) => {}
                Event::End => break,
                Event::Message(_) | Event::MessageRefused(_) | Event::Request(_) => break,
            }
        }
        let keep_alive = head.keep_alive;
        let response = match bound {
            Err(refusal) => *refusal,
            Ok(from) => self.deliver(from, head, body).await?,
        };
        self.answered(&response, keep_alive)
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
            match inflate(body, parts.settings.limits.body, &shared.memory).await {
                Ok(inflated) => body = inflated,
                Err(BodyError::Memory) => return Err(End::Memory),
                Err(error) => {
                    parts.counters.messages_malformed.increment();
                    let address = self.facts.address;
                    tracing::warn!(%address, %error, name = head.name, "a message was dropped");
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

    /// Binds the claimed sender of a message, or says how it is refused.
    fn bind(&self, head: &MessageHead) -> Result<BoundPid, Box<Response>> {
        let parts = &self.shared.parts;
        let address = self.facts.address;
        let claimed = match &head.from {
            Ok(claimed) => claimed.clone(),
            Err(error) => {
                parts.counters.messages_malformed.increment();
                tracing::warn!(%address, %error, name = head.name, "a message without sender");
                let text = format!("Failed to read the sender of the message: {error}");
                return Err(Box::new(Response::text(StatusCode::BAD_REQUEST, text)));
            }
        };
        let listener = parts.listeners.at(claimed.0.address);
        bind(claimed, &self.facts, parts.security.binding(), listener.as_ref()).map_err(|error| {
            parts.counters.messages_dropped_unbound.increment();
            tracing::warn!(%address, %error, name = head.name, "a message was dropped");
            Box::new(unbound(&error, &self.facts))
        })
    }

    /// A message without an addressee: its body is skipped, it is answered in its place.
    async fn refused(&mut self, error: &MessageHeadError) -> Result<(), End> {
        while !matches!(self.event().await?, Event::End) {}
        self.shared.parts.counters.messages_malformed.increment();
        let address = self.facts.address;
        tracing::warn!(%address, %error, "a message without addressee");
        let status = match error {
            MessageHeadError::Escape { .. } => StatusCode::INTERNAL_SERVER_ERROR,
            MessageHeadError::Path => StatusCode::BAD_REQUEST,
        };
        self.answered(&Response::text(status, error.to_string()), true)
    }

    fn answered(&mut self, response: &Response, keep_alive: bool) -> Result<(), End> {
        let connected = if keep_alive { Connected::Stay } else { Connected::Close };
        answer(&mut self.wire.out, response, connected);
        if keep_alive { Ok(()) } else { Err(End::Answered) }
    }

    /// Answers an HTTP request.
    async fn request(&mut self, head: RequestHead) -> Result<(), End> {
        self.shared.parts.counters.requests.increment();
        let exchange = Exchange::of(&head);
        let Some(path) = path_of(&head.target) else {
            let text = MessageHeadError::Path.to_string();
            let response = Response::text(StatusCode::BAD_REQUEST, text);
            let complete = self.skip_received();
            return self.respond(response, exchange, complete).await;
        };
        let expects_continue = head.expects_continue();
        let (pieces, receiver) = mpsc::channel(1);
        let wanted = Arc::new(Notify::new());
        let body = Body::new(receiver, Arc::clone(&wanted), Arc::clone(&self.shared.memory));
        let path = path.to_owned();
        let query = query_of(&head.target).to_owned();
        let target = match query.is_empty() {
            true => path.clone(),
            false => format!("{path}?{query}"),
        };
        let RequestHead { method, headers, .. } = head;
        let peer = Arc::clone(&self.facts);
        let request = Request { method, path, query, target, headers, body, peer };

        let shared = Arc::clone(&self.shared);
        let mut answering = pin!(shared.parts.handler.request(request));
        let mut feed = Feed { pieces, wanted, waiting: None, expects_continue, over: None };
        let response = tokio::select! {
            biased;
            response = &mut answering => response,
            () = self.feed(&mut feed) => {
                let Feed { pieces, .. } = &mut feed;
                let (closed, _) = mpsc::channel(1);
                // The handler sees the end of the body.
                drop(std::mem::replace(pieces, closed));
                answering.await
            }
        };
        match feed.over {
            None => {
                let complete = self.skip_received();
                self.respond(response, exchange, complete).await
            }
            Some(Ok(())) => self.respond(response, exchange, true).await,
            Some(Err(End::Gone)) => Err(End::Gone),
            Some(Err(end)) => {
                self.note(&end);
                self.respond(response, exchange, false).await
            }
        }
    }

    /// Passes the body of a request on to its handler, until its end. Cancel-safe: what was
    /// received and not taken stays in `feed`.
    async fn feed(&mut self, feed: &mut Feed) {
        // Who has begun to send does not wait for permission.
        if feed.expects_continue && self.wire.decoder.buffered() == 0 {
            feed.wanted.notified().await;
            feed.expects_continue = false;
            self.wire.out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        while feed.over.is_none() {
            if let Some(piece) = feed.waiting.take() {
                match feed.pieces.reserve().await {
                    Ok(place) => place.send(piece),
                    // Nobody wants it: it is received and thrown away.
                    Err(_) => drop(piece),
                }
            }
            match self.event().await {
                Ok(Event::Data(piece)) => feed.waiting = Some(Ok(piece)),
                Ok(_) => feed.over = Some(Ok(())),
                Err(end) => {
                    let reason = BodyError::Incomplete(end.reason());
                    feed.over = Some(Err(end));
                    if let Ok(place) = feed.pieces.reserve().await {
                        place.send(Err(reason));
                    }
                }
            }
        }
    }

    /// Skips the rest of a body as far as it has been received. Returns whether that is all of it.
    fn skip_received(&mut self) -> bool {
        loop {
            match self.wire.decoder.poll() {
                Ok(Some(Event::Data(_))) => {}
                Ok(Some(_)) => {
                    self.allowance = self.settings().head_deadline;
                    return true;
                }
                Ok(None) | Err(_) => return false,
            }
        }
    }

    /// Writes the answer to a request. `complete`: whether the whole request was received, so
    /// that the next one can be found.
    async fn respond(
        &mut self,
        response: Response,
        exchange: Exchange,
        complete: bool,
    ) -> Result<(), End> {
        let deadline = self.settings().write_deadline;
        let close = response.headers.get(http::header::CONNECTION);
        let close = close.is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"close"));
        let endless = head::length(&response.body).is_none();
        let until_close = endless && exchange.version == Version::Http10;
        let stay = exchange.keep_alive && complete && !close && !until_close;
        let connected = match (stay, exchange.version) {
            (true, Version::Http10) => Connected::StayAndSay,
            (true, Version::Http11) => Connected::Stay,
            (false, _) if close => Connected::Stay,
            (false, _) => Connected::Close,
        };
        let chunked = exchange.version == Version::Http11;
        head::write(&mut self.wire.out, &response, connected, chunked);
        if exchange.method != Method::HEAD {
            match response.body {
                ResponseBody::Empty => {}
                ResponseBody::Full(body) => self.wire.write(&body, deadline).await?,
                ResponseBody::Pieces(pieces) if endless => self.stream(pieces, chunked).await?,
                ResponseBody::Pieces(pieces) => self.sized(pieces).await?,
            }
        }
        self.wire.flush(deadline).await?;
        if stay { Ok(()) } else { Err(End::Answered) }
    }

    /// Writes a body whose length was said in the head.
    async fn sized(&mut self, Pieces(mut pieces): Pieces) -> Result<(), End> {
        let deadline = self.settings().write_deadline;
        let mut left = pieces.size_hint().exact().unwrap_or_default();
        while let Some(frame) = pieces.frame().await {
            let piece = frame.map_err(End::Body)?.into_data().unwrap_or_default();
            left = left
                .checked_sub(piece.len() as u64)
                .ok_or_else(|| End::Body("the body is longer than it said".into()))?;
            self.wire.write(&piece, deadline).await?;
        }
        if left == 0 { Ok(()) } else { Err(End::Body("the body is shorter than it said".into())) }
    }

    /// Writes a body without known length until it is complete or its reader is gone, which is
    /// noticed while nothing is written, too. Dropping `pieces` tells the program.
    async fn stream(&mut self, Pieces(mut pieces): Pieces, chunked: bool) -> Result<(), End> {
        let deadline = self.settings().write_deadline;
        self.wire.flush(deadline).await?;
        loop {
            let frame = tokio::select! {
                frame = pieces.frame() => frame,
                () = watch_for_the_end(&mut self.wire) => return Err(End::Gone),
                () = told_to_stop(&mut self.stopped) => return Err(End::Orderly),
            };
            let Some(frame) = frame else { break };
            let piece = frame.map_err(End::Body)?.into_data().unwrap_or_default();
            if piece.is_empty() {
                continue;
            }
            if chunked {
                self.wire.out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            }
            self.wire.out.extend_from_slice(&piece);
            if chunked {
                self.wire.out.extend_from_slice(b"\r\n");
            }
            self.wire.flush(deadline).await?;
        }
        if chunked {
            self.wire.write(b"0\r\n\r\n", deadline).await?;
        }
        Ok(())
    }
}

/// Returns when the peer has ended the connection. What it sends ahead is kept, up to a bound.
async fn watch_for_the_end(wire: &mut Wire) {
    while !wire.ended && wire.decoder.buffered() < MAX_AHEAD {
        wire.fill().await;
    }
    if !wire.ended {
        std::future::pending::<()>().await;
    }
}

/// The body of a request on its way to the handler.
struct Feed {
    pieces: mpsc::Sender<Result<Bytes, BodyError>>,
    wanted: Arc<Notify>,
    waiting: Option<Result<Bytes, BodyError>>,
    expects_continue: bool,
    /// How the body ended, once it has.
    over: Option<Result<(), End>>,
}

/// What of a request decides about the form of its answer.
#[derive(Clone, Debug)]
struct Exchange {
    method: Method,
    version: Version,
    keep_alive: bool,
}

impl Exchange {
    fn of(head: &RequestHead) -> Self {
        let keep_alive = head.keep_alive();
        Self { method: head.method.clone(), version: head.version, keep_alive }
    }
}

/// What an answer says about the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connected {
    /// It is closed.
    Close,
    /// It stays, as HTTP/1.1 assumes.
    Stay,
    /// It stays, which HTTP/1.0 must be told.
    StayAndSay,
}

/// Appends a short answer.
fn answer(out: &mut BytesMut, response: &Response, connected: Connected) {
    head::write(out, response, connected, true);
    if let ResponseBody::Full(body) = &response.body {
        out.extend_from_slice(body);
    }
}

impl End {
    fn reason(&self) -> String {
        match self {
            Self::Malformed(error) => error.to_string(),
            Self::Deadline => "it took too long".to_owned(),
            Self::Orderly
            | Self::Answered
            | Self::Body(_)
            | Self::Evicted
            | Self::Gone
            | Self::Memory
            | Self::WriteDeadline => "the connection ended".to_owned(),
        }
    }
}

/// The original closes the connection without an answer; people prefer to read why.
fn status_of(error: &DecodeError) -> StatusCode {
    match error {
        DecodeError::BodyTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        DecodeError::HeadTooLarge(_) | DecodeError::TooManyHeaders => {
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
        }
        DecodeError::UnknownCoding => StatusCode::NOT_IMPLEMENTED,
        DecodeError::Chunk(_)
        | DecodeError::Framing(_)
        | DecodeError::Syntax(_)
        | DecodeError::Trailers => StatusCode::BAD_REQUEST,
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
        | BindError::OtherListener { .. } => Response::text(
            StatusCode::FORBIDDEN,
            "The connection does not vouch for the sender of the message",
        ),
    }
}
