//! The client's side.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::message;
use super::{
    BINDING, FEWEST_ITERATIONS, PLUS, client_signature, exchange_text, name, nonce_text,
    server_signature, session_key, xor,
};
use crate::Cost;
use crate::accounts::Credential;
use crate::accounts::derive::{MOST_ITERATIONS, salted_password};
use crate::mac::hmac_sha256;
use crate::sasl::{
    Authenticatee, Channel, ClientError, ClientExchange, Nonce, ServerProof, SessionKey,
};

/// One of the two mechanisms.
#[derive(Debug)]
pub(in crate::sasl) struct Client {
    salted: Arc<Salted>,
    plus: bool,
    /// Whether the client would use -PLUS if it were offered.
    plus_known: bool,
}

impl Client {
    pub(in crate::sasl) const fn new(salted: Arc<Salted>, plus: bool, plus_known: bool) -> Self {
        Self { salted, plus, plus_known }
    }

    /// An exchange in which `nonce` is the client's part of the nonce.
    pub(super) fn exchange(
        &self,
        channel: &Channel,
        offered: &[String],
        nonce: String,
    ) -> Exchange {
        let offers_plus = offered.iter().any(|name| name == PLUS);
        let unbound = !channel.encrypted || channel.binding.is_none();
        let (header, binding) = match self.plus {
            true => (format!("p={BINDING},,"), channel.binding),
            // Told so that a server that did offer it knows that somebody is in between: who has
            // a binding there and none here, or took -PLUS out of the list.
            false if self.plus_known && (unbound || !offers_plus) => ("y,,".to_owned(), None),
            // -PLUS is known and comes after this one in the client's own list.
            false => ("n,,".to_owned(), None),
        };
        let user = message::escaped(&self.salted.credential.principal);
        Exchange {
            salted: Arc::clone(&self.salted),
            mechanism: name(self.plus),
            // The bindings of one connection are there at both of its ends, or at none.
            downgraded: offers_plus && unbound && self.plus_known,
            first: format!("n={user},r={nonce}"),
            header,
            binding,
            nonce,
            state: State::Begun,
        }
    }
}

/// A credential, and what was derived from it: once for each salt, of which there is one as long
/// as the masters agree.
pub(in crate::sasl) struct Salted {
    credential: Credential,
    passwords: Mutex<Vec<SaltedPassword>>,
}

type SaltedPassword = (Vec<u8>, u32, Zeroizing<[u8; 32]>);

/// Salted passwords that are kept.
const MOST_KEPT: usize = 4;

impl fmt::Debug for Salted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.credential.fmt(f)
    }
}

impl Salted {
    pub(in crate::sasl) const fn new(credential: Credential) -> Self {
        Self { credential, passwords: Mutex::new(Vec::new()) }
    }

    /// Holds the lock meanwhile: whoever else asks wants the same.
    fn password(&self, salt: &[u8], iterations: u32) -> Zeroizing<[u8; 32]> {
        let mut kept = self.passwords.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = kept.iter().find(|one| one.0 == salt && one.1 == iterations) {
            return found.2.clone();
        }
        let password = salted_password(&self.credential.secret, salt, iterations);
        if kept.len() >= MOST_KEPT {
            kept.remove(0);
        }
        kept.push((salt.to_vec(), iterations, password.clone()));
        password
    }
}

impl Authenticatee for Client {
    fn mechanism(&self) -> &str {
        name(self.plus)
    }

    fn is_usable(&self, channel: &Channel) -> bool {
        !self.plus || channel.encrypted && channel.binding.is_some()
    }

    fn cost(&self) -> Cost {
        Cost::Blocking
    }

    fn begin(
        &self,
        channel: &Channel,
        offered: &[String],
        nonce: Nonce,
    ) -> Box<dyn ClientExchange> {
        Box::new(self.exchange(channel, offered, nonce_text(nonce)))
    }
}

#[derive(Debug)]
pub(super) struct Exchange {
    salted: Arc<Salted>,
    mechanism: &'static str,
    /// The server has a binding that this connection has not.
    downgraded: bool,
    header: String,
    binding: Option<[u8; 32]>,
    first: String,
    nonce: String,
    state: State,
}

#[derive(Debug)]
enum State {
    Begun,
    /// The server owes its proof, which is this.
    Proving {
        signature: [u8; 32],
        key: SessionKey,
    },
    /// The server has proved itself.
    Satisfied {
        key: SessionKey,
    },
    Ended,
}

impl ClientExchange for Exchange {
    fn start(&mut self) -> Result<Vec<u8>, ClientError> {
        if self.downgraded {
            return Err(ClientError::Downgraded(PLUS));
        }
        Ok(format!("{}{}", self.header, self.first).into_bytes())
    }

    fn has_shown_its_proof(&self) -> bool {
        matches!(self.state, State::Proving { .. } | State::Satisfied { .. })
    }

    fn step(&mut self, input: &[u8]) -> Result<Vec<u8>, ClientError> {
        let malformed = |what: &str| ClientError::Malformed {
            mechanism: self.mechanism,
            what: what.to_owned(),
        };
        let text = message::text(input).map_err(malformed)?;
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Begun => {
                let (answer, state) = self.answer(text).map_err(malformed)?;
                self.state = state;
                Ok(answer.into_bytes())
            }
            State::Proving { signature, key } => {
                let shown = message::server_final(text).map_err(malformed)?;
                if !bool::from(shown.ct_eq(signature.as_slice())) {
                    let what = "its signature is wrong".to_owned();
                    return Err(ClientError::Unproven(what));
                }
                self.state = State::Satisfied { key };
                Ok(Vec::new())
            }
            State::Satisfied { .. } | State::Ended => Err(malformed("more after the end")),
        }
    }

    fn completed(&mut self) -> Result<ServerProof, ClientError> {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Satisfied { key } => Ok(ServerProof { mutual: true, key: Some(key) }),
            State::Begun | State::Proving { .. } | State::Ended => Err(ClientError::Unproven(
                "it is satisfied before it has shown that it knows the secret".to_owned(),
            )),
        }
    }
}

impl Exchange {
    fn answer(&self, server_first: &str) -> Result<(String, State), &'static str> {
        let first = message::server_first(server_first)?;
        match first.nonce.strip_prefix(&self.nonce) {
            Some("") => return Err("the nonce has nothing of the server's"),
            Some(_) => {}
            None => return Err("the nonce is not that of this exchange"),
        }
        if first.iterations < FEWEST_ITERATIONS {
            return Err("the iteration count is below 4096");
        }
        if first.iterations > MOST_ITERATIONS {
            return Err("the iteration count is above 1000000");
        }
        let binding = self.binding.as_ref().map_or(&[][..], |binding| &binding[..]);
        let binding = STANDARD.encode([self.header.as_bytes(), binding].concat());
        let bare = format!("c={binding},r={}", first.nonce);
        let exchange = exchange_text(&self.first, server_first, &bare);
        let password = self.salted.password(&first.salt, first.iterations);
        let client_key = Zeroizing::new(hmac_sha256(&*password, &[b"Client Key"]));
        let server_key = Zeroizing::new(hmac_sha256(&*password, &[b"Server Key"]));
        let stored_key: [u8; 32] = Sha256::digest(*client_key).into();
        let proof = xor(*client_key, client_signature(&stored_key, &exchange));
        let state = State::Proving {
            signature: server_signature(&*server_key, &exchange),
            key: session_key(&stored_key, &client_key, &exchange),
        };
        Ok((format!("{bare},p={}", STANDARD.encode(proof)), state))
    }
}
