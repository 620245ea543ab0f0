//! How a connection proves that it belongs to a session.
//!
//! An exchange gives both its ends a [`TieKey`]. Whoever opens another connection puts a
//! [`ChannelClaim`] into the head of the first message of the session there: which session, which
//! of its claims, and an HMAC over that and over what is unique to the connection. Peers that know
//! nothing of this ignore the header.
//!
//! ```text
//! Alcazar-Channel: <32 hexadecimal digits>.<decimal>.<64 hexadecimal digits>
//!                   id of the session       counter   HMAC-SHA-256
//! ```

use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, KeyInit, Mac};
use http::HeaderName;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::sender::{ChannelSecret, PeerFacts};
use crate::upid::Upid;

/// The header with a claim.
pub const ALCAZAR_CHANNEL: HeaderName = HeaderName::from_static("alcazar-channel");

/// What both ends of an exchange call its session. Says nothing to anybody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SharedId(pub [u8; 16]);

/// The content of the header: that a connection belongs to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelClaim {
    /// The session.
    pub session: SharedId,
    /// Which of the claims of this direction of the session: each is made once.
    pub counter: u64,
    /// The proof.
    pub mac: [u8; 32],
}

impl fmt::Display for ChannelClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = |f: &mut fmt::Formatter<'_>, bytes: &[u8]| {
            bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
        };
        hex(f, &self.session.0)?;
        write!(f, ".{}.", self.counter)?;
        hex(f, &self.mac)
    }
}

/// A text is not a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the claim of a channel")]
pub struct NotAClaim;

impl FromStr for ChannelClaim {
    type Err = NotAClaim;

    /// Reads exactly what is written, so that two texts are never the same claim.
    fn from_str(text: &str) -> Result<Self, NotAClaim> {
        let mut parts = text.split('.');
        let (Some(session), Some(counter), Some(mac), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NotAClaim);
        };
        let canonical = counter.bytes().all(|b| b.is_ascii_digit()) && !counter.starts_with('0');
        let counter = counter.parse().ok().filter(|_| canonical).ok_or(NotAClaim)?;
        Ok(Self { session: SharedId(bytes(session)?), counter, mac: bytes(mac)? })
    }
}

fn bytes<const N: usize>(digits: &str) -> Result<[u8; N], NotAClaim> {
    let lower = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if digits.len() != 2 * N || !digits.bytes().all(lower) {
        return Err(NotAClaim);
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).map_err(|_| NotAClaim)?;
        *byte = u8::from_str_radix(pair, 16).map_err(|_| NotAClaim)?;
    }
    Ok(bytes)
}

/// Which way the messages of a connection go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From who was authenticated.
    FromClient,
    /// From who authenticated it.
    FromServer,
}

/// What a claim is bound to on its connection.
///
/// In plaintext nothing is unique to a connection: there a claim only shows that its maker has the
/// key, and that it was not made before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// Nothing: the connection is plain.
    Plaintext,
    /// The connection's `tls-exporter`.
    Exporter([u8; 32]),
}

impl Anchor {
    /// The anchor of a connection with these facts; `None` on an encrypted connection without one.
    #[must_use]
    pub fn of(facts: &PeerFacts) -> Option<Self> {
        match (facts.encrypted, facts.channel_binding) {
            (false, _) => Some(Self::Plaintext),
            (true, binding) => binding.map(Self::Exporter),
        }
    }
}

/// The key of one session. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct TieKey {
    id: SharedId,
    key: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for TieKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TieKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What the key of a session is made of, the same at both ends of its exchange.
#[derive(Clone, Copy, Debug)]
pub struct Ingredients<'a> {
    /// The name of the mechanism.
    pub mechanism: &'a str,
    /// The actor that was authenticated.
    pub client: &'a Upid,
    /// The key that came out of the mechanism, if it makes one.
    pub key: Option<&'a [u8; 32]>,
    /// What the two ends of the exchange's connection have in common, if it was encrypted.
    pub channel: Option<&'a ChannelSecret>,
}

impl TieKey {
    /// Makes the key. `None` if there is nothing that only the two ends know.
    ///
    /// Both secrets go into it where there are both: then the key is known only to those who took
    /// part in the exchange on the very same connection, and a relay between two connections
    /// leaves its ends with different keys.
    #[must_use]
    pub fn derive(ingredients: Ingredients<'_>) -> Option<Self> {
        let Ingredients { mechanism, client, key, channel } = ingredients;
        if key.is_none() && channel.is_none() {
            return None;
        }
        const NONE: [u8; 32] = [0; 32];
        let client = client.to_string();
        let present = [u8::from(key.is_some()), u8::from(channel.is_some())];
        let root = Zeroizing::new(hmac(
            key.unwrap_or(&NONE),
            &[
                b"Alcazar session",
                &present,
                channel.map_or(&NONE, |secret| secret.expose()),
                &length(mechanism),
                mechanism.as_bytes(),
                &length(&client),
                client.as_bytes(),
            ],
        ));
        let mut id = [0; 16];
        id.iter_mut().zip(hmac(&root, &[b"id"])).for_each(|(byte, of)| *byte = of);
        Some(Self { id: SharedId(id), key: Zeroizing::new(hmac(&root, &[b"claims"])) })
    }

