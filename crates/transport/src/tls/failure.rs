//! Why a handshake did not lead to a peer that may speak.

use std::fmt;

use model::identity::Identity;
use openssl::error::ErrorStack;
use openssl::x509::X509VerifyResult;

use super::Expected;
use super::names::PeerNameError;
use super::reverse::LegacyNameError;

/// Why a handshake did not lead to a peer that may speak.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    #[error("the TLS handshake failed: {reason}")]
    Handshake { failure: Failure, reason: String },
    /// Only as a client: the peer answered our hello with bytes that are no TLS, or ended the
    /// connection without a byte. It showed that it speaks no TLS.
    #[error("the peer speaks no TLS")]
    SpeaksNoTls,
    #[error("the TLS library failed")]
    Library(#[from] ErrorStack),
    #[error("the peer presented no certificate")]
    NoCertificate,
    #[error("the peer's certificate is not accepted")]
    Name(#[from] PeerNameError),
    #[error("the peer's certificate is not accepted")]
    LegacyName(#[from] LegacyNameError),
    #[error("the peer is {actual}, expected {expected}")]
    SomebodyElse { expected: Expected, actual: Identity },
    /// The scheme `openssl`: only an address is known and addresses do not count. Nothing was
    /// sent.
    #[error("No DNS name given and IP address verification is disabled")]
    NoName,
    /// A session was resumed whose peer would not be let in today.
    #[error("the certificate of the resumed session is not accepted any more: {reason}")]
    Outdated { failure: Failure, reason: String },
}

impl HandshakeError {
    /// What the failure is counted as.
    pub(crate) fn failure(&self) -> Failure {
        match self {
            Self::Handshake { failure, .. } | Self::Outdated { failure, .. } => *failure,
            Self::SpeaksNoTls => Failure::NoTls,
            Self::Library(_) => Failure::Library,
            Self::NoCertificate => Failure::NoCertificate,
            Self::Name(_) | Self::LegacyName(_) | Self::SomebodyElse { .. } | Self::NoName => {
                Failure::Name
            }
        }
    }

    /// The error with its cause, in one line.
    pub(crate) fn line(&self) -> String {
        match std::error::Error::source(self) {
            Some(source) => format!("{self}: {source}"),
            None => self.to_string(),
        }
    }

    /// The failure of a handshake that the library broke off; `verified` is what it says of the
    /// peer's certificate.
    pub(super) fn of(error: &openssl::ssl::Error, verified: X509VerifyResult) -> Self {
        let stack = error.ssl_error().map(ErrorStack::errors).unwrap_or_default();
        let codes =
            || stack.iter().filter(|e| e.library_code() == LIBRARY).map(|e| e.reason_code());
        if codes().any(|code| code == CERTIFICATE_VERIFY_FAILED) {
            let failure = Failure::of_verification(verified);
            return Self::Handshake { failure, reason: verified.error_string().to_owned() };
        }
        let failure = codes().find_map(Failure::of_reason).unwrap_or(match stack {
            [] => Failure::Disconnected,
            _ => Failure::Malformed,
        });
        Self::Handshake { failure, reason: describe(error) }
    }
}

/// An error of OpenSSL as a person would say it: the reasons, not the places in its source.
fn describe(error: &openssl::ssl::Error) -> String {
    match error.ssl_error() {
        Some(stack) if !stack.errors().is_empty() => {
            let reasons = stack.errors().iter().filter_map(|e| e.reason());
            reasons.collect::<Vec<_>>().join(", ")
        }
        _ => match error.io_error() {
            Some(error) => error.to_string(),
            None => "the connection ended".to_owned(),
        },
    }
}

/// The part of the library whose reasons are known here (`ERR_LIB_SSL`).
const LIBRARY: i32 = 20;
const CERTIFICATE_VERIFY_FAILED: i32 = 134;
/// Alerts of the peer are reasons from here on (`SSL_AD_REASON_OFFSET`).
const ALERTS: i32 = 1000;

macro_rules! failures {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What a failed handshake is counted as.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Failure { $($(#[$doc])* $name,)* }

        impl Failure {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The name in metrics.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

failures! {
    /// No root that is believed vouches for the peer's certificate.
    Authority = "unknown_authority",
    /// A certificate of the peer's chain is not to be believed for another reason.
    Chain = "invalid_chain",
    /// It was not finished in time.
    Deadline = "deadline",
    /// The connection ended or broke.
    Disconnected = "disconnected",
    /// A certificate of the peer's chain has run out.
    Expired = "expired",
    /// The TLS library failed.
    Library = "library",
    /// What came is not a handshake, or breaks its rules.
    Malformed = "malformed",
    /// The certificate is valid and its names are not those of the peer.
    Name = "name",
    /// The peer presented no certificate and had to.
    NoCertificate = "no_certificate",
    /// No suite, group or signature that both sides can.
    NoSharedSuite = "no_shared_suite",
    /// The peer speaks no TLS.
    NoTls = "no_tls",
    /// A certificate of the peer's chain is not valid yet.
    NotYetValid = "not_yet_valid",
    /// The peer broke it off because of our certificate or its absence.
    RefusedByPeer = "refused_by_peer",
    /// There is no revocation list for a certificate, or it has run out.
    RevocationUnknown = "revocation_unknown",
    /// A certificate of the peer's chain is revoked.
    Revoked = "revoked",
    /// No version that both sides speak.
    Version = "version",
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Failure {
    /// By the result of a verification (`X509_V_ERR_…`).
    pub(super) fn of_verification(result: X509VerifyResult) -> Self {
        match result.as_raw() {
            // Also an authority with the name of one that is believed and another key.
            2 | 7 | 18 | 19 | 20 | 21 => Self::Authority,
            9 => Self::NotYetValid,
            10 => Self::Expired,
            23 => Self::Revoked,
            3 | 8 | 11 | 12 | 15 | 16 | 33 | 35 | 36 | 44 | 54 => Self::RevocationUnknown,
            62..=64 => Self::Name,
            _ => Self::Chain,
        }
    }

    /// By a reason of the library (`SSL_R_…`).
    fn of_reason(reason: i32) -> Option<Self> {
        Some(match reason {
            101 | 118 | 181 | 193 | 295 | 376 | 410 => Self::NoSharedSuite,
            155 | 156 => Self::NoTls,
            166 | 191 | 258 | 259 | 266 | 267 | 373 | 396 => Self::Version,
            294 => Self::Disconnected,
            199 => Self::NoCertificate,
            alert if alert > ALERTS => match alert - ALERTS {
                40 | 71 => Self::NoSharedSuite,
                42..=46 | 48 | 49 | 51 | 116 => Self::RefusedByPeer,
                70 => Self::Version,
                _ => Self::Malformed,
            },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_failures_have_names_of_their_own() {
        let mut names: Vec<_> = Failure::ALL.iter().map(|f| f.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Failure::ALL.len());
    }
}
