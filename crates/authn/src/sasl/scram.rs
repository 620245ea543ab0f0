//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, 7677, 9266).
//!
//! Client and server prove to each other that they know the secret, or what is kept of it,
//! without saying it. With -PLUS the proof is about this very TLS connection: the only channel
//! binding is `tls-exporter`.
//!
//! Where the standards leave a choice:
//!
//! - Names and secrets are not prepared (SASLprep): they are UTF-8 and compared byte by byte, as
//!   the original does everywhere. What SASLprep would leave as it is, which is nearly all that
//!   is used, gives the same result with clients that prepare. Names with control characters are
//!   refused.
//! - Nobody may act for somebody else: an authorization id must be that of the principal.
//! - Optional extensions are read over, but are part of what is proved; mandatory ones (`m=`) are
//!   refused.
//! - Errors are not sent as `e=`: the exchange has messages for them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Nonce, SessionKey};
use crate::accounts::derive::ITERATIONS as FEWEST_ITERATIONS;
use crate::mac::hmac_sha256;

mod book;
mod client;
mod message;
mod server;

pub(super) use book::Book;
pub(super) use client::{Client, Salted};
pub(super) use server::Server;

pub(super) const NAME: &str = "SCRAM-SHA-256";
pub(super) const PLUS: &str = "SCRAM-SHA-256-PLUS";

/// The channel binding.
const BINDING: &str = "tls-exporter";

/// Longer messages are refused, in either direction.
const LONGEST: usize = 1024;

/// The length of salts that are made here.
pub(super) const SALT_LENGTH: usize = 16;

const fn name(plus: bool) -> &'static str {
    if plus { PLUS } else { NAME }
}

/// What each side contributes so that no exchange is like another.
fn nonce_text(nonce: Nonce) -> String {
    STANDARD.encode(nonce.0)
}

/// What the client's proof is made with (RFC 5802 §3).
fn client_signature(stored_key: &[u8; 32], exchange: &str) -> [u8; 32] {
    hmac_sha256(stored_key, &[exchange.as_bytes()])
}

/// The server's proof.
fn server_signature(server_key: &[u8], exchange: &str) -> [u8; 32] {
    hmac_sha256(server_key, &[exchange.as_bytes()])
}

/// The key that both ends have after an exchange: that of the GSS-API form (RFC 5802 §8). It
/// depends on the client's key, which a server does not keep and learns from the proof.
fn session_key(stored_key: &[u8; 32], client_key: &[u8; 32], exchange: &str) -> SessionKey {
    let label: &[u8] = b"GSS-API session key";
    SessionKey::new(hmac_sha256(stored_key, &[label, client_key, exchange.as_bytes()]))
}

fn xor(mut left: [u8; 32], right: [u8; 32]) -> [u8; 32] {
    for (left, right) in left.iter_mut().zip(right) {
        *left ^= right;
    }
    left
}

/// What is signed: the whole exchange.
fn exchange_text(client_first: &str, server_first: &str, client_final: &str) -> String {
    format!("{client_first},{server_first},{client_final}")
}

#[cfg(test)]
mod authn_scram;
