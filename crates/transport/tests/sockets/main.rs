//! The transport over real sockets, with real certificates, against peers that behave and peers
//! that do not.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and so do its helpers"
)]

mod fixture;
mod tap;

mod attacks;
mod batches;
mod deadlines;
mod downgrade;
mod http;
mod links;
mod senders;
mod survival;
