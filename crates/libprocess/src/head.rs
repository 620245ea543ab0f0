//! The head of an HTTP request: request line and header fields, checked.

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::decode::DecodeError;

/// The head of one request, syntactically right and with one meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// The method, case-sensitive as sent.
    pub method: Method,
    /// The request target as sent: a path with an optional query, or an absolute URL.
    pub target: String,
    /// The protocol version.
    pub version: Version,
    /// The header fields. A field sent twice is kept twice; [`last`] picks the one that counts.
    pub headers: HeaderMap,
    /// How the body that follows is delimited.
    pub framing: Framing,
}

/// The protocol versions that are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// How the body of a request is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// `Content-Length`, in bytes.
    Length(u64),
    /// Neither: there is no body.
    Nothing,
}

impl RequestHead {
    /// Whether the connection stays open after the answer: HTTP/1.1 unless `Connection: close`,
    /// HTTP/1.0 only with `Connection: keep-alive`.
    #[must_use]
    pub fn keep_alive(&self) -> bool {
        match self.version {
            Version::Http10 => self.has_connection_option("keep-alive"),
            Version::Http11 => !self.has_connection_option("close"),
        }
    }

    /// Whether the client waits for `100 Continue` before it sends the body.
    #[must_use]
    pub fn expects_continue(&self) -> bool {
        self.version == Version::Http11
            && self.framing != Framing::Nothing
            && last(&self.headers, EXPECT)
                .is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"100-continue"))
    }

    fn has_connection_option(&self, option: &str) -> bool {
        self.headers
            .get_all(CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|token| token.trim().eq_ignore_ascii_case(option))
    }

    /// Reads a whole head, from the request line up to and including the empty line.
    pub(crate) fn parse(bytes: &[u8], max_headers: usize) -> Result<Self, DecodeError> {
        let mut fields = vec![httparse::EMPTY_HEADER; max_headers];
        let mut parsed = httparse::Request::new(&mut fields);
        match parsed.parse(bytes) {
            Ok(httparse::Status::Complete(length)) if length == bytes.len() => {}
            Ok(_) => return Err(DecodeError::Syntax("the head is not what its end says")),
            Err(error) => return Err(syntax_error(error)),
        }
        let version = match parsed.version {
            Some(0) => Version::Http10,
            Some(1) => Version::Http11,
            _ => return Err(DecodeError::Syntax("unsupported version of HTTP")),
        };
        let method = Method::from_bytes(parsed.method.unwrap_or_default().as_bytes())
            .map_err(|_| DecodeError::Syntax("invalid method"))?;
        let target = parsed.path.unwrap_or_default().to_owned();
        let mut headers = HeaderMap::with_capacity(parsed.headers.len());
        for field in parsed.headers.iter() {
            let name = HeaderName::from_bytes(field.name.as_bytes())
                .map_err(|_| DecodeError::Syntax("invalid header name"))?;
            let value = HeaderValue::from_bytes(field.value)
                .map_err(|_| DecodeError::Syntax("invalid header value"))?;
            headers.append(name, value);
        }
        let framing = framing(&headers, version)?;
        Ok(Self { method, target, version, headers, framing })
    }
}

/// The value of `name` that counts: the last one.
#[must_use]
pub fn last(headers: &HeaderMap, name: impl http::header::AsHeaderName) -> Option<&HeaderValue> {
    headers.get_all(name).iter().next_back()
}

fn syntax_error(error: httparse::Error) -> DecodeError {
    use httparse::Error;
    match error {
        Error::HeaderName => DecodeError::Syntax("invalid header name"),
        Error::HeaderValue => DecodeError::Syntax("invalid header value"),
        Error::NewLine => DecodeError::Syntax("invalid line end"),
        Error::TooManyHeaders => DecodeError::TooManyHeaders,
        Error::Version => DecodeError::Syntax("unsupported version of HTTP"),
        Error::Status | Error::Token => DecodeError::Syntax("invalid request line"),
    }
}

/// A request whose length could be understood in two ways is refused: that is how requests are
/// smuggled past whoever understands it the other way.
fn framing(headers: &HeaderMap, version: Version) -> Result<Framing, DecodeError> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let length = lengths.next();
    if lengths.next().is_some() {
        return Err(DecodeError::Framing("more than one Content-Length"));
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let coding = codings.next();
    if coding.is_some() && length.is_some() {
        return Err(DecodeError::Framing("Content-Length together with Transfer-Encoding"));
    }
    if let Some(coding) = coding {
        if version == Version::Http10 {
            return Err(DecodeError::Framing("Transfer-Encoding in HTTP/1.0"));
        }
        let chunked = coding.as_bytes().eq_ignore_ascii_case(b"chunked");
        if !chunked || codings.next().is_some() {
            return Err(DecodeError::UnknownCoding);
        }
        return Ok(Framing::Chunked);
    }
    let Some(length) = length else { return Ok(Framing::Nothing) };
    let digits = length.as_bytes();
    if digits.is_empty() || digits.len() > 18 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(DecodeError::Framing("invalid Content-Length"));
    }
    let value = digits.iter().fold(0_u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    Ok(if value == 0 { Framing::Nothing } else { Framing::Length(value) })
}
