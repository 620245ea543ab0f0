//! What a handler answers, and how that becomes a response.
//!
//! HEAD is answered like GET; the server keeps the body back. The original sends it, and a client
//! that expects none takes it for the beginning of the next response.

use std::io::Write;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{
    CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, DATE, ETAG, HeaderName,
    IF_NONE_MATCH, VARY,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use crate::body::{Body, FileBody, RopeBody};
use crate::document::Document;
use crate::heavy;
use crate::media::{self, Media};
use crate::refusal::Refusal;
use crate::rope::Weaver;
use crate::stream::Records;

/// Bodies shorter than this are never compressed.
pub const GZIP_FROM_BYTES: usize = 1024;

/// A handler's answer when it does not refuse.
#[derive(Debug)]
pub enum Reply {
    /// 200 without a body.
    Done,
    /// 202 without a body: taken, to be done.
    Accepted,
    /// 202 without a body, and with these headers beyond those that every response has.
    AcceptedWith(Vec<(HeaderName, HeaderValue)>),
    /// 200 with JSON; may be wrapped by `jsonp`.
    Json(Bytes),
    /// 200 with a long answer, or 304 if the caller has it.
    Document {
        /// Its form. JSON that is marked may be wrapped by `jsonp`.
        media: Media,
        /// The answer. If the caller takes gzip, its compressed form should have been made where
        /// that holds nobody up.
        document: Arc<Document>,
        /// Whether its mark is the caller's business: for what was asked for with GET.
        conditional: bool,
    },
    /// 200 with a message in the form that was negotiated.
    Message(Media, Bytes),
    /// 200 with text of a type.
    Text(&'static str, String),
    /// 200 with records until the stream ends. The type is that of the messages; the framing is
    /// implied.
    Stream {
        /// The form of each record.
        media: Media,
        /// Headers beyond those that every response has.
        headers: Vec<(HeaderName, HeaderValue)>,
        /// The records.
        records: Records,
    },
    /// 200 with a file to keep.
    File {
        /// The name to keep it under.
        name: String,
        /// The content.
        content: FileBody,
        /// Its length in bytes.
        length: u64,
    },
}

/// A handler's result.
pub type Answer = Result<Reply, Refusal>;

/// Turns an answer into a response. `callback` is the `jsonp` parameter, checked already.
pub(crate) fn respond(
    answer: Answer,
    request: &HeaderMap,
    callback: Option<&str>,
) -> Response<Body> {
    let mut headers = HeaderMap::new();
    headers.insert(DATE, date());
    let (status, body) = match answer {
        Ok(Reply::Done) => (StatusCode::OK, Body::empty()),
        Ok(Reply::Accepted) => (StatusCode::ACCEPTED, Body::empty()),
        Ok(Reply::AcceptedWith(more)) => {
            headers.extend(more);
            (StatusCode::ACCEPTED, Body::empty())
        }
        Ok(Reply::Json(json)) => match callback {
            None => full(&mut headers, request, media::JSON, json),
            Some(name) => {
                let mut script = Vec::with_capacity(json.len() + name.len() + 2);
                script.extend_from_slice(name.as_bytes());
                script.push(b'(');
                script.extend_from_slice(&json);
                script.push(b')');
                full(&mut headers, request, "text/javascript", script.into())
            }
        },
        Ok(Reply::Document { document, conditional: true, .. })
            if is_known(request, document.mark()) =>
        {
            describe(&mut headers, &document, false);
            (StatusCode::NOT_MODIFIED, Body::empty())
        }
        Ok(Reply::Document { media, document, conditional }) => match callback {
            Some(name) if conditional => {
                let mut script = Weaver::default();
                script.text(name.as_bytes());
                script.text(b"(");
                script.rope(document.rope());
                script.text(b")");
                let script = Document::new(script.finish());
                whole(&mut headers, request, "text/javascript", &script, false)
            }
            _ => whole(&mut headers, request, media.name(), &document, conditional),
        },
        Ok(Reply::Message(form, bytes)) => full(&mut headers, request, form.name(), bytes),
        Ok(Reply::Text(name, text)) => full(&mut headers, request, name, text.into()),
        Ok(Reply::Stream { media, headers: more, records }) => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(media.name()));
            headers.extend(more);
            (StatusCode::OK, Body::Records(records))
        }
        Ok(Reply::File { name, content, length }) => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
            headers.insert(CONTENT_DISPOSITION, attachment(&name));
            (StatusCode::OK, Body::File(content))
        }
        Err(refusal) => {
            headers.extend(refusal.headers().iter().cloned());
            match refusal.text() {
                Some(text) => {
                    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media::TEXT));
                    (refusal.status(), Body::full(text))
                }
                None => (refusal.status(), Body::empty()),
            }
        }
    };
    if let Some(length) = body.known_length() {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Whether the caller says that it has what bears this mark, compressed or not.
fn is_known(request: &HeaderMap, mark: Option<&str>) -> bool {
    let Some(mark) = mark else { return false };
    let values = request.get_all(IF_NONE_MATCH).into_iter().filter_map(|v| v.to_str().ok());
    let mut tags = values.flat_map(|value| value.split(',')).map(str::trim);
    tags.any(|tag| {
        let tag = tag.strip_prefix("W/").unwrap_or(tag);
        let own = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
        let own = own.map(|tag| tag.strip_suffix(PACKED).unwrap_or(tag));
        tag == "*" || own == Some(mark)
    })
}

/// What the mark of a compressed body ends with.
const PACKED: &str = "-gzip";

fn describe(headers: &mut HeaderMap, document: &Document, packed: bool) {
    let Some(mark) = document.mark() else { return };
    let suffix = if packed { PACKED } else { "" };
    if let Ok(tag) = HeaderValue::try_from(format!("\"{mark}{suffix}\"")) {
        headers.insert(ETAG, tag);
    }
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
}

fn whole(
    headers: &mut HeaderMap,
    request: &HeaderMap,
    name: &'static str,
    document: &Document,
    conditional: bool,
) -> (StatusCode, Body) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(name));
    let rope = document.rope();
    let packed = (rope.len() >= GZIP_FROM_BYTES && media::accepts_gzip(request))
        .then(|| heavy::run(rope.len(), || document.packed()))
        .flatten();
    if conditional {
        describe(headers, document, packed.is_some());
    }
    if packed.is_some() {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    (StatusCode::OK, Body::Rope(RopeBody::new(packed.unwrap_or(rope))))
}

