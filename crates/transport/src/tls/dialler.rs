//! Handshakes as a client that resume the sessions of earlier ones.
//!
//! The TLS library lets nobody set a session without promising that it belongs to the same
//! context, a promise that this workspace does not make (`unsafe`). `hyper-openssl` keeps the
//! sessions of one context and sets them, so it is used as far as the end of the handshake: a
//! "connector" that hands over a socket which is already connected.

use std::error::Error;
use std::fmt;
use std::future::{Ready, ready};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use http::Uri;
use hyper_openssl::client::legacy::{HttpsLayer, MaybeHttpsStream};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use openssl::error::ErrorStack;
use openssl::sha::sha256;
use openssl::ssl::{SslConnectorBuilder, SslRef, SslVerifyMode};
use openssl::x509::{X509StoreContextRef, X509VerifyResult};
use tower_layer::Layer;
use tower_service::Service;

use super::failure::{Failure, HandshakeError};
use super::names;
use crate::stream::{Dialled, Enduring};

/// Sessions that are kept, for all peers together; the oldest make room.
const MOST_SESSIONS: i32 = 1024;

/// A context for connections that we open, and the sessions that were made with it. New contexts
/// begin without sessions.
pub(super) struct Dialler {
    layer: HttpsLayer,
    verifies: bool,
}

impl fmt::Debug for Dialler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialler").finish_non_exhaustive()
    }
}

impl Dialler {
    pub(super) fn new(
        mut builder: SslConnectorBuilder,
        verifies: bool,
    ) -> Result<Self, ErrorStack> {
        builder.set_session_cache_size(MOST_SESSIONS);
        Ok(Self { layer: HttpsLayer::with_connector(builder)?, verifies })
    }

    /// Makes the handshake. Sessions are resumed that were made for the same `purpose`: a session
    /// proves what was asked then and nothing else. `prepare` says what the library shall compare
    /// in a full handshake; `dialled` is for the error that says that it is another host.
    pub(super) async fn connect(
        &self,
        socket: Enduring,
        dialled: &str,
        purpose: &str,
        prepare: impl Fn(&mut SslRef) -> Result<(), ErrorStack> + Send + Sync + 'static,
    ) -> Result<Dialled, HandshakeError> {
        let speaks_no_tls = Arc::new(AtomicBool::new(false));
        let socket = TokioIo::new(socket.telling(Arc::clone(&speaks_no_tls)));
        let verdict = Arc::new(Mutex::new(Verdict::default()));
        let mut connector = self.layer.layer(AtHand(Some(socket)));
        connector.set_callback({
            let verdict = Arc::clone(&verdict);
            let verifies = self.verifies;
            move |ssl, _| {
                ssl.set_use_server_name_indication(false);
                ssl.set_verify_hostname(false);
                if verifies {
                    let verdict = Arc::clone(&verdict);
                    ssl.set_verify_callback(SslVerifyMode::PEER, move |good, context| {
                        if !good {
                            *verdict.lock().unwrap_or_else(PoisonError::into_inner) =
                                Verdict::of(context);
                        }
                        good
                    });
                }
                prepare(ssl)
            }
        });
        let key: String = sha256(purpose.as_bytes()).iter().map(|b| format!("{b:02x}")).collect();
        let uri = Uri::builder().scheme("https").authority(key).path_and_query("/").build();
        let uri = uri.map_err(|error| io_failure(&error))?;
        match connector.call(uri).await {
            Ok(MaybeHttpsStream::Https(stream)) => Ok(TokioIo::new(stream)),
            Ok(MaybeHttpsStream::Http(_)) => Err(io_failure(&"no handshake was made")),
            Err(_) if speaks_no_tls.load(Ordering::Relaxed) => Err(HandshakeError::SpeaksNoTls),
            Err(error) => {
                let verdict = verdict.lock().unwrap_or_else(PoisonError::into_inner);
                Err(verdict.explain(failure(error, verdict.result), dialled))
            }
        }
    }
}

/// What is wrong with a certificate.
struct Verdict {
    result: X509VerifyResult,
    /// Whose it is, if that is what is wrong.
    holder: Option<String>,
}

impl Default for Verdict {
    fn default() -> Self {
        Self { result: X509VerifyResult::OK, holder: None }
    }
}

/// Results of verification (`X509_V_ERR_…`).
const HOSTNAME_MISMATCH: i32 = 62;
const IP_ADDRESS_MISMATCH: i32 = 64;

impl Verdict {
    fn of(context: &X509StoreContextRef) -> Self {
        let result = context.error();
        let another = matches!(result.as_raw(), HOSTNAME_MISMATCH | IP_ADDRESS_MISMATCH);
        let holder = context.current_cert().filter(|_| another).map(names::line);
        Self { result, holder }
    }

    /// Names both when somebody met another than was dialled.
    fn explain(&self, error: HandshakeError, dialled: &str) -> HandshakeError {
        match (&self.holder, error) {
            (Some(holder), HandshakeError::Handshake { failure, reason }) => {
                let reason =
                    format!("{reason}: the certificate is for {holder}, not for {dialled}");
                HandshakeError::Handshake { failure, reason }
            }
            (_, error) => error,
        }
    }
}

fn failure(error: Box<dyn Error + Send + Sync>, verdict: X509VerifyResult) -> HandshakeError {
    let broken_off = error.source().and_then(|source| source.downcast_ref::<openssl::ssl::Error>());
    if let Some(error) = broken_off {
        return HandshakeError::of(error, verdict);
    }
    match error.downcast::<ErrorStack>() {
        Ok(stack) => HandshakeError::Library(*stack),
        Err(error) => io_failure(&error),
    }
}

fn io_failure(error: &dyn fmt::Display) -> HandshakeError {
    HandshakeError::Handshake { failure: Failure::Library, reason: error.to_string() }
}

/// A connector whose one connection is there already.
struct AtHand(Option<TokioIo<Enduring>>);

impl Service<Uri> for AtHand {
    type Response = TokioIo<Enduring>;
    type Error = io::Error;
    type Future = Ready<io::Result<TokioIo<Enduring>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        ready(self.0.take().ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)))
    }
}

impl Connection for Enduring {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}
