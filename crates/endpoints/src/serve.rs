//! Joins a [`Site`] with the server that owns the sockets.

use transport::server::{self, BodyError};

use crate::refusal::Refusal;
use crate::site::{Head, Site};

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
    let response = site.answer(head, read).await;
    drop(share);
    response.into()
}

fn refuse(error: BodyError) -> Refusal {
    match error {
        BodyError::TooLarge(_) => Refusal::too_large(error.to_string()),
        BodyError::Memory => Refusal::unavailable(error.to_string()),
        BodyError::Incomplete(_) => Refusal::bad_request(error.to_string()),
    }
}
