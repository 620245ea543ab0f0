//! What a body is, and what the caller can read.

use http::HeaderMap;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE};

use crate::refusal::Refusal;

/// The forms in which calls, responses and events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Media {
    /// `application/json`
    Json,
    /// `application/x-protobuf`
    Protobuf,
}

/// `application/json`
pub const JSON: &str = "application/json";
/// `application/x-protobuf`
pub const PROTOBUF: &str = "application/x-protobuf";
/// `text/plain; charset=utf-8`
pub const TEXT: &str = "text/plain; charset=utf-8";

impl Media {
    /// The name in `Content-Type`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => JSON,
            Self::Protobuf => PROTOBUF,
        }
    }
}

/// What the body of a call is. The comparison is exact, as the original's:
/// `application/json; charset=utf-8` is unsupported.
pub fn content_type(headers: &HeaderMap) -> Result<Media, Refusal> {
    let value = headers
        .get(CONTENT_TYPE)
        .ok_or_else(|| Refusal::bad_request("Expecting 'Content-Type' to be present"))?;
    match value.as_bytes() {
        v if v == JSON.as_bytes() => Ok(Media::Json),
        v if v == PROTOBUF.as_bytes() => Ok(Media::Protobuf),
        _ => Err(Refusal::unsupported_media_type(format!(
            "Expecting 'Content-Type' of {JSON} or {PROTOBUF}"
        ))),
    }
}

/// What to answer with: JSON if the caller takes it, else protobuf.
pub fn accept(headers: &HeaderMap) -> Result<Media, Refusal> {
    [Media::Json, Media::Protobuf]
        .into_iter()
        .find(|media| accepts(headers, media.name()))
        .ok_or_else(|| {
            Refusal::not_acceptable(format!("Expecting 'Accept' to allow '{PROTOBUF}' or '{JSON}'"))
        })
}

/// Whether the caller takes `media_type`. No or an empty `Accept` takes everything.
#[must_use]
pub fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    let wanted = listed(headers, &ACCEPT);
    if wanted.is_empty() {
        return true;
    }
    let (family, _) = media_type.split_once('/').unwrap_or((media_type, ""));
    wanted.iter().any(|(name, refused)| {
        let names = name == media_type
            || name == "*/*"
            || name.strip_suffix("/*").is_some_and(|f| f == family);
        names && !refused
    })
}

/// Whether the caller takes gzip: named, or covered by `*`, and not with `q=0`.
#[must_use]
pub fn accepts_gzip(headers: &HeaderMap) -> bool {
    let codings = listed(headers, &ACCEPT_ENCODING);
    let find = |name: &str| codings.iter().find(|(n, _)| n == name).map(|(_, refused)| !refused);
    find("gzip").or_else(|| find("*")).unwrap_or(false)
}

/// The elements of a list header in lower case, and whether each is refused by `q=0`.
fn listed(headers: &HeaderMap, name: &http::HeaderName) -> Vec<(String, bool)> {
    let values = headers.get_all(name).into_iter().filter_map(|v| v.to_str().ok());
    values
        .flat_map(|v| v.split(','))
        .filter_map(|element| {
            let mut parts = element.split(';').map(str::trim);
            let name = parts.next().filter(|n| !n.is_empty())?.to_ascii_lowercase();
            let refused = parts.any(|p| {
                p.split_once('=').is_some_and(|(k, v)| {
                    k.trim().eq_ignore_ascii_case("q") && v.trim().parse::<f64>() == Ok(0.0)
                })
            });
            Some((name, refused))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue, StatusCode};

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn json_is_preferred_whatever_the_order() {
        let accepted = |v: &str| accept(&headers(ACCEPT, v));
        assert_eq!(accept(&HeaderMap::new()), Ok(Media::Json));
        assert_eq!(accepted(""), Ok(Media::Json));
        assert_eq!(accepted("application/x-protobuf, application/json"), Ok(Media::Json));
        assert_eq!(accepted("application/x-protobuf"), Ok(Media::Protobuf));
        assert_eq!(accepted("application/*;q=0.1"), Ok(Media::Json));
        assert_eq!(accepted("*/*"), Ok(Media::Json));
        assert_eq!(accepted("application/json;q=0, application/x-protobuf"), Ok(Media::Protobuf));
        let refused = accepted("text/html").unwrap_err();
        assert_eq!(refused.status(), StatusCode::NOT_ACCEPTABLE);
        assert_eq!(
            refused.text().unwrap(),
            "Expecting 'Accept' to allow 'application/x-protobuf' or 'application/json'"
        );
    }

    #[test]
    fn content_types_are_compared_exactly() {
        let typed = |v: &str| content_type(&headers(CONTENT_TYPE, v));
        assert_eq!(typed("application/json"), Ok(Media::Json));
        assert_eq!(typed("application/x-protobuf"), Ok(Media::Protobuf));
        for bad in ["application/json; charset=utf-8", "Application/JSON", "text/plain", ""] {
            assert_eq!(
                typed(bad).unwrap_err().status(),
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "{bad}"
            );
        }
        let missing = content_type(&HeaderMap::new()).unwrap_err();
        assert_eq!(missing.status(), StatusCode::BAD_REQUEST);
        assert_eq!(missing.text().unwrap(), "Expecting 'Content-Type' to be present");
    }

    #[test]
    fn gzip_is_used_when_named_and_not_refused() {
        let gzip = |v: &str| accepts_gzip(&headers(ACCEPT_ENCODING, v));
        assert!(!accepts_gzip(&HeaderMap::new()));
        assert!(gzip("gzip"));
        assert!(gzip("deflate, gzip;q=0.5"));
        assert!(gzip("*"));
        assert!(!gzip("gzip;q=0"));
        assert!(!gzip("gzip;q=0.000, *"));
        assert!(!gzip("identity"));
    }
}
