//! Fetching over HTTP.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ::http::{StatusCode, header};
use model::identity::TrustDomain;
use transport::client::{Call, Client, Connection, Reply, Settings};
use transport::tls::{Contexts, Expected, Offer, Security, TlsMaterial};
use transport::with_causes;

use super::uri::Remote;

/// How often a server may send us elsewhere.
const MAX_REDIRECTIONS: usize = 10;

/// Where machines keep the certificates of the authorities that they trust.
const SYSTEM_ROOTS: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Fetches files from servers.
#[derive(Debug)]
pub(super) struct Downloader {
    roots: Option<PathBuf>,
    max_bytes: u64,
    stall_timeout: Duration,
}

impl Downloader {
    pub(super) fn new(roots: Option<&str>, max_bytes: u64, stall_timeout: Duration) -> Self {
        Self { roots: roots.map(PathBuf::from), max_bytes, stall_timeout }
    }

    /// Writes what `remote` is into `file`.
    pub(super) async fn fetch(&self, remote: Remote, file: &mut File) -> Result<(), String> {
        let mut remote = remote;
        for _ in 0..=MAX_REDIRECTIONS {
            let mut connection = self.connect(&remote).await?;
            let call = Call::get(remote.target.clone());
            let reply = connection.call(call).await.map_err(|error| with_causes(&error))?;
            if reply.status.is_redirection() && reply.status != StatusCode::NOT_MODIFIED {
                remote = redirected(&remote, &reply)?;
            } else if reply.status == StatusCode::OK {
                return self.write(reply, file).await;
            } else {
                return Err(format!("the server answered {}", reply.status));
            }
        }
        Err(format!("more than {MAX_REDIRECTIONS} redirections"))
    }

    async fn connect(&self, remote: &Remote) -> Result<Connection, String> {
        let security = match remote.encrypted {
            true => self.tls()?,
            false => Security::DangerPlaintext,
        };
        let settings = Settings {
            connect_deadline: self.stall_timeout,
            response_deadline: self.stall_timeout,
            ..Settings::default()
        };
        let expected = Expected::Host(remote.host.clone());
        let client = Client::new(security, settings);
        let connecting = client.connect(&remote.host, remote.port, &expected);
        connecting.await.map_err(|error| with_causes(&error))
    }

    /// Belief in the servers that the roots vouch for, without an identity of our own.
    fn tls(&self) -> Result<Security, String> {
        let path = match &self.roots {
            Some(path) => path.as_path(),
            None => SYSTEM_ROOTS.iter().map(Path::new).find(|path| path.exists()).ok_or(
                "this machine has no certificates of authorities, so that no https server can \
                 be believed",
            )?,
        };
        let roots_pem =
            std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        // Servers out there have no identity of ours; the domain only fills its place.
        let trust_domain = TrustDomain::new("invalid").map_err(|error| error.to_string())?;
        let offer = Offer::default();
        let material = TlsMaterial { leaves: Vec::new(), roots_pem, trust_domain, offer };
        let contexts = Contexts::new(&material).map_err(|error| with_causes(&error))?;
        Ok(Security::Tls(Arc::new(contexts)))
    }

    async fn write(&self, reply: Reply, file: &mut File) -> Result<(), String> {
        let mut body = reply.body;
        let mut written: u64 = 0;
        loop {
            let piece = tokio::time::timeout(self.stall_timeout, body.next())
                .await
                .map_err(|_| format!("nothing came for {:?}", self.stall_timeout))?;
            let Some(piece) = piece else { return Ok(()) };
            let piece = piece.map_err(|error| with_causes(&error))?;
            written += piece.len() as u64;
            if written > self.max_bytes {
                return Err(super::run::too_large(self.max_bytes));
            }
            file.write_all(&piece).map_err(|error| error.to_string())?;
        }
    }
}

fn redirected(from: &Remote, reply: &Reply) -> Result<Remote, String> {
    let location = reply
        .headers
        .get(header::LOCATION)
        .and_then(|location| location.to_str().ok())
        .ok_or_else(|| format!("the server answered {} without a location", reply.status))?;
    from.redirected(location).map_err(|error| error.to_string())
}
