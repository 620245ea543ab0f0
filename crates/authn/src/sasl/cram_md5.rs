//! CRAM-MD5 (RFC 2195), as masters and clients of the original speak it
//! (`authentication.md` §4): their only mechanism.
//!
//! The server must know the secrets themselves, does not prove itself, and whoever hears an
//! exchange can guess the secret offline. So it is offered on encrypted connections only, unless
//! the settings say otherwise by name.

use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use model::principal::{Kinds, Principal};
use subtle::{Choice, ConstantTimeEq};

use super::{
    Accepted, Authenticatee, Authenticator, Channel, ClientError, ClientExchange, Nonce, Refused,
    ServerExchange, ServerProof, ServerStep, text,
};
use crate::Cost;
use crate::accounts::{Credential, Directory, StoredSecret};
use crate::proved::{Method, Proved};
use crate::secret::Secret;

pub(super) const NAME: &str = "CRAM-MD5";

/// In either direction.
const LONGEST: usize = 1024;

/// Hexadecimal digits of a digest.
const DIGITS: usize = 32;

/// The server's side.
#[derive(Debug)]
pub(super) struct Server {
    directory: Arc<dyn Directory>,
    host: String,
    danger_in_plaintext: bool,
}

impl Server {
    /// `host` is the name in the challenges.
    pub(super) fn new(
        directory: Arc<dyn Directory>,
        host: &str,
        danger_in_plaintext: bool,
    ) -> Self {
        let plain = |c: &char| c.is_ascii_graphic() && !matches!(c, '<' | '>');
        let host = host.chars().filter(plain).take(130).collect();
        Self { directory, host, danger_in_plaintext }
    }
}

impl Authenticator for Server {
    fn mechanism(&self) -> &str {
        NAME
    }

    /// Where some secret is kept in plain, since it can use no other form: were all of them hashed,
    /// it would refuse, and so end, agents whose secret is right. With no secrets at all it is
    /// offered: who is unknown is to hear that from the mechanism that it knows.
    fn is_offered(&self, channel: &Channel) -> bool {
        let accounts = self.directory.current();
        let mut secrets = accounts.iter().flat_map(|account| &account.secrets).peekable();
        let usable = secrets.peek().is_none()
            || secrets.any(|secret| matches!(secret, StoredSecret::Plain(_)));
        usable && (channel.encrypted || self.danger_in_plaintext)
    }

    fn cost(&self) -> Cost {
        Cost::Light
    }

    fn begin(&self, _: &Channel, _: &[String], nonce: Nonce) -> Box<dyn ServerExchange> {
        let (first, rest) = nonce.0.split_at(8);
        let first = first.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        let second = rest.iter().fold(0_u128, |sum, byte| sum << 8 | u128::from(*byte));
        let challenge = format!("<{first}.{second}@{}>", self.host).into_bytes();
        Box::new(Exchange {
            directory: Arc::clone(&self.directory),
            challenge,
            state: State::Begun,
        })
    }
}

#[derive(Debug)]
struct Exchange {
    directory: Arc<dyn Directory>,
    challenge: Vec<u8>,
    state: State,
}

#[derive(Debug)]
enum State {
    Begun,
    Challenged,
    Ended,
}

impl ServerExchange for Exchange {
    fn step(&mut self, input: &[u8]) -> ServerStep {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Begun if input.is_empty() => {
                self.state = State::Challenged;
                ServerStep::Continue(self.challenge.clone())
            }
            State::Begun => malformed("CRAM-MD5 takes no initial data"),
            State::Challenged => self.verify(input),
            State::Ended => malformed("the exchange is over"),
        }
    }
}

