//! Requests to the HTTP APIs of other components.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use authn::http::HttpAuthenticatee;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use libprocess::sender::PeerFacts;
use tokio::time::timeout;

pub use crate::dial::DialError;

use crate::dial::Dial;
use crate::stream::KeepAlive;
use crate::tls::{Expected, Security};

/// Opens connections to HTTP APIs.
#[derive(Clone, Debug)]
pub struct Client {
    security: Security,
    settings: Settings,
    follows: bool,
    authenticatee: Option<(Arc<dyn HttpAuthenticatee>, Exposure)>,
}

/// To whom a client's credential may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposure {
    /// Only to a server whose certificate was verified.
    Verified,
    /// To whoever answers, and for everybody in between to read.
    DangerAnybody,
}

/// Limits and deadlines of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// From the first packet to the end of the TLS handshake.
    pub connect_deadline: Duration,
    /// From the end of a request to the head of its response.
    pub response_deadline: Duration,
    /// Probes on silent connections.
    pub keep_alive: KeepAlive,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connect_deadline: Duration::from_secs(15),
            response_deadline: Duration::from_secs(60),
            keep_alive: KeepAlive::default(),
        }
    }
}

/// A connection to somebody who was expected. It is kept alive and serves one request after the
/// other; a streamed response occupies it until its end.
#[derive(Debug)]
pub struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    authority: String,
    facts: PeerFacts,
    response_deadline: Duration,
    authenticatee: Option<Arc<dyn HttpAuthenticatee>>,
}

/// A request to be sent.
#[derive(Clone, Debug)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// The path and the query.
    pub target: String,
    /// The header fields, without `Host` and `Content-Length`.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// The head of a response, and its body as it comes.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: ReplyBody,
}

/// The body of a response as it comes.
#[derive(Debug)]
pub struct ReplyBody(Incoming);

