//! Why a request was not answered, as a value. Nothing else in this crate knows status codes of
//! errors.

use std::fmt;
use std::time::Duration;

use http::header::{ALLOW, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Method, StatusCode};

use crate::access::Realm;

/// A request refused: the status, the text the caller gets, and what only the log is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    status: StatusCode,
    text: Text,
    headers: Vec<(HeaderName, HeaderValue)>,
    reason: Option<String>,
}

/// The body of a refusal. It never ends in a newline.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Text {
    /// `<code> <reason phrase>.`
    Default,
    /// These words.
    Words(String),
    /// Of type text, with nothing in it.
    Blank,
    /// No body and no type at all.
    Absent,
}

impl Refusal {
    fn new(status: StatusCode, text: Text) -> Self {
        Self { status, text, headers: Vec::new(), reason: None }
    }

    /// 400: the request cannot mean anything. `text` says what was expected.
    #[must_use]
    pub fn bad_request(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Text::Words(text.into()))
    }

    /// 401 with a challenge. A client certificate is no HTTP scheme, so the challenge has a name
    /// of ours; what matters is that it names the realm.
    #[must_use]
    pub fn unauthorized(realm: Realm) -> Self {
        let challenge = match realm {
            Realm::AgentExecutor => {
                HeaderValue::from_static("Bearer realm=\"mesos-agent-executor\"")
            }
            other => HeaderValue::try_from(format!("ClientCertificate realm=\"{}\"", other.name()))
                .unwrap_or(HeaderValue::from_static("ClientCertificate")),
        };
        Self::new(StatusCode::UNAUTHORIZED, Text::Default).with_header(WWW_AUTHENTICATE, challenge)
    }

    /// 401 with a challenge and the reason: the realm asks for a client certificate, and there is
    /// none. Who is no stranger to the handshake learns how to come in, and nothing about what
    /// exists.
    #[must_use]
    pub fn certificate_required(realm: Realm) -> Self {
        let text = Text::Words(format!(
            "401 Unauthorized. A verified client certificate is required in realm {}.",
            realm.name()
        ));
        Self { text, ..Self::unauthorized(realm) }
    }

    /// 401 with the challenge and the words of an authenticator.
    #[must_use]
    pub fn unauthorized_by(challenge: &str, body: String) -> Self {
        match HeaderValue::try_from(challenge) {
            Ok(challenge) => Self::new(StatusCode::UNAUTHORIZED, Text::Words(body))
                .with_header(WWW_AUTHENTICATE, challenge),
            Err(_) => Self::internal(format!("the challenge {challenge:?} is no header value")),
        }
    }

    /// 500 with words, which the original shows: an authenticator could not judge.
    #[must_use]
    pub fn authenticator_failed(text: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, Text::Words(text.into()))
    }

    /// 403: the caller is known and may not. The reason goes to the log.
    #[must_use]
    pub fn forbidden() -> Self {
        Self::new(StatusCode::FORBIDDEN, Text::Default)
    }

    /// 403 with words, for what the caller may know: its own subscription, for example.
    #[must_use]
    pub fn forbidden_because(text: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, Text::Words(text.into()))
    }

    /// 404 `404 Not Found.`
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, Text::Default)
    }

    /// 404 with an empty text, as the file endpoints answer.
    #[must_use]
    pub fn no_such_file() -> Self {
        Self::new(StatusCode::NOT_FOUND, Text::Blank)
    }

    /// 404 with words.
    #[must_use]
    pub fn not_found_because(text: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, Text::Words(text.into()))
    }

    /// 405, naming what would have been right.
    #[must_use]
    pub fn method_not_allowed(expected: &[Method], received: &Method) -> Self {
        let names = || expected.iter().map(Method::as_str);
        let quoted: Vec<_> = names().map(|m| format!("'{m}'")).collect();
        let text = format!(
            "405 Method Not Allowed. Expecting one of {{ {} }}, but received '{received}'.",
            quoted.join(", ")
        );
        let allow = names().collect::<Vec<_>>().join(", ");
        let allow = HeaderValue::try_from(allow).unwrap_or(HeaderValue::from_static("GET"));
        Self::new(StatusCode::METHOD_NOT_ALLOWED, Text::Words(text)).with_header(ALLOW, allow)
    }

    /// 406: nothing we can write is acceptable.
    #[must_use]
    pub fn not_acceptable(text: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_ACCEPTABLE, Text::Words(text.into()))
    }

    /// 409: the request contradicts the state of what it is about.
    #[must_use]
    pub fn conflict(text: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, Text::Words(text.into()))
    }

    /// 413: the body is larger than anything we would read.
    #[must_use]
    pub fn too_large(text: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, Text::Words(text.into()))
    }

    /// 415: the body is of a type that we do not read.
    #[must_use]
    pub fn unsupported_media_type(text: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Text::Words(text.into()))
    }

    /// 500: our fault. `reason` is for the log; the caller learns nothing.
    #[must_use]
    pub fn internal(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, Text::Default).because(reason)
    }

    /// 501 with words: understood, and not offered.
    #[must_use]
    pub fn not_implemented(text: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, Text::Words(text.into()))
    }

    /// 501 `501 Not Implemented.`
    #[must_use]
    pub fn unknown_call() -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, Text::Default)
    }

    /// 503: not now.
    #[must_use]
    pub fn unavailable(text: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Text::Words(text.into()))
    }

    /// 307 to `location`, or 500 if that is no header value.
    #[must_use]
    pub fn redirect(location: &str) -> Self {
        match HeaderValue::try_from(location) {
            Ok(value) => {
                Self::new(StatusCode::TEMPORARY_REDIRECT, Text::Absent).with_header(LOCATION, value)
            }
            Err(_) => Self::internal(format!("{location:?} is no header value")),
        }
    }

    /// Says when to come again, in whole seconds and not too early.
    #[must_use]
    pub fn retry_after(self, wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        self.with_header(RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// Adds what only the log is told.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The body as text; `None` when the response has neither body nor type.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        match &self.text {
            Text::Default => Some(default_text(self.status)),
            Text::Words(words) => Some(words.clone()),
            Text::Blank => Some(String::new()),
            Text::Absent => None,
        }
    }

    /// Headers beyond those that every response has.
    #[must_use]
    pub fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.headers
    }

    /// What the log is told, if that is more than the text.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }
}

