//! The client of the measurements: connections made with the TLS library and nothing else.
#![expect(unsafe_code, reason = "offering a session again has no safe function")]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddrV4, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use openssl::ssl::{
    Ssl, SslContext, SslMethod, SslSession, SslSessionCacheMode, SslStream, SslVerifyMode,
    SslVersion,
};

/// A client of one version of TLS.
pub(crate) struct Client {
    context: SslContext,
    newest: Arc<Mutex<Option<SslSession>>>,
}

/// What a series of handshakes came to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Series {
    pub(crate) handshakes: usize,
    pub(crate) resumed: usize,
}

/// One group and one suite for everybody: what is compared is not the choice of algorithms. (The
/// curve of an ECDSA certificate counts as a group in TLS 1.2.)
const GROUPS: &str = "X25519:P-256";
const SUITE_12: &str = "ECDHE+AES256+AESGCM";
const SUITE_13: &str = "TLS_AES_256_GCM_SHA384";

impl Client {
    pub(crate) fn new(version: SslVersion) -> anyhow::Result<Self> {
        let newest = Arc::new(Mutex::new(None));
        let mut builder = SslContext::builder(SslMethod::tls_client())?;
        builder.set_min_proto_version(Some(version))?;
        builder.set_max_proto_version(Some(version))?;
        builder.set_groups_list(GROUPS)?;
        builder.set_cipher_list(SUITE_12)?;
        builder.set_ciphersuites(SUITE_13)?;
        // Whom it talks to is known, and its own work is not what is measured.
        builder.set_verify(SslVerifyMode::NONE);
        builder
            .set_session_cache_mode(SslSessionCacheMode::CLIENT | SslSessionCacheMode::NO_INTERNAL);
        let slot = Arc::clone(&newest);
        builder.set_new_session_callback(move |_, session| {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
        });
        Ok(Self { context: builder.build(), newest })
    }

    /// Makes `count` handshakes, one after the other. If `resume`, each offers the newest session.
    pub(crate) fn handshakes(
        &self,
        address: SocketAddrV4,
        resume: bool,
        count: usize,
    ) -> anyhow::Result<Series> {
        let mut series = Series::default();
        for _ in 0..count {
            let session = self.newest_session();
            let stream = self.connect(address, session.filter(|_| resume).as_ref())?;
            series.handshakes += 1;
            series.resumed += usize::from(stream.ssl().session_reused());
            close(stream)?;
        }
        Ok(series)
    }

    /// It may be offered more than once: TLS 1.2 gives no new one for one that was taken.
    fn newest_session(&self) -> Option<SslSession> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Opens one connection.
    pub(crate) fn connect(
        &self,
        address: SocketAddrV4,
        session: Option<&SslSession>,
    ) -> anyhow::Result<SslStream<TcpStream>> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        let mut ssl = Ssl::new(&self.context)?;
        if let Some(session) = session {
            // SAFETY: the session is from the callback of this very context.
            unsafe { ssl.set_session(session)? };
        }
        let mut stream = SslStream::new(ssl, socket)?;
        stream.connect().context("a handshake failed")?;
        Ok(stream)
    }

    /// Downloads `path` and returns how many bytes of the body came, and in what time. The time
    /// runs from the end of the handshake.
    pub(crate) fn download(
        &self,
        address: SocketAddrV4,
        path: &str,
    ) -> anyhow::Result<(u64, Duration)> {
        let mut stream = self.connect(address, None)?;
        let mut buffer = vec![0; 64 * 1024];
        let start = Instant::now();
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())?;
        let mut head = Vec::new();
        let mut body = 0;
        loop {
            let read = match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                // Some end without saying so.
                Err(error) if is_end(&error) => break,
                Err(error) => return Err(error.into()),
            };
            if body > 0 {
                body += read as u64;
                continue;
            }
            head.extend_from_slice(&buffer[..read]);
            if let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") {
                body = (head.len() - end - 4) as u64;
            }
            ensure!(head.len() < 1 << 20, "an answer without an end of its head");
        }
        let took = start.elapsed();
        ensure!(head.starts_with(b"HTTP/1.") && head[8..].starts_with(b" 200"), "not served");
        Ok((body, took))
    }
}

/// Ends a connection in order: whoever serves it sees the end, and says its own.
fn close(mut stream: SslStream<TcpStream>) -> anyhow::Result<()> {
    stream.shutdown()?;
    // What came before the end, sessions among it.
    let mut buffer = [0; 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if is_end(&error) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

fn is_end(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset)
        || error.to_string().contains("unexpected eof")
}
