//! Requests to the HTTP interfaces of masters and agents: one connection, one request after the
//! other.

use std::time::Duration;

use bytes::Bytes;
use http::{StatusCode, header};
use transport::client::{Call, CallError, Client, Connection, DialError};
use transport::tls::Expected;

/// The most bytes of an answer that are kept. The state of a large cluster is tens of megabytes.
const MOST: usize = 1 << 30;

/// The most bytes of an error's text that are kept.
pub(crate) const MOST_OF_REFUSAL: usize = 4096;

/// One master or agent to ask.
#[derive(Debug)]
pub struct Api {
    client: Client,
    host: String,
    port: u16,
    expected: Expected,
    connection: Option<Connection>,
}

/// Why a request was not answered as hoped.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The connection failed before the answer was complete.
    #[error("the connection to {place} broke")]
    Broken {
        /// `host:port`.
        place: String,
        /// What happened.
        #[source]
        source: CallError,
    },
    /// Nobody answers there, or not who was expected.
    #[error("cannot reach {place}")]
    Unreachable {
        /// `host:port`.
        place: String,
        /// What happened.
        #[source]
        source: DialError,
    },
    /// The answer is no success.
    #[error("{place} answered {status}: {text}")]
    Status {
        /// `host:port`.
        place: String,
        /// The status.
        status: StatusCode,
        /// The text of the answer, shortened.
        text: String,
    },
}

impl Api {
    /// Asks whoever listens at `host:port` and proves to be `expected`. Nothing is dialled yet.
    #[must_use]
    pub fn new(client: Client, host: &str, port: u16, expected: Expected) -> Self {
        Self { client, host: host.to_owned(), port, expected, connection: None }
    }

    /// `https://host:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}", self.client.scheme(), self.place())
    }

    /// GET; asks a second time if a kept connection turns out to be broken.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn get(&mut self, target: &str) -> Result<Bytes, ApiError> {
        let call = Call::get(target).accept("application/json");
        let kept = self.connection.is_some();
        match self.request(call.clone()).await {
            Err(ApiError::Broken { .. }) if kept => self.request(call).await,
            other => other,
        }
    }

    /// POST, once.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn post(
        &mut self,
        target: &str,
        content_type: &'static str,
        body: impl Into<Bytes>,
    ) -> Result<Bytes, ApiError> {
        self.request(Call::post(target, content_type, body).accept(content_type)).await
    }

    async fn request(&mut self, call: Call) -> Result<Bytes, ApiError> {
        let connection = match self.connection.take().filter(|c| !c.is_closed()) {
            Some(connection) => connection,
            None => self
                .client
                .connect(&self.host, self.port, &self.expected)
                .await
                .map_err(|source| ApiError::Unreachable { place: self.place(), source })?,
        };
        let broken = |source| ApiError::Broken { place: self.place(), source };
        let mut connection = connection;
        let reply = connection.call(call).await.map_err(broken)?;
        let status = reply.status;
        if !status.is_success() {
            // The connection is given up: the rest of the text may be long.
            return Err(ApiError::Status {
                place: self.place(),
                status,
                text: refusal(reply).await,
            });
        }
        let body = reply.body.collect(MOST).await.map_err(broken)?;
        self.connection = Some(connection);
        Ok(body)
    }

    fn place(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// The text of an answer that is no success: short, on one line, without control characters.
pub(crate) async fn refusal(mut reply: transport::client::Reply) -> String {
    let mut bytes = Vec::new();
    let read = async {
        while bytes.len() < MOST_OF_REFUSAL {
            match reply.body.next().await {
                Some(Ok(piece)) => bytes.extend_from_slice(&piece),
                Some(Err(_)) | None => break,
            }
        }
    };
    // What was said so far is enough for a message.
    let _ = tokio::time::timeout(Duration::from_secs(5), read).await;
    bytes.truncate(MOST_OF_REFUSAL);
    let text: String = String::from_utf8_lossy(&bytes)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    text.trim().to_owned()
}

/// The `Location` of an answer.
pub(crate) fn location(reply: &transport::client::Reply) -> Option<String> {
    reply.headers.get(header::LOCATION).and_then(|v| v.to_str().ok()).map(str::to_owned)
}
