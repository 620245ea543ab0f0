//! TLS of emulated agents: every one shows the same certificate, and believes a master only with
//! one that verifies and is for its address.

use std::io;
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::pin::Pin;

use authn::sasl::Channel;
use openssl::ssl::{
    Ssl, SslContext, SslContextBuilder, SslFiletype, SslMethod, SslMode, SslOptions,
    SslSessionCacheMode, SslVerifyMode, SslVersion,
};
use openssl::x509::X509;
use openssl::x509::store::X509StoreBuilder;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

/// What protects the connections of a swarm.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Files {
    /// Whom to believe, PEM.
    pub roots: PathBuf,
    /// The certificate of all agents with its chain, PEM.
    pub chain: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
}

/// The same, read. Clones share it.
#[derive(Clone)]
pub(super) struct Contexts {
    server: SslContext,
    client: SslContext,
}

/// A connection, encrypted or not.
pub(super) type Stream = Box<dyn Wire>;

pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Sync + Unpin {
    fn socket(&self) -> &TcpStream;
}

impl Wire for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Wire for SslStream<TcpStream> {
    fn socket(&self) -> &TcpStream {
        self.get_ref()
    }
}

/// They hold a key.
impl std::fmt::Debug for Contexts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Contexts").finish_non_exhaustive()
    }
}

impl Contexts {
    /// Reads the files.
    pub(super) fn load(files: &Files) -> anyhow::Result<Self> {
        let mut server = context(SslMethod::tls_server())?;
        server.set_certificate_chain_file(&files.chain)?;
        server.set_private_key_file(&files.key, SslFiletype::PEM)?;
        server.set_session_cache_mode(SslSessionCacheMode::OFF);
        // Tickets are for those who come back.
        server.set_options(SslOptions::NO_TICKET);
        server.set_num_tickets(0)?;
        let mut client = context(SslMethod::tls_client())?;
        let mut store = X509StoreBuilder::new()?;
        for root in X509::stack_from_pem(&std::fs::read(&files.roots)?)? {
            store.add_cert(root)?;
        }
        client.set_cert_store(store.build());
        client.set_verify(SslVerifyMode::PEER);
        Ok(Self { server: server.build(), client: client.build() })
    }
}

fn context(method: SslMethod) -> anyhow::Result<SslContextBuilder> {
    let mut builder = SslContext::builder(method)?;
    builder.set_min_proto_version(Some(SslVersion::TLS1_2))?;
    builder.set_mode(SslMode::RELEASE_BUFFERS);
    Ok(builder)
}

/// One that was accepted; its handshake is made by the first read.
pub(super) fn accepted(stream: TcpStream, tls: Option<&Contexts>) -> io::Result<Stream> {
    let Some(contexts) = tls else { return Ok(Box::new(stream)) };
    let mut ssl = Ssl::new(&contexts.server)?;
    ssl.set_accept_state();
    Ok(Box::new(SslStream::new(ssl, stream)?))
}

/// Ends a connection such that its other end is told of an error.
pub(super) fn cut(stream: Stream) {
    // One that cannot be cut is closed, as it is dropped.
    let _ = socket2::SockRef::from(stream.socket()).set_linger(Some(std::time::Duration::ZERO));
}

/// One that was dialled, with its handshake, and what it is worth to an exchange.
pub(super) async fn dialled(
    stream: TcpStream,
    master: SocketAddrV4,
    tls: Option<Contexts>,
) -> io::Result<(Stream, Channel)> {
    let Some(contexts) = tls else { return Ok((Box::new(stream), Channel::default())) };
    let mut ssl = Ssl::new(&contexts.client)?;
    ssl.param_mut().set_ip((*master.ip()).into())?;
    let mut stream = SslStream::new(ssl, stream)?;
    Pin::new(&mut stream).connect().await.map_err(io::Error::other)?;
    // RFC 9266, with a context that is empty and not absent.
    let mut binding = [0; 32];
    stream.ssl().export_keying_material(&mut binding, "EXPORTER-Channel-Binding", Some(&[]))?;
    let channel = Channel { encrypted: true, binding: Some(binding), ..Channel::default() };
    Ok((Box::new(stream), channel))
}
