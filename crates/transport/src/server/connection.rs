//! Serving one connection: what arrives is handled in order, and answered in order.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use http::StatusCode;
use libprocess::decode::{DecodeError, Decoder, Event, Position};
use libprocess::sender::PeerFacts;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::gate::{Doing, PlaceLost, Ticket};
use super::memory::{MemoryShare, PeerMemory};
use super::output::{Wire, WriteFailure};
use super::response::{PiecesError, Response, ResponseBody};
use super::{Handler, Settings, Shared, head, told_to_stop};
use crate::seldom;
use crate::sessions::Ties;
use crate::stream::Stream;

mod exchange;
mod message;

/// One connection after its handshake.
pub(super) struct Connection<H> {
    wire: Wire,
    facts: Arc<PeerFacts>,
    shared: Arc<Shared<H>>,
    memory: PeerMemory,
    /// For a large head that has not come to its end.
    head_memory: MemoryShare,
    ticket: Ticket,
    evicted: Arc<Notify>,
    stopped: watch::Receiver<bool>,
    /// Whether a message of a bound sender came over it: a peer that may leave its answers unread.
    speaks: bool,
    /// The sessions that it belongs to.
    ties: Ties,
    /// What is left of the deadline of the head or body that is being received.
    allowance: Duration,
}

/// A head longer than this takes a share of the memory until it is complete. Ordinary ones are far
/// shorter.
const SMALL_HEAD: usize = 8 * 1024;

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
    /// The peer sends TLS records without end that carry nothing.
    Flood,
    /// The peer disappeared in the middle of something.
    Gone,
    /// What was received means nothing.
    Malformed(DecodeError),
    /// It would be a TLS handshake, and this is a plain connection.
    Tls,
    /// There was no memory for a body.
    Memory,
    /// The peer takes its answers too slowly.
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

impl<H: Handler> Connection<H> {
    pub(super) fn new(
        stream: Stream,
        facts: PeerFacts,
        shared: Arc<Shared<H>>,
        ticket: Ticket,
    ) -> Self {
        let settings = &shared.parts.settings;
        let facts = Arc::new(facts);
        let certificates = shared.parts.security.asks_for_certificates();
        let sessions = Arc::clone(&shared.parts.sessions);
        Self {
            ties: Ties::new(sessions, Arc::clone(&facts), certificates),
            wire: Wire::new(stream, Decoder::new(settings.limits), settings.pace),
            memory: shared.memory.of(&facts),
            head_memory: MemoryShare::default(),
            evicted: ticket.end(),
            stopped: shared.stopped.clone(),
            facts,
            speaks: false,
            allowance: settings.head_deadline,
            ticket,
            shared,
        }
    }

    /// Serves until the end.
    pub(super) async fn run(mut self: Box<Self>) {
        let end = loop {
            if let Err(end) = self.one().await {
                break end;
            }
        };
        Box::pin(self.finish(end)).await;
    }

