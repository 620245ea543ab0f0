//! What ours is compared with: an accept loop on the same TLS library with nothing behind it.
//!
//! It serves one connection after the other on one thread, blocking. The options of its context
//! are those of our server; beyond them it looks at nothing.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use openssl::error::ErrorStack;
use openssl::ssl::{
    Ssl, SslContext, SslFiletype, SslMethod, SslMode, SslOptions, SslSessionCacheMode, SslStream,
    SslVerifyMode, SslVersion,
};
use openssl::x509::X509;
use openssl::x509::store::X509StoreBuilder;

use crate::authority::Paths;

fn context(paths: &Paths) -> anyhow::Result<SslContext> {
    let mut builder = SslContext::builder(SslMethod::tls_server())?;
    builder.set_certificate_chain_file(&paths.chain)?;
    builder.set_private_key_file(&paths.key, SslFiletype::PEM)?;
    let mut store = X509StoreBuilder::new()?;
    store.add_cert(X509::from_pem(&std::fs::read(&paths.roots)?)?)?;
    builder.set_cert_store(store.build());
    builder.set_verify(SslVerifyMode::PEER);
    builder.set_min_proto_version(Some(SslVersion::TLS1_2))?;
    builder.set_cipher_list("ECDHE+AESGCM:ECDHE+CHACHA20")?;
    builder.set_mode(SslMode::RELEASE_BUFFERS | SslMode::AUTO_RETRY | SslMode::NO_AUTO_CHAIN);
    builder.set_options(
        SslOptions::NO_COMPRESSION
            | SslOptions::NO_RENEGOTIATION
            | SslOptions::CIPHER_SERVER_PREFERENCE
            | SslOptions::IGNORE_UNEXPECTED_EOF,
    );
    builder.set_read_ahead(true);
    builder.set_session_cache_mode(SslSessionCacheMode::OFF);
    builder.set_num_tickets(1)?;
    builder.set_session_id_context(b"bench")?;
    Ok(builder.build())
}

/// Serves for ever.
pub(crate) fn run(listener: &TcpListener, paths: &Paths) -> anyhow::Result<()> {
    let context = context(paths)?;
    loop {
        let (socket, _) = listener.accept()?;
        // What becomes of one connection is its client's to notice.
        if let Ok(stream) = handshake(&context, socket) {
            let _ = serve(stream, paths);
        }
    }
}

fn handshake(context: &SslContext, socket: TcpStream) -> Result<SslStream<TcpStream>, ErrorStack> {
    // Without delay, as every server that answers at once.
    let _ = socket.set_nodelay(true);
    let mut stream = SslStream::new(Ssl::new(context)?, socket)?;
    // A handshake that failed shows in the first read.
    let _ = stream.accept();
    Ok(stream)
}

/// Waits for the end, or for a request, whatever it is: the answer is the file `data`.
fn serve(mut stream: SslStream<TcpStream>, paths: &Paths) -> anyhow::Result<()> {
    let mut buffer = vec![0; 64];
    if stream.read(&mut buffer)? > 0 {
        stream.write_all(b"HTTP/1.0 200 ok\r\n\r\n")?;
        let mut file = File::open(paths.directory.join("data"))?;
        buffer.resize(16 * 1024, 0);
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            stream.write_all(&buffer[..read])?;
        }
    }
    stream.shutdown()?;
    Ok(())
}
