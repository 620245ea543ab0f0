//! What has a form on the wire, held to the original's tables and to its recorded traffic.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod captures;
mod check;
mod json;
mod properties;
mod random;
mod recordio;
mod tables;
