//! Sessions over real sockets: what ties a connection to one, and what does not.
//!
//! [`fixture`] has daemons of ours that have made an exchange, and raw clients that are not ours.
//! The exchange itself is not played here: both ends are told its outcome, as the programs that
//! run it tell them.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and so do its helpers"
)]

mod attacks;
#[path = "../tls/authority.rs"]
#[allow(dead_code, reason = "shared with the tests of TLS, which need more of it")]
mod authority;
mod exporter;
mod fixture;
mod relay;
mod ties;
