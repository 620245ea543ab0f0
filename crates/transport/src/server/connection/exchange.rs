//! HTTP requests and their answers.

use std::pin::pin;
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use futures_util::FutureExt as _;
use http::{Method, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;
use libprocess::decode::Event;
use libprocess::head::{RequestHead, Version};
use libprocess::message::MessageHeadError;
use libprocess::route::{path_of, query_of};
use tokio::sync::{Notify, mpsc};

use super::{Connected, Connection, End};
use crate::server::body::{Body, BodyError};
use crate::server::gathered::Gathered;
use crate::server::output::{A_TURN, Wire};
use crate::server::response::{Pieces, Response, ResponseBody};
use crate::server::{Handler, Request, head, told_to_stop};

/// Bytes that a client may have sent ahead of the end of a streamed answer.
const MAX_AHEAD: usize = 64 * 1024;

impl<H: Handler> Connection<H> {
    /// Answers an HTTP request.
    pub(super) async fn request(&mut self, head: RequestHead) -> Result<(), End> {
        self.shared.parts.counters.requests.increment();
        self.begin()?;
        self.wire.make_room().await?;
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
        let body = Body::new(receiver, Arc::clone(&wanted), self.memory.clone());
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
                ResponseBody::Full(body) => self.wire.write(body).await?,
                ResponseBody::Pieces(pieces) if endless => self.stream(pieces, chunked).await?,
                ResponseBody::Pieces(pieces) => self.sized(pieces).await?,
            }
        }
        self.wire.flush().await?;
        if stay { Ok(()) } else { Err(End::Answered) }
    }

    /// Writes a body whose length was said in the head.
    async fn sized(&mut self, Pieces(mut pieces): Pieces) -> Result<(), End> {
        let mut left = pieces.size_hint().exact().unwrap_or_default();
        let mut waiting = Gathered::default();
        loop {
            // What is there at once is written together.
            let frame = match pieces.frame().now_or_never() {
                Some(frame) => frame,
                None => {
                    self.wire.write(&mut waiting).await?;
                    pieces.frame().await
                }
            };
            let Some(frame) = frame else { break };
            let piece = frame.map_err(End::Body)?.into_data().unwrap_or_default();
            left = left
                .checked_sub(piece.len() as u64)
                .ok_or_else(|| End::Body("the body is longer than it said".into()))?;
            waiting.push(piece);
            if waiting.remaining() >= A_TURN {
                self.wire.write(&mut waiting).await?;
            }
        }
        self.wire.write(&mut waiting).await?;
        if left == 0 { Ok(()) } else { Err(End::Body("the body is shorter than it said".into())) }
    }

    /// Writes a body without known length until it is complete or its reader is gone, which is
    /// noticed while nothing is written, too. Dropping `pieces` tells the program.
    async fn stream(&mut self, Pieces(mut pieces): Pieces, chunked: bool) -> Result<(), End> {
        self.wire.flush().await?;
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
            self.wire.flush().await?;
        }
        if chunked {
            self.wire.write(&b"0\r\n\r\n"[..]).await?;
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