    /// What both ends call the session.
    #[must_use]
    pub fn id(&self) -> SharedId {
        self.id
    }

    /// Claims a connection for the session.
    #[must_use]
    pub fn claim(&self, direction: Direction, counter: u64, anchor: Anchor) -> ChannelClaim {
        let mac = self.mac(direction, counter, anchor).finalize().into_bytes().into();
        ChannelClaim { session: self.id, counter, mac }
    }

    /// Whether `claim` was made with this key for this connection. How long that takes tells
    /// nothing about the key.
    #[must_use]
    pub fn verifies(&self, claim: &ChannelClaim, direction: Direction, anchor: Anchor) -> bool {
        claim.session == self.id
            && self.mac(direction, claim.counter, anchor).verify_slice(&claim.mac).is_ok()
    }

    fn mac(&self, direction: Direction, counter: u64, anchor: Anchor) -> Hmac<Sha256> {
        let mut mac = begin(&self.key);
        mac.update(ALCAZAR_CHANNEL.as_str().as_bytes());
        mac.update(match direction {
            Direction::FromClient => b"c",
            Direction::FromServer => b"s",
        });
        mac.update(&self.id.0);
        mac.update(&counter.to_be_bytes());
        match anchor {
            Anchor::Plaintext => mac.update(b"p"),
            Anchor::Exporter(exporter) => {
                mac.update(b"x");
                mac.update(&exporter);
            }
        }
        mac
    }
}

fn length(text: &str) -> [u8; 8] {
    (text.len() as u64).to_be_bytes()
}

fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = begin(key);
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

fn begin(key: &[u8; 32]) -> Hmac<Sha256> {
    // A key of half a block, as every key here is.
    let mut block = [0; 64];
    let (first, _) = block.split_at_mut(key.len());
    first.copy_from_slice(key);
    let mac = Hmac::new(&block.into());
    zeroize::Zeroize::zeroize(&mut block);
    mac
}

/// Which claims of one direction of a session were made already: the last ones one by one, all
/// older ones as a whole. Connections overtake each other, so claims do not come in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    highest: u64,
    /// Bit `n`: the claim `highest - n` was made.
    last: u64,
}

impl Seen {
    /// Enters a claim; `false` if it was made already, or is older than those that are known one
    /// by one.
    pub fn enter(&mut self, counter: u64) -> bool {
        if counter > self.highest {
            let by = u32::try_from(counter - self.highest).unwrap_or(u32::MAX);
            self.last = self.last.checked_shl(by).unwrap_or(0) | 1;
            self.highest = counter;
            return true;
        }
        let back = u32::try_from(self.highest - counter).unwrap_or(u32::MAX);
        match 1_u64.checked_shl(back) {
            Some(bit) if counter > 0 && self.last & bit == 0 => {
                self.last |= bit;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddrV4};

    use super::*;

    fn client() -> Upid {
        Upid::new("slave(1)", SocketAddrV4::new(Ipv4Addr::LOCALHOST, 5051))
    }

    #[test]
    fn authn_keys_differ_with_each_of_their_ingredients() {
        let client = client();
        let other = Upid::new("slave(2)", client.address);
        let (one, two) = (ChannelSecret::new([1; 32]), ChannelSecret::new([2; 32]));
        let mut ids = Vec::new();
        for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"] {
            for client in [&client, &other] {
                for key in [None, Some(&[0; 32]), Some(&[1; 32])] {
                    for channel in [None, Some(&one), Some(&two)] {
                        let made = Ingredients { mechanism, client, key, channel };
                        let made = TieKey::derive(made);
                        assert_eq!(made.is_none(), key.is_none() && channel.is_none());
                        ids.extend(made.map(|key| (key.id().0, *key.key)));
                    }
                }
            }
        }
        let count = ids.len();
        assert_eq!(count, 32);
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count);
    }

    #[test]
    fn authn_keys_and_claims_are_never_printed() {
        let key = [0xab; 32];
        let ingredients =
            Ingredients { mechanism: "X", client: &client(), key: Some(&key), channel: None };
        let made = TieKey::derive(ingredients).unwrap();
        let id: String = made.id().0.iter().map(|b| format!("{b:02x}")).collect();
        let printed = format!("{made:?}");
        assert!(printed.starts_with("TieKey { id: SharedId(") && printed.ends_with("), .. }"));
        let claim = made.claim(Direction::FromClient, 7, Anchor::Plaintext).to_string();
        assert!(claim.starts_with(&format!("{id}.7.")));
    }

    #[test]
    fn authn_each_claim_is_entered_once_in_whatever_order() {
        let mut seen = Seen::default();
        assert!(!seen.enter(0), "counters begin with 1");
        for counter in [1, 3, 2, 64, 66, 5, 70] {
            assert!(seen.enter(counter), "{counter}");
            assert!(!seen.enter(counter), "{counter}");
        }
        for again in [1, 2, 3, 5, 6, 64, 66, 70] {
            assert!(!seen.enter(again), "{again}");
        }
        assert!(seen.enter(7), "63 before the highest");
        assert!(seen.enter(u64::MAX) && !seen.enter(u64::MAX));
        assert!(!seen.enter(71));
        assert!(seen.enter(u64::MAX - 63) && !seen.enter(u64::MAX - 64));
    }
}
