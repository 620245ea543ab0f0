//! Joins a [`Site`] with the server that owns the sockets.

use http_body_util::BodyExt;
use transport::server::{self, BodyError, ResponseBody, StreamSender};

use crate::body::Body;
use crate::refusal::Refusal;
use crate::site::{Head, Site};

/// How many pieces of a streamed body wait in the connection. Few: what waits for a subscriber is
/// bounded by its own queue.
const PIECES: usize = 4;

/// Answers one request that a server received.
pub async fn serve<S>(site: &Site<S>, request: server::Request) -> server::Response
where
    S: Send + Sync + 'static,
{
    let server::Request { method, path, query, target, headers, body, peer } = request;
    let limit = site.max_body_bytes;
    // Kept until the answer is there: the body counts against the server's memory.
    let mut share = None;
    let read = async {
        let (bytes, memory) = body.collect(limit).await.map_err(refuse)?;
        share = Some(memory);
        Ok(bytes)
    };
    let head = Head { method, path, query, target, headers, peer };
    let (parts, body) = site.answer(head, read).await.into_parts();
    drop(share);
    let mut headers = parts.headers;
    // The server writes these itself.
    headers.remove(http::header::DATE);
    headers.remove(http::header::CONTENT_LENGTH);
    let body = match body {
        Body::Full(None) => ResponseBody::Empty,
        Body::Full(Some(bytes)) => ResponseBody::Full(bytes),
        streamed => {
            let (response, sender) = server::Response::stream("", PIECES);
            tokio::spawn(pump(streamed, sender));
            response.body
        }
    };
    server::Response { status: parts.status, headers, body }
}

fn refuse(error: BodyError) -> Refusal {
    match error {
        BodyError::TooLarge(_) => Refusal::too_large(error.to_string()),
        BodyError::Memory => Refusal::unavailable(error.to_string()),
        BodyError::Incomplete(_) => Refusal::bad_request(error.to_string()),
    }
}

/// Moves a body into its connection, piece by piece, until either ends.
async fn pump(mut body: Body, sender: StreamSender) {
    loop {
        let frame = tokio::select! {
            frame = body.frame() => frame,
            () = sender.gone() => return,
        };
        match frame {
            Some(Ok(frame)) => {
                let Ok(piece) = frame.into_data() else { continue };
                if sender.send(piece).await.is_err() {
                    return;
                }
            }
            Some(Err(error)) => {
                tracing::warn!(%error, "a streamed answer was broken off");
                return;
            }
            None => return,
        }
    }
}
