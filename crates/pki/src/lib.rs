//! The cluster's certificate authority: names, issuing, identities in certificates.
//!
//! An [`Authority`] is a root and an intermediate certificate of one trust domain. It issues
//! [`Leaf`]s: short-lived certificates in which a component's [`Identity`] is the one URI SAN,
//! beside the DNS names and addresses at which it is reached. [`identity_of`] reads an identity
//! back out of a certificate; that the certificate's chain verifies is for the caller to know.
//!
//! [`Store`] is the layout on disk, the only module that opens files. The moment (`now`) is an
//! argument everywhere; keys and serial numbers come from OpenSSL's generator.
//!
//! [`Identity`]: model::identity::Identity

mod authority;
mod files;
mod identity;
mod leaf;
mod secret;
mod store;

pub use authority::{Authority, AuthorityError};
pub use identity::{IdentityOfError, identity_of, identity_of_pem};
pub use leaf::{IssueError, KeyKind, Leaf, LeafRequest};
pub use secret::PrivateKeyPem;
pub use store::{LeafPaths, Opened, Store, StoreError};

use std::time::Duration;

use model::time::Timestamp;
use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::error::ErrorStack;
use openssl::x509::X509;

/// A day.
pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a leaf lives unless asked otherwise.
pub const LEAF_LIFETIME: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// A certificate with less than this to live deserves a warning.
pub const EXPIRY_WARNING: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// How long the first certificate in `pem` is still valid at `now`; zero if it is not any more.
pub fn expires_in(pem: &[u8], now: Timestamp) -> Result<Duration, ErrorStack> {
    let end = timestamp(X509::from_pem(pem)?.not_after())?;
    Ok(end.since_epoch().saturating_sub(now.since_epoch()))
}

/// The moment as a certificate writes it: whole seconds.
fn asn1_time(moment: Duration) -> Result<Asn1Time, ErrorStack> {
    Asn1Time::from_unix(moment.as_secs().try_into().unwrap_or(i64::MAX))
}

/// The moment in a certificate; the epoch if it lies before.
fn timestamp(time: &Asn1TimeRef) -> Result<Timestamp, ErrorStack> {
    let since = Asn1Time::from_unix(0)?.diff(time)?;
    let seconds = i64::from(since.days) * 86_400 + i64::from(since.secs);
    Ok(Timestamp::new(Duration::from_secs(seconds.try_into().unwrap_or(0))))
}
