//! Somebody in the middle who counts the TLS records that pass.

use std::net::SocketAddrV4;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Passes everything on to a server, and back.
pub(crate) struct Tap {
    pub(crate) address: SocketAddrV4,
    to_server: Arc<AtomicUsize>,
    from_server: Arc<AtomicUsize>,
}

/// Records of application data (under TLS 1.3, of encrypted handshakes too) that have passed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Records {
    pub(crate) to_server: usize,
    pub(crate) from_server: usize,
}

impl Tap {
    pub(crate) async fn on(server: SocketAddrV4) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let std::net::SocketAddr::V4(address) = listener.local_addr().unwrap() else {
            panic!("not IPv4")
        };
        let tap = Self { address, to_server: Arc::default(), from_server: Arc::default() };
        let (to, from) = (Arc::clone(&tap.to_server), Arc::clone(&tap.from_server));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (client_reads, client_writes) = client.into_split();
                let server = TcpStream::connect(server).await.unwrap();
                let (server_reads, server_writes) = server.into_split();
                tokio::spawn(pass(client_reads, server_writes, Arc::clone(&to)));
                tokio::spawn(pass(server_reads, client_writes, Arc::clone(&from)));
            }
        });
        tap
    }

    pub(crate) fn records(&self) -> Records {
        Records {
            to_server: self.to_server.load(Ordering::Relaxed),
            from_server: self.from_server.load(Ordering::Relaxed),
        }
    }
}

const APPLICATION_DATA: u8 = 0x17;
const HEADER: usize = 5;

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    records: Arc<AtomicUsize>,
) {
    let mut piece = vec![0; 64 * 1024];
    // What is left of the record that passes, and the header of the next as far as it has come.
    let (mut left, mut header) = (0_usize, Vec::with_capacity(HEADER));
    while let Ok(read) = from.read(&mut piece).await
        && read > 0
    {
        let mut rest = &piece[..read];
        while !rest.is_empty() {
            if left > 0 {
                let skipped = left.min(rest.len());
                rest = &rest[skipped..];
                left -= skipped;
                continue;
            }
            let (first, others) = rest.split_first().unwrap();
            header.push(*first);
            rest = others;
            if let [kind, _, _, high, low] = header[..] {
                records.fetch_add(usize::from(kind == APPLICATION_DATA), Ordering::Relaxed);
                left = usize::from(u16::from_be_bytes([high, low]));
                header.clear();
            }
        }
        if to.write_all(&piece[..read]).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}
