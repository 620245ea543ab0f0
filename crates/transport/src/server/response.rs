//! The answer to a request.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use tokio::sync::mpsc;

/// The answer to a request. `Date`, `Content-Length` and `Transfer-Encoding` are put in by the
/// server.
#[derive(Debug)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The other header fields, in the order in which they are written.
    pub headers: HeaderMap,
    /// The body.
    pub body: ResponseBody,
}

/// The body of an answer.
#[derive(Debug)]
pub enum ResponseBody {
    /// Nothing; `Content-Length: 0`.
    Empty,
    /// All of it.
    Full(Bytes),
    /// Piece by piece. With an exact size hint it is sent under that `Content-Length`, otherwise
    /// each piece as one chunk, and then it is dropped as soon as its reader is gone. An error
    /// closes the connection, so that the reader sees that the end is not the end.
    Pieces(Pieces),
}

/// A body that comes piece by piece.
pub struct Pieces(pub(super) UnsyncBoxBody<Bytes, PiecesError>);

/// Why a body does not come to its end; for the log.
pub type PiecesError = Box<dyn std::error::Error + Send + Sync>;

impl fmt::Debug for Pieces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pieces").field(&self.0.size_hint()).finish()
    }
}

impl<B> From<http::Response<B>> for Response
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<PiecesError>,
{
    fn from(response: http::Response<B>) -> Self {
        let (head, body) = response.into_parts();
        let body = match body.size_hint().exact() {
            Some(0) => ResponseBody::Empty,
            _ => ResponseBody::Pieces(Pieces(body.map_err(Into::into).boxed_unsync())),
        };
        Self { status: head.status, headers: head.headers, body }
    }
}

impl Response {
    /// An answer without a body.
    #[must_use]
    pub fn new(status: StatusCode) -> Self {
        Self { status, headers: HeaderMap::new(), body: ResponseBody::Empty }
    }

    /// An answer with a text, `text/plain; charset=utf-8`.
    #[must_use]
    pub fn text(status: StatusCode, text: impl Into<Bytes>) -> Self {
        let body = ResponseBody::Full(text.into());
        Self { body, ..Self::new(status) }.with_type("text/plain; charset=utf-8")
    }

    /// The original's answer to what has none: the status and its reason as a text, for example
    /// `404 Not Found.`
    #[must_use]
    pub fn status_text(status: StatusCode) -> Self {
        let reason = status.canonical_reason().unwrap_or_default();
        Self::text(status, format!("{} {reason}.", status.as_u16()))
    }

    /// `200 OK` with a body.
    #[must_use]
    pub fn ok(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let body = ResponseBody::Full(body.into());
        Self { body, ..Self::new(StatusCode::OK) }.with_type(content_type)
    }

    /// `200 OK` with a body that is sent piece by piece, and where to put the pieces. At most
    /// `waiting` pieces wait for a slow reader.
    #[must_use]
    pub fn stream(content_type: &'static str, waiting: usize) -> (Self, StreamSender) {
        let (sender, receiver) = mpsc::channel(waiting.max(1));
        let pieces = Received(receiver).map_err(|never| match never {}).boxed_unsync();
        let body = ResponseBody::Pieces(Pieces(pieces));
        let response = Self { body, ..Self::new(StatusCode::OK) }.with_type(content_type);
        (response, StreamSender(sender))
    }

    /// With one more header field.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    fn with_type(self, content_type: &'static str) -> Self {
        self.with_header(header::CONTENT_TYPE, HeaderValue::from_static(content_type))
    }
}

/// Where the pieces of a streamed answer are put. Dropping all clones ends the answer; the reader
/// then sees that it is complete.
#[derive(Clone, Debug)]
pub struct StreamSender(mpsc::Sender<Bytes>);

/// Why a piece of a streamed answer was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The reader is gone.
    #[error("the reader is gone")]
    Gone,
    /// The reader is so slow that too many pieces wait for it.
    #[error("the reader is too slow")]
    Slow,
}

impl StreamSender {
    /// Puts a piece without waiting. Empty pieces are nothing.
    pub fn try_send(&self, piece: Bytes) -> Result<(), StreamError> {
        self.0.try_send(piece).map_err(|error| match error {
            mpsc::error::TrySendError::Closed(_) => StreamError::Gone,
            mpsc::error::TrySendError::Full(_) => StreamError::Slow,
        })
    }

    /// Puts a piece, waiting while the reader is slow.
    pub async fn send(&self, piece: Bytes) -> Result<(), StreamError> {
        self.0.send(piece).await.map_err(|_| StreamError::Gone)
    }

    /// Waits until the reader is gone.
    pub async fn gone(&self) {
        self.0.closed().await;
    }

    /// Whether the reader is gone.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.0.is_closed()
    }
}

/// What a [`StreamSender`] gives.
struct Received(mpsc::Receiver<Bytes>);

impl Body for Received {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}
