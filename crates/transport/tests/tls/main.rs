//! TLS as policies say it, over real sockets.
//!
//! [`authority`] makes certificates, [`fixture`] folders with them, servers and foreign clients.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and so do its helpers"
)]

mod authority;
mod clients;
mod fixture;
mod material;
mod servers;
mod sessions;
mod suites;
