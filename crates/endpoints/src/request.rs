//! A request after routing: what a handler gets to see.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, Method};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::access::Caller;
use crate::path::Path;
use crate::query::Query;
use crate::refusal::Refusal;

/// A request whose caller was judged, whose path was normalized and whose body is whole.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method, already one of the route's.
    pub method: Method,
    /// The path, with the actor that serves it as first segment.
    pub path: Path,
    /// What follows the route's own path.
    pub rest: Vec<String>,
    /// The query.
    pub query: Query,
    /// All headers.
    pub headers: HeaderMap,
    /// The body, inflated if it came compressed.
    pub body: Bytes,
    /// Who calls.
    pub caller: Caller,
    /// The target as it was sent, path and query, for redirects and logs.
    pub target: String,
}

impl Request {
    /// The value of a header as text, if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }
}

/// How many compressed bodies of the largest size may be in memory inflated, at a time.
const LARGEST_AT_A_TIME: usize = 4;

/// How long a compressed body waits for memory to be inflated into.
const MEMORY_WAIT: Duration = Duration::from_secs(10);

/// Inflates bodies, within memory that all of them share.
#[derive(Debug)]
pub(crate) struct Inflater {
    /// The longest inflated body, in bytes.
    limit: usize,
    /// Bytes that inflated bodies may still take.
    memory: Arc<Semaphore>,
}

/// The memory that an inflated body takes, until this is dropped. None if it came as it is.
#[derive(Debug)]
pub(crate) struct Share(#[expect(dead_code, reason = "held")] Option<OwnedSemaphorePermit>);

impl Inflater {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, memory: Arc::new(Semaphore::new(limit * LARGEST_AT_A_TIME)) }
    }

    /// The contents of a body, inflated if it was sent with `Content-Encoding: gzip`.
    pub(crate) async fn contents(
        &self,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<(Bytes, Share), Refusal> {
        match headers.get(CONTENT_ENCODING).map(http::HeaderValue::as_bytes) {
            None | Some(b"") | Some(b"identity") => return Ok((body, Share(None))),
            Some(b"gzip") => {}
            Some(_) => {
                let text = "Expecting 'Content-Encoding' of gzip or none";
                return Err(Refusal::unsupported_media_type(text));
            }
        }
        // How long it will be is not known: what it may be is asked for, and the rest given back.
        let most = u32::try_from(self.limit).unwrap_or(u32::MAX);
        let waiting = Arc::clone(&self.memory).acquire_many_owned(most);
        let Ok(Ok(mut share)) = tokio::time::timeout(MEMORY_WAIT, waiting).await else {
            return Err(Refusal::unavailable("No memory to decompress the body right now"));
        };
        let limit = self.limit;
        let inflating = tokio::task::spawn_blocking(move || inflate(&body, limit));
        let inflated = inflating
            .await
            .map_err(|e| Refusal::internal(format!("a body was not inflated: {e}")))??;
        drop(share.split(limit - inflated.len()));
        Ok((inflated, Share(Some(share))))
    }
}

/// Inflates up to `limit` bytes.
fn inflate(body: &[u8], limit: usize) -> Result<Bytes, Refusal> {
    let mut inflated = Vec::new();
    let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    flate2::read::GzDecoder::new(body)
        .take(bound)
        .read_to_end(&mut inflated)
        .map_err(|e| Refusal::bad_request(format!("Failed to decompress body: {e}")))?;
    if inflated.len() > limit {
        return Err(Refusal::too_large(format!(
            "Expecting a body of at most {limit} bytes after decompression"
        )));
    }
    // What the buffer grew to is not counted: what it holds is.
    inflated.shrink_to_fit();
    Ok(inflated.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1024;

    fn pack(bytes: &[u8]) -> Bytes {
        let mut packed = Vec::new();
        flate2::read::GzEncoder::new(bytes, flate2::Compression::best())
            .read_to_end(&mut packed)
            .unwrap();
        packed.into()
    }

    #[tokio::test(start_paused = true)]
    async fn inflated_bodies_share_memory_until_they_are_answered() {
        let headers = HeaderMap::from_iter([(CONTENT_ENCODING, "gzip".parse().unwrap())]);
        let inflater = Inflater::new(LIMIT);
        let mut held = Vec::new();
        // A small one takes what it holds, not what it might have become.
        for _ in 0..2 {
            held.push(inflater.contents(&headers, pack(&[0; 10])).await.unwrap());
        }
        for _ in 0..3 {
            held.push(inflater.contents(&headers, pack(&[0; LIMIT])).await.unwrap());
        }
        let full = inflater.contents(&headers, pack(&[0; LIMIT])).await.unwrap_err();
        assert_eq!(full.status(), 503);
        // What is not compressed is somebody else's memory.
        inflater.contents(&HeaderMap::new(), pack(&[0; LIMIT])).await.unwrap();
        held.clear();
        inflater.contents(&headers, pack(&[0; LIMIT])).await.unwrap();
        let bomb = inflater.contents(&headers, pack(&[0; LIMIT + 1])).await.unwrap_err();
        assert_eq!(bomb.status(), 413);
        assert_eq!(inflater.memory.available_permits(), LIMIT * LARGEST_AT_A_TIME);
    }
}