fn default_text(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(phrase) => format!("{} {phrase}.", status.as_u16()),
        None => status.as_u16().to_string(),
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status.as_u16())?;
        if let Some(text) = self.text().filter(|t| !t.is_empty()) {
            write!(f, " {text:?}")?;
        }
        if let Some(reason) = &self.reason {
            write!(f, " ({reason})")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_the_originals() {
        let text = |r: Refusal| r.text();
        assert_eq!(text(Refusal::forbidden()).as_deref(), Some("403 Forbidden."));
        assert_eq!(text(Refusal::not_found()).as_deref(), Some("404 Not Found."));
        assert_eq!(text(Refusal::unknown_call()).as_deref(), Some("501 Not Implemented."));
        assert_eq!(
            text(Refusal::unauthorized(Realm::MasterReadonly)).as_deref(),
            Some("401 Unauthorized.")
        );
        assert_eq!(text(Refusal::redirect("//h:1/")), None);
        assert_eq!(text(Refusal::no_such_file()).as_deref(), Some(""));
    }

    #[test]
    fn a_wrong_method_is_told_the_right_ones() {
        let one = Refusal::method_not_allowed(&[Method::POST], &Method::GET);
        assert_eq!(
            one.text().as_deref(),
            Some("405 Method Not Allowed. Expecting one of { 'POST' }, but received 'GET'.")
        );
        assert_eq!(one.headers()[0].1, "POST");
        let two = Refusal::method_not_allowed(&[Method::GET, Method::PUT], &Method::POST);
        assert!(two.text().unwrap().contains("{ 'GET', 'PUT' }"));
        assert_eq!(two.headers()[0].1, "GET, PUT");
    }
}
