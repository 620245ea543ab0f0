//! Who is it? SASL mechanisms, HTTP schemes, credentials, tokens.
//!
//! Everything here is pure: bytes, facts about the connection, nonces and the time go in, values
//! come out. Sockets, files and threads belong to the drivers, which is why what may take long
//! only says so ([`Cost`]) and is then run where it may.
//!
//! Read first: [`sasl::Authenticator`] and [`sasl::Authenticatee`] (libprocess),
//! [`http::HttpAuthenticator`] (HTTP): the traits that everything here implements, and that what
//! comes later (Kerberos, LDAP, PAM, programs) implements too. [`accounts::Accounts`] is who is
//! known.

pub mod accounts;
pub mod audit;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod diagnosis;
pub mod http;
pub mod jwt;
pub mod live;
mod mac;
pub mod password;
pub mod proved;
pub mod sasl;
pub mod secret;
pub mod throttle;

/// What asking an authenticator costs its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// Some microseconds: it is asked where the question arises.
    Light,
    /// Much computation, or waiting for somebody else: it is asked on a thread for that, of which
    /// there are few, and within a deadline.
    Blocking,
}
