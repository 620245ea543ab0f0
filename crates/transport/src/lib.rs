//! Sockets, TLS and HTTP: listeners, links, streams.
//!
//! The only crate that knows OpenSSL and the only one that fills
//! [`PeerFacts`](libprocess::sender::PeerFacts). It moves bytes and enforces what every
//! connection owes (deadlines, limits, a verified peer, a bound sender); it decides nothing about
//! what a message or a request means.
//!
//! Read first: [`tls::Security`] (what protects connections), [`server::Handler`] (what a
//! program serves), [`messenger::Messenger`] (messages to others, links), [`client::Client`]
//! (requests to the HTTP APIs of others).

pub mod client;
pub mod counters;
pub mod messenger;
pub mod seldom;
pub mod server;
pub mod sessions;
pub mod tls;

mod causes;
mod dial;
mod stream;

pub use causes::with_causes;