impl Exchange {
    fn verify(&self, input: &[u8]) -> ServerStep {
        if input.len() > LONGEST {
            return malformed("the response is too long");
        }
        let Some(space) = input.iter().rposition(|byte| *byte == b' ') else {
            return malformed("the response has no space");
        };
        let (principal, digest) = (&input[..space], &input[space + 1..]);
        if principal.is_empty() {
            return malformed("the response names nobody");
        }
        let trimmed = trim(principal);
        if trimmed.is_empty() {
            return malformed("the name in the response is blank");
        }
        let claimed = String::from_utf8_lossy(trimmed).into_owned();
        let refused = |reason: &str| {
            let claimed = Some(claimed.clone());
            ServerStep::Refused(Refused { claimed, reason: reason.to_owned() })
        };
        let accounts = self.directory.current();
        let account = std::str::from_utf8(trimmed).ok().and_then(|name| accounts.get(name));
        let secrets: Vec<&Secret> = account
            .into_iter()
            .flat_map(|account| &account.secrets)
            .filter_map(|secret| match secret {
                StoredSecret::Plain(secret) => Some(secret),
                StoredSecret::Scram(_) | StoredSecret::Argon2id(_) => None,
            })
            .collect();
        let (Some(account), false) = (account, secrets.is_empty()) else {
            let _ = self.matches(&Secret::from("nobody's"), digest);
            return match account {
                None => refused("unknown principal"),
                Some(_) => refused("of this principal no secret is kept that CRAM-MD5 could use"),
            };
        };
        if secrets.iter().all(|secret| secret.is_empty()) {
            return ServerStep::Malformed(text::generic_failure("empty secret"));
        }
        // All of them, whether or not one has matched.
        let matched = secrets.iter().filter(|secret| self.matches(secret, digest)).count();
        if matched == 0 {
            return refused("wrong secret");
        }
        // The name of the account, and not what was sent: one who may be called by several names
        // would be several to all rules about names.
        let proved = Proved {
            principal: Principal::named(account.principal.clone()),
            kinds: account.kinds.unwrap_or(Kinds::ANY),
            method: Method::new(NAME),
        };
        ServerStep::Completed(Accepted { proved, key: None })
    }

    /// Whether the first characters of `shown` are the digest under `secret`; what follows them
    /// does not count. An empty secret, and one with a NUL byte, of which the original knows a
    /// part only, match nothing.
    fn matches(&self, secret: &Secret, shown: &[u8]) -> bool {
        let expected = digest(secret, &self.challenge);
        let usable = !secret.is_empty() && !secret.expose().contains(&0);
        let Some(shown) = shown.get(..DIGITS) else { return false };
        (Choice::from(u8::from(usable)) & shown.ct_eq(&expected)).into()
    }
}

/// White space as C has it.
fn trim(name: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r');
    let start = name.iter().position(|byte| !blank(byte)).unwrap_or(name.len());
    let end = name.iter().rposition(|byte| !blank(byte)).map_or(start, |last| last + 1);
    &name[start..end]
}

fn malformed(detail: &str) -> ServerStep {
    ServerStep::Malformed(text::bad_protocol(detail))
}

/// HMAC-MD5 in lower-case hexadecimal digits.
fn digest(secret: &Secret, challenge: &[u8]) -> [u8; DIGITS] {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac = Hmac::<Md5>::new_from_slice(secret.expose()).expect("a key of any length");
    mac.update(challenge);
    let mut digits = [0; DIGITS];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(mac.finalize().into_bytes()) {
        pair[0] = b"0123456789abcdef"[usize::from(byte >> 4)];
        pair[1] = b"0123456789abcdef"[usize::from(byte & 15)];
    }
    digits
}

/// The client's side.
#[derive(Debug)]
pub(super) struct Client {
    credential: Credential,
    danger_in_plaintext: bool,
}

impl Client {
    pub(super) const fn new(credential: Credential, danger_in_plaintext: bool) -> Self {
        Self { credential, danger_in_plaintext }
    }
}

impl Authenticatee for Client {
    fn mechanism(&self) -> &str {
        NAME
    }

    fn is_usable(&self, channel: &Channel) -> bool {
        channel.encrypted || self.danger_in_plaintext
    }

    fn cost(&self) -> Cost {
        Cost::Light
    }

    fn begin(&self, _: &Channel, _: &[String], _: Nonce) -> Box<dyn ClientExchange> {
        Box::new(Response { credential: self.credential.clone(), answered: false })
    }
}

#[derive(Debug)]
struct Response {
    credential: Credential,
    answered: bool,
}

impl ClientExchange for Response {
    fn start(&mut self) -> Result<Vec<u8>, ClientError> {
        Ok(Vec::new())
    }

    fn has_shown_its_proof(&self) -> bool {
        self.answered
    }

    fn step(&mut self, input: &[u8]) -> Result<Vec<u8>, ClientError> {
        let malformed =
            |what: &str| Err(ClientError::Malformed { mechanism: NAME, what: what.to_owned() });
        if self.answered {
            return malformed("a second challenge");
        }
        if input.is_empty() || input.len() > LONGEST {
            return malformed("a challenge that is empty or longer than 1024 bytes");
        }
        self.answered = true;
        let mut response = self.credential.principal.clone().into_bytes();
        response.push(b' ');
        response.extend(digest(&self.credential.secret, input));
        Ok(response)
    }

    fn completed(&mut self) -> Result<ServerProof, ClientError> {
        if self.answered {
            return Ok(ServerProof { mutual: false, key: None });
        }
        Err(ClientError::Unproven("it is satisfied without having asked".to_owned()))
    }
}

#[cfg(test)]
mod authn_cram_md5;
