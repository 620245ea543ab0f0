//! The server's side.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::principal::Principal;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::book::{Book, Parameters};
use super::message::{self, Flag};
use super::{
    BINDING, PLUS, client_signature, exchange_text, name, nonce_text, server_signature,
    session_key, xor,
};
use crate::Cost;
use crate::proved::{Method, Proved};
use crate::sasl::{
    Accepted, Authenticator, Channel, Nonce, Refused, ServerExchange, ServerStep, text,
};

/// One of the two mechanisms.
#[derive(Debug)]
pub(in crate::sasl) struct Server {
    book: Arc<Book>,
    plus: bool,
}

impl Server {
    pub(in crate::sasl) const fn new(book: Arc<Book>, plus: bool) -> Self {
        Self { book, plus }
    }

    /// An exchange in which `nonce` is the server's part of the nonce.
    pub(super) fn exchange(
        &self,
        channel: &Channel,
        offered: &[String],
        nonce: String,
    ) -> Exchange {
        Exchange {
            book: Arc::clone(&self.book),
            plus: self.plus,
            plus_offered: offered.iter().any(|name| name == PLUS),
            binding: channel.binding.filter(|_| self.plus),
            nonce,
            state: State::Begun,
        }
    }
}

impl Authenticator for Server {
    fn mechanism(&self) -> &str {
        name(self.plus)
    }

    fn is_offered(&self, channel: &Channel) -> bool {
        let fits = !self.plus || channel.encrypted && channel.binding.is_some();
        fits && self.book.is_of_use()
    }

    fn cost(&self) -> Cost {
        if self.book.has_plain() { Cost::Blocking } else { Cost::Light }
    }

    fn begin(
        &self,
        channel: &Channel,
        offered: &[String],
        nonce: Nonce,
    ) -> Box<dyn ServerExchange> {
        Box::new(self.exchange(channel, offered, nonce_text(nonce)))
    }
}

#[derive(Debug)]
pub(super) struct Exchange {
    book: Arc<Book>,
    plus: bool,
    /// Whether a client that knows channel binding was told that this server does.
    plus_offered: bool,
    binding: Option<[u8; 32]>,
    nonce: String,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The client has the first word.
    Begun,
    /// The client knows its salt.
    Salted(Box<Salted>),
    /// The client has proved itself and has the server's proof; it will say whether it believes.
    Proved(Box<Accepted>),
    Ended,
}

#[derive(Debug)]
struct Salted {
    principal: String,
    parameters: Parameters,
    client_first: String,
    server_first: String,
    /// What the client must say about the binding, in base64.
    binding: String,
    nonce: String,
}

impl ServerExchange for Exchange {
    fn step(&mut self, input: &[u8]) -> ServerStep {
        let stepped = match std::mem::replace(&mut self.state, State::Ended) {
            State::Begun => message::text(input).and_then(|input| self.first(input)),
            State::Salted(salted) => {
                message::text(input).and_then(|input| self.last(&salted, input))
            }
            State::Proved(accepted) if input.is_empty() => Ok(ServerStep::Completed(*accepted)),
            State::Proved(_) => Err("there is more after the server's proof"),
            State::Ended => Err("the exchange is over"),
        };
        stepped.unwrap_or_else(|detail| ServerStep::Malformed(text::bad_protocol(detail)))
    }
}

impl Exchange {
    fn first(&mut self, input: &str) -> Result<ServerStep, &'static str> {
        let first = message::client_first(input)?;
        let mut cbind = first.header.as_bytes().to_vec();
        match (self.plus, first.flag) {
            (true, Flag::Used(BINDING)) => {
                cbind.extend(self.binding.ok_or("the connection has no channel binding")?);
            }
            (true, Flag::Used(_)) => return Err("of channel bindings only tls-exporter is known"),
            (true, Flag::Unknown | Flag::Unused) => {
                return Err("this mechanism is about channel binding, and the client has none");
            }
            (false, Flag::Used(_)) => return Err("this mechanism has no channel binding"),
            (false, Flag::Unused) if self.plus_offered => {
                return Err("the client was not shown that channel binding is offered: somebody \
                            is in between");
            }
            (false, Flag::Unknown | Flag::Unused) => {}
        }
        if first.authorization.is_some_and(|name| name != first.principal) {
            return Ok(ServerStep::Refused(Refused {
                claimed: Some(first.principal),
                reason: "asked to be taken for somebody else".to_owned(),
            }));
        }
        let parameters = self.book.parameters(&first.principal);
        let nonce = format!("{}{}", first.nonce, self.nonce);
        let salt = STANDARD.encode(&parameters.salt);
        let server_first = format!("r={nonce},s={salt},i={}", parameters.iterations);
        let binding = STANDARD.encode(cbind);
        self.state = State::Salted(Box::new(Salted {
            principal: first.principal,
            parameters,
            client_first: first.bare.to_owned(),
            server_first: server_first.clone(),
            binding,
            nonce,
        }));
        Ok(ServerStep::Continue(server_first.into_bytes()))
    }

    fn last(&mut self, salted: &Salted, input: &str) -> Result<ServerStep, &'static str> {
        let last = message::client_final(input)?;
        if !bool::from(last.binding.as_bytes().ct_eq(salted.binding.as_bytes())) {
            return Err("the channel bindings differ: somebody is in between");
        }
        if last.nonce != salted.nonce {
            return Err("the nonce is another");
        }
        let exchange = exchange_text(&salted.client_first, &salted.server_first, last.bare);
        let candidates = self.book.candidates(&salted.principal, &salted.parameters);
        let mut matched = None;
        // All of them, whether or not one has matched.
        for keys in candidates.keys.iter().filter_map(|cell| cell.get()) {
            let signature = client_signature(&keys.stored_key, &exchange);
            let client_key = Zeroizing::new(xor(last.proof, signature));
            let stored_key: [u8; 32] = Sha256::digest(*client_key).into();
            if stored_key.ct_eq(&keys.stored_key).into() {
                let key = session_key(&keys.stored_key, &client_key, &exchange);
                matched = Some((key, server_signature(keys.server_key.expose(), &exchange)));
            }
        }
        let (Some((key, signature)), Some(kinds)) = (matched, candidates.account) else {
            let reason = match candidates.account {
                Some(_) => "wrong secret",
                None => "unknown principal, or one of which nothing is kept that SCRAM could use",
            };
            return Ok(ServerStep::Refused(Refused {
                claimed: Some(salted.principal.clone()),
                reason: reason.to_owned(),
            }));
        };
        let principal = salted.principal.clone();
        let proved = Proved {
            principal: Principal::named(principal.clone()),
            kinds,
            method: Method::new(name(self.plus)),
        };
        self.state = State::Proved(Box::new(Accepted { proved, key: Some(key) }));
        let data = format!("v={}", STANDARD.encode(signature)).into_bytes();
        Ok(ServerStep::Confirm { principal, data })
    }
}