/// Why a request got no response, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The body is longer than it may be.
    #[error("the response is longer than {0} bytes")]
    BodyTooLarge(usize),
    /// The connection ended, or what came is not a response.
    #[error("the connection failed")]
    Connection(#[source] hyper::Error),
    /// No head came in time.
    #[error("no response within {0:?}")]
    Deadline(Duration),
    /// The target or a header is not valid.
    #[error("the request is not valid")]
    Request(#[source] http::Error),
    /// A header value, such as a token, holds characters that it must not.
    #[error("the value of a header is not valid")]
    HeaderValue(#[source] header::InvalidHeaderValue),
}

impl Client {
    /// A client; `security` says who we are and whom we believe.
    #[must_use]
    pub fn new(security: Security, settings: Settings) -> Self {
        Self { security, settings, follows: false, authenticatee: None }
    }

    /// A client that goes on in plaintext with a server that shows that it speaks no TLS, if the
    /// policy accepts such peers. As in the original, requests otherwise never do; this is for an
    /// executor, whose agent may have been restarted without TLS.
    #[must_use]
    pub fn following(security: Security, settings: Settings) -> Self {
        Self { follows: true, ..Self::new(security, settings) }
    }

    /// A client that says with every request who it is. A connection on which `exposure` forbids
    /// that is not used at all.
    #[must_use]
    pub fn authenticating(
        mut self,
        authenticatee: Arc<dyn HttpAuthenticatee>,
        exposure: Exposure,
    ) -> Self {
        self.authenticatee = Some((authenticatee, exposure));
        self
    }

    /// `https` or `http`.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        self.security.scheme()
    }

    /// Connects to `host`, a name or an IP address. On success the other end is who was expected
    /// and has received nothing yet.
    pub async fn connect(
        &self,
        host: &str,
        port: u16,
        expected: &Expected,
    ) -> Result<Connection, DialError> {
        let Settings { connect_deadline, response_deadline, keep_alive } = self.settings;
        let mut failure = DialError::Resolve { host: host.to_owned(), source: None };
        let name = host.parse::<IpAddr>().is_err().then_some(host);
        for address in resolve(host, port).await? {
            let (security, deadline) = (&self.security, connect_deadline);
            let dial = Dial { security, address, name, expected, keep_alive, deadline };
            let opened = match self.follows {
                true => dial.open_or_downgrade().await,
                false => dial.open().await,
            };
            match opened {
                Ok((stream, facts)) => {
                    let authenticatee = match &self.authenticatee {
                        Some((_, Exposure::Verified)) if !(facts.encrypted && facts.certified) => {
                            let reason = "its certificate was not verified, and it is not told \
                                          our secret";
                            return Err(DialError::Untrusted {
                                address,
                                reason: reason.to_owned(),
                            });
                        }
                        given => given.as_ref().map(|(authenticatee, _)| Arc::clone(authenticatee)),
                    };
                    let (sender, connection) = http1::Builder::new()
                        .title_case_headers(true)
                        .handshake(TokioIo::new(stream))
                        .await
                        .map_err(|error| DialError::Untrusted {
                            address,
                            reason: error.to_string(),
                        })?;
                    tokio::spawn(async move {
                        if let Err(error) = connection.await {
                            tracing::debug!(%address, %error, "a connection failed");
                        }
                    });
                    let authority = match host.contains(':') {
                        true => format!("[{host}]:{port}"),
                        false => format!("{host}:{port}"),
                    };
                    return Ok(Connection {
                        sender,
                        authority,
                        facts,
                        response_deadline,
                        authenticatee,
                    });
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }
}

async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, DialError> {
    let failed = |source| DialError::Resolve { host: host.to_owned(), source: Some(source) };
    let addresses: Vec<_> = tokio::net::lookup_host((host, port)).await.map_err(failed)?.collect();
    // IPv4 first: it is what components advertise.
    let (four, six): (Vec<_>, Vec<_>) = addresses.into_iter().partition(SocketAddr::is_ipv4);
    Ok(four.into_iter().chain(six).collect())
}

impl Connection {
    /// Who is at the other end.
    #[must_use]
    pub fn peer(&self) -> &PeerFacts {
        &self.facts
    }

    /// Whether it can take no more requests.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sends a request and waits for the head of its response.
    pub async fn call(&mut self, call: Call) -> Result<Reply, CallError> {
        let mut request = Request::builder()
            .method(call.method)
            .uri(call.target)
            .body(Full::new(call.body))
            .map_err(CallError::Request)?;
        *request.headers_mut() = call.headers;
        let host = HeaderValue::from_str(&self.authority).map_err(CallError::HeaderValue)?;
        request.headers_mut().insert(header::HOST, host);
        if let Some(authenticatee) = &self.authenticatee
            && !request.headers().contains_key(header::AUTHORIZATION)
        {
            let authorization = authenticatee.authorization();
            let mut value =
                HeaderValue::from_bytes(authorization.expose()).map_err(CallError::HeaderValue)?;
            value.set_sensitive(true);
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        let exchange = async {
            self.sender.ready().await?;
            self.sender.send_request(request).await
        };
        let response = timeout(self.response_deadline, exchange)
            .await
            .map_err(|_| CallError::Deadline(self.response_deadline))?
            .map_err(CallError::Connection)?;
        let (head, body) = response.into_parts();
        Ok(Reply { status: head.status, headers: head.headers, body: ReplyBody(body) })
    }
}

impl Call {
    /// A GET.
    #[must_use]
    pub fn get(target: impl Into<String>) -> Self {
        let headers = HeaderMap::new();
        Self { method: Method::GET, target: target.into(), headers, body: Bytes::new() }
    }

    /// A POST with a body.
    #[must_use]
    pub fn post(
        target: impl Into<String>,
        content_type: &'static str,
        body: impl Into<Bytes>,
    ) -> Self {
        let call = Self { method: Method::POST, body: body.into(), ..Self::get(target) };
        call.header(header::CONTENT_TYPE, HeaderValue::from_static(content_type))
    }

    /// With one more header field.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    /// With `Accept`.
    #[must_use]
    pub fn accept(self, content_type: &'static str) -> Self {
        self.header(header::ACCEPT, HeaderValue::from_static(content_type))
    }

    /// With `Authorization: Bearer`. The token is marked so that it is not logged.
    pub fn bearer(self, token: &str) -> Result<Self, CallError> {
        let value = zeroize::Zeroizing::new(format!("Bearer {token}"));
        let mut value = HeaderValue::from_str(&value).map_err(CallError::HeaderValue)?;
        value.set_sensitive(true);
        Ok(self.header(header::AUTHORIZATION, value))
    }
}

impl ReplyBody {
    /// The next piece, never empty; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<Bytes, CallError>> {
        loop {
            match self.0.frame().await? {
                Err(error) => return Some(Err(CallError::Connection(error))),
                Ok(frame) => match frame.into_data() {
                    Ok(data) if !data.is_empty() => return Some(Ok(data)),
                    // Nothing, or trailers, which say nothing here.
                    Ok(_) | Err(_) => {}
                },
            }
        }
    }

    /// The whole body if it is not longer than `most` bytes.
    pub async fn collect(mut self, most: usize) -> Result<Bytes, CallError> {
        let mut whole = BytesMut::new();
        while let Some(piece) = self.next().await {
            let piece = piece?;
            if whole.len() + piece.len() > most {
                return Err(CallError::BodyTooLarge(most));
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }
}
