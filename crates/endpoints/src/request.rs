//! A request after routing: what a handler gets to see.

use std::io::Read;

use bytes::Bytes;
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, Method};

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

/// Inflates a body sent with `Content-Encoding: gzip`, up to `limit` bytes.
pub(crate) fn inflate(headers: &HeaderMap, body: Bytes, limit: usize) -> Result<Bytes, Refusal> {
    match headers.get(CONTENT_ENCODING).map(http::HeaderValue::as_bytes) {
        None | Some(b"") | Some(b"identity") => Ok(body),
        Some(b"gzip") => {
            let mut inflated = Vec::new();
            let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
            flate2::read::GzDecoder::new(&body[..])
                .take(bound)
                .read_to_end(&mut inflated)
                .map_err(|e| Refusal::bad_request(format!("Failed to decompress body: {e}")))?;
            if inflated.len() > limit {
                return Err(Refusal::too_large(format!(
                    "Expecting a body of at most {limit} bytes after decompression"
                )));
            }
            Ok(inflated.into())
        }
        Some(_) => {
            Err(Refusal::unsupported_media_type("Expecting 'Content-Encoding' of gzip or none"))
        }
    }
}
