//! Fetching a command's URIs into its sandbox.
//!
//! The work is done by a process of its own ([`main`]), as the user of the container: what that
//! user may not read is not fetched, links in the sandbox lead nowhere that the user could not
//! go, and bytes from outside are taken apart outside the agent. It speaks to the user through
//! the sandbox's `stderr`, and to the agent through its exit status and one line on standard
//! output.
//!
//! Archives are not unpacked yet: they are left as they are, and `stderr` says so.

mod http;
mod run;
mod target;
mod uri;

pub use run::main;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use prost::Message as _;
use tokio::io::AsyncReadExt as _;
use wire::v1::command_info::Uri;

/// The hidden command of this program under which it is the fetcher.
pub const COMMAND: &str = "fetcher";

/// What may be fetched, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The largest file, in bytes.
    pub max_bytes: u64,
    /// A transfer that brings nothing for this long is given up.
    pub stall_timeout: Duration,
    /// The certificates, PEM, one of which must vouch for a server of an `https` URI; `None`:
    /// those of the machine.
    pub roots: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { max_bytes: 64 << 30, stall_timeout: Duration::from_secs(60), roots: None }
    }
}

/// The longest failure that the agent reads, in bytes.
const MAX_FAILURE_BYTES: u64 = 4 << 10;

/// What a fetcher is told.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Fetch {
    #[prost(message, repeated, tag = "1")]
    uris: Vec<Uri>,
    #[prost(uint64, tag = "2")]
    max_bytes: u64,
    #[prost(uint64, tag = "3")]
    stall_timeout_ms: u64,
    #[prost(string, optional, tag = "4")]
    roots: Option<String>,
}

impl Fetch {
    pub(super) fn new(uris: &[Uri], settings: &Settings) -> Self {
        Self {
            uris: uris.to_vec(),
            max_bytes: settings.max_bytes,
            stall_timeout_ms: u64::try_from(settings.stall_timeout.as_millis()).unwrap_or(u64::MAX),
            roots: settings.roots.as_ref().map(|path| path.display().to_string()),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "nothing in it is a map")]
    pub(super) fn encode(&self) -> Vec<u8> {
        self.encode_to_vec()
    }
}

/// Reads what a fetcher says about its failure, until it ends. What is longer than it may be is
/// dropped.
pub(super) async fn read_failure(stdout: tokio::net::unix::pipe::Receiver) -> io::Result<Vec<u8>> {
    let mut said = Vec::new();
    let mut stdout = stdout.take(MAX_FAILURE_BYTES);
    stdout.read_to_end(&mut said).await?;
    tokio::io::copy(&mut stdout.into_inner(), &mut tokio::io::sink()).await?;
    Ok(said)
}
