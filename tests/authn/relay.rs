//! Somebody between two daemons who believe whatever certificate they are shown.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::pin::Pin;

use openssl::pkey::PKey;
use openssl::ssl::{Ssl, SslAcceptor, SslConnector, SslMethod, SslVerifyMode};
use openssl::x509::X509;
use testkit::certificates::{Authority, Keys, Leaf};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_openssl::SslStream;

/// Ends the TLS of whoever connects, with a certificate of its own, and passes what it reads on
/// over TLS of its own.
pub(crate) struct Relay {
    pub(crate) address: SocketAddrV4,
    listener: std::net::TcpListener,
    runtime: Runtime,
}

impl Relay {
    pub(crate) fn new() -> Self {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let SocketAddr::V4(address) = listener.local_addr().unwrap() else { panic!("not IPv4") };
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Self { address, listener, runtime: runtime.unwrap() }
    }

    /// From now on to this address.
    pub(crate) fn leads_to(&self, to: SocketAddrV4) {
        let issued = Authority::root("nobody's CA", Keys::Ecdsa).issue(&Leaf::new("nobody"));
        let chain = X509::stack_from_pem(&issued.chain_pem()).unwrap();
        let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
        builder.set_certificate(&chain[0]).unwrap();
        builder.set_private_key(&PKey::private_key_from_pem(&issued.key_pem()).unwrap()).unwrap();
        let server = builder.build().into_context();
        let mut builder = SslConnector::builder(SslMethod::tls_client()).unwrap();
        builder.set_verify(SslVerifyMode::NONE);
        let client = builder.build().into_context();
        let listener = self.listener.try_clone().unwrap();
        self.runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((socket, _)) = listener.accept().await {
                let (server, client) = (Ssl::new(&server).unwrap(), Ssl::new(&client).unwrap());
                tokio::spawn(async move {
                    let mut victim = SslStream::new(server, socket).unwrap();
                    let Ok(other) = TcpStream::connect(to).await else { return };
                    let mut other = SslStream::new(client, other).unwrap();
                    if Pin::new(&mut victim).accept().await.is_ok()
                        && Pin::new(&mut other).connect().await.is_ok()
                    {
                        // How it ends is the peers' affair.
                        let _ = copy_bidirectional(&mut victim, &mut other).await;
                    }
                });
            }
        });
    }
}