fn full(
    headers: &mut HeaderMap,
    request: &HeaderMap,
    name: &'static str,
    bytes: Bytes,
) -> (StatusCode, Body) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(name));
    if bytes.len() >= GZIP_FROM_BYTES
        && media::accepts_gzip(request)
        && let Ok(packed) = heavy::run(bytes.len(), || gzip(&bytes))
    {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
        return (StatusCode::OK, Body::full(packed));
    }
    (StatusCode::OK, Body::full(bytes))
}

/// Writing to memory does not fail; if it ever did, the caller sends the bytes as they are.
fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let packed = Vec::with_capacity(bytes.len() / 4);
    let mut encoder = flate2::write::GzEncoder::new(packed, flate2::Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish()
}

fn date() -> HeaderValue {
    HeaderValue::try_from(httpdate::fmt_http_date(SystemTime::now()))
        .unwrap_or(HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"))
}

/// The name is a file's, so it may hold anything: what is not plain is replaced.
fn attachment(name: &str) -> HeaderValue {
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | ';') || c == ' ';
    let name: String = name.chars().map(|c| if plain(c) { c } else { '_' }).collect();
    HeaderValue::try_from(format!("attachment; filename=\"{name}\""))
        .unwrap_or(HeaderValue::from_static("attachment"))
}