    async fn finish(self: Box<Self>, end: End) {
        self.note(&end);
        let farewell = match &end {
            End::Orderly | End::Answered | End::Body(_) | End::Gone => None,
            End::Evicted | End::Flood | End::WriteDeadline => return,
            End::Deadline => {
                Some((StatusCode::REQUEST_TIMEOUT, "The request took too long".into()))
            }
            End::Malformed(error) => Some((status_of(error), error.to_string())),
            // Whoever may do without TLS learns at once that it must.
            End::Tls => {
                Some((StatusCode::BAD_REQUEST, "This port does not speak TLS: use http.".into()))
            }
            End::Memory => {
                Some((StatusCode::SERVICE_UNAVAILABLE, "Too many requests at once".into()))
            }
        };
        let proven = self.is_proven();
        let Self { mut wire, mut ticket, evicted, .. } = *self;
        if !proven && ticket.now(Doing::IdleUnproven).is_err() {
            return;
        }
        let closing = async {
            if let Some((status, text)) = farewell {
                if wire.make_room().await.is_err() {
                    return;
                }
                answer(&mut wire.out, &Response::text(status, text), Connected::Close);
            }
            wire.close().await;
        };
        tokio::select! {
            () = closing => {}
            () = evicted.notified() => {}
        }
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
                seldom!(info, %address, %error, "an answer did not come to its end: closed");
            }
            End::Evicted => {
                seldom!(info, %address, "an idle connection was closed to make room");
            }
            End::Flood => {
                counters.malformed.increment();
                seldom!(warn, %address, "a peer sends TLS records that carry nothing: closed");
            }
            End::WriteDeadline => {
                counters.deadlines_missed.increment();
                seldom!(info, %address, "a peer takes its answers too slowly: closed");
            }
            End::Deadline => {
                counters.deadlines_missed.increment();
                seldom!(info, %address, "a request was not complete in time: closed");
            }
            End::Malformed(error) => {
                counters.malformed.increment();
                seldom!(warn, %address, %error, "what a peer sent is not understood: closed");
            }
            End::Tls => {
                counters.malformed.increment();
                seldom!(info, %address, "a peer tried TLS, which this port does not speak: closed");
            }
            End::Memory => {
                seldom!(warn, %address, "no memory for the body of a request: closed");
            }
        }
    }

    /// Whether the peer has proven who it is.
    fn is_proven(&self) -> bool {
        self.facts.certified
    }

    /// Says that the connection is at something that is not interrupted.
    fn begin(&mut self) -> Result<(), End> {
        self.ticket.now(Doing::Worthy).map_err(|PlaceLost| End::Evicted)
    }

    fn settings(&self) -> &Settings {
        &self.shared.parts.settings
    }

    /// Handles one message or request, from its head to its answer.
    async fn one(&mut self) -> Result<(), End> {
        let event = self.event().await?;
        self.work(event).await
    }

    /// What follows an event. It is on the heap, and only while it runs: what a program does with
    /// a message or a request can be large, and every idle connection would have its size.
    fn work(&mut self, event: Event) -> Pin<Box<dyn Future<Output = Result<(), End>> + Send + '_>> {
        match event {
            Event::Message(head) => Box::pin(self.message(head)),
            Event::MessageRefused(error) => Box::pin(self.refused(error)),
            Event::Request(head) => Box::pin(self.request(head)),
            // A head comes first: the decoder gives nothing else between two requests.
            Event::Data(_) | Event::End => Box::pin(std::future::ready(Ok(()))),
        }
    }

    /// The next event. Deadlines run only here, while we wait for the peer, never while the peer
    /// waits for us.
    async fn event(&mut self) -> Result<Event, End> {
        loop {
            if let Some(event) = self.received()? {
                return Ok(event);
            }
            self.more().await?;
        }
    }

    /// The next event, if it was received whole.
    fn received(&mut self) -> Result<Option<Event>, End> {
        let first = self.wire.decoder.buffer().first().copied();
        match self.wire.decoder.poll().map_err(|error| self.malformed(error, first))? {
            Some(event) => {
                match event {
                    Event::Data(_) => {}
                    Event::End => self.allowance = self.settings().head_deadline,
                    Event::Message(_) | Event::MessageRefused(_) | Event::Request(_) => {
                        self.allowance = self.settings().body_deadline;
                    }
                }
                self.head_memory = MemoryShare::default();
                Ok(Some(event))
            }
            None if self.wire.floods => Err(End::Flood),
            None if self.wire.ended => Err(match self.wire.decoder.position() {
                Position::Between => End::Orderly,
                Position::Body | Position::Head => End::Gone,
            }),
            None => Ok(None),
        }
    }

    /// Why the connection ends when what was received, with this byte first, means nothing.
    fn malformed(&self, error: DecodeError, first: Option<u8>) -> End {
        const HANDSHAKE_RECORD: u8 = 0x16;
        if first == Some(HANDSHAKE_RECORD) && !self.facts.encrypted {
            End::Tls
        } else {
            End::Malformed(error)
        }
    }

    /// Waits for bytes.
    async fn more(&mut self) -> Result<(), End> {
        let position = self.wire.decoder.position();
        if position == Position::Head
            && self.head_memory.is_empty()
            && self.wire.decoder.buffered() > SMALL_HEAD
        {
            let most = self.settings().limits.head;
            let taking = self.memory.take(most, &mut self.head_memory);
            Box::pin(taking).await.map_err(|_| End::Memory)?;
        }
        if position != Position::Body {
            let doing = match (self.is_proven(), self.speaks) {
                (true, _) => Doing::Worthy,
                (false, true) => Doing::IdleHeard,
                (false, false) => Doing::IdleUnproven,
            };
            self.ticket.now(doing).map_err(|PlaceLost| End::Evicted)?;
        }
        // Who speaks for a component may leave its answers unread: they are not kept, but counted.
        let late = if self.speaks { None } else { self.wire.must_take_until() };
        let filled = match (position, late) {
            (Position::Between, None) => tokio::select! {
                biased;
                () = self.evicted.notified() => Err(End::Evicted),
                () = told_to_stop(&mut self.stopped) => Err(End::Orderly),
                () = self.wire.fill() => Ok(()),
            },
            // On the heap, so that idle connections do not have the size of its timers.
            _ => Box::pin(self.more_in_time(position == Position::Between, late)).await,
        };
        if filled.is_ok() && !self.speaks && self.wire.is_stuck() {
            return Err(End::WriteDeadline);
        }
        filled
    }

    /// Waits for bytes, but for no longer than the peer has for a head or a body, nor, if it is
    /// `late`, for its answers.
    async fn more_in_time(&mut self, idle: bool, late: Option<Instant>) -> Result<(), End> {
        let began = Instant::now();
        let filled = tokio::select! {
            biased;
            () = self.evicted.notified() => Err(End::Evicted),
            () = told_to_stop(&mut self.stopped), if idle => Err(End::Orderly),
            () = self.wire.fill() => Ok(()),
            () = sleep(self.allowance), if !idle => Err(End::Deadline),
            () = sleep_until(late.unwrap_or(began)), if late.is_some() => Ok(()),
        };
        if !idle {
            self.allowance = self.allowance.saturating_sub(began.elapsed());
        }
        filled
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
            | Self::Flood
            | Self::Gone
            | Self::Memory
            | Self::Tls
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
