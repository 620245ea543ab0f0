//! What the TLS library and the driver can do, as data.

use crate::policy::Version;

/// What the driver and its TLS library can honour. An argument of [`crate::resolve()`], so that
/// the function can be tested for several of them and nothing is promised that is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CryptoSupport {
    /// The oldest protocol version that can be negotiated.
    pub oldest: Version,
    /// The newest protocol version that can be negotiated.
    pub newest: Version,
    /// Peers without an identity of the cluster can be encrypted with: the original's TLS.
    pub unidentified_peers: bool,
    /// Plain peers can be served on the TLS port and dialled after a failed handshake.
    pub downgrade: bool,
    /// Clients can be required to present a certificate with a valid chain.
    pub required_client_certificates: bool,
    /// The chain of servers can be verified against CA files and directories.
    pub server_chains: bool,
    /// Host names can be checked by the TLS library against what was dialled (`openssl` scheme).
    pub dialled_names: bool,
    /// Host names can be checked by looking up the peer's address (`legacy` scheme).
    pub reverse_dns_names: bool,
}

impl CryptoSupport {
    /// OpenSSL 3 with a driver that does all that the settings can say.
    pub const EVERYTHING: Self = Self {
        oldest: Version::Tls10,
        newest: Version::Tls13,
        unidentified_peers: true,
        downgrade: true,
        required_client_certificates: true,
        server_chains: true,
        dialled_names: true,
        reverse_dns_names: true,
    };

    /// Whether `version` can be negotiated.
    #[must_use]
    pub fn speaks(&self, version: Version) -> bool {
        (self.oldest..=self.newest).contains(&version)
    }
}
