//! Who leads: the master that the agent was told of. What listens there proves in its
//! certificate that it is a master.

use std::net::SocketAddr;
use std::time::Duration;

use libprocess::upid::Upid;

/// The pause after a name could not be looked up.
const PAUSE: Duration = Duration::from_secs(1);

/// One master, by name and port.
#[derive(Clone, Debug)]
pub(super) struct Detector {
    host: String,
    port: u16,
}

impl Detector {
    pub(super) fn new(host: String, port: u16) -> Self {
        Self { host, port }
    }

    /// Where the master listens. Tries until its name can be looked up.
    pub(super) async fn detect(&self) -> Upid {
        loop {
            match tokio::net::lookup_host((self.host.as_str(), self.port)).await {
                Ok(mut found) => {
                    let ipv4 = found.find_map(|address| match address {
                        SocketAddr::V4(address) => Some(address),
                        SocketAddr::V6(_) => None,
                    });
                    if let Some(address) = ipv4 {
                        return Upid::new("master", address);
                    }
                    tracing::warn!(host = self.host, "the master's name has no IPv4 address");
                }
                Err(error) => {
                    tracing::warn!(host = self.host, %error, "the master's name is not known");
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
