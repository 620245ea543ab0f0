//! PLAIN (RFC 4616): the secret itself. On encrypted connections only, whatever the settings
//! say, and a client says it only to a server whose certificate it has verified.

use std::fmt;
use std::sync::Arc;

use super::{
    Accepted, Authenticatee, Authenticator, Channel, ClientError, ClientExchange, Nonce, Refused,
    ServerExchange, ServerProof, ServerStep, text,
};
use crate::Cost;
use crate::accounts::Credential;
use crate::password::Passwords;
use crate::proved::Method;

pub(super) const NAME: &str = "PLAIN";

const LONGEST: usize = 1024;

/// The server's side.
#[derive(Debug)]
pub(super) struct Server {
    passwords: Arc<Passwords>,
}

impl Server {
    pub(super) const fn new(passwords: Arc<Passwords>) -> Self {
        Self { passwords }
    }
}

impl Authenticator for Server {
    fn mechanism(&self) -> &str {
        NAME
    }

    fn is_offered(&self, channel: &Channel) -> bool {
        channel.encrypted
    }

    fn cost(&self) -> Cost {
        Cost::Blocking
    }

    fn begin(&self, channel: &Channel, _: &[String], _: Nonce) -> Box<dyn ServerExchange> {
        let state = if channel.encrypted { State::Begun } else { State::Ended };
        Box::new(Exchange { passwords: Arc::clone(&self.passwords), state })
    }
}

#[derive(Debug)]
struct Exchange {
    passwords: Arc<Passwords>,
    state: State,
}

#[derive(Debug)]
enum State {
    Begun,
    Asked,
    Ended,
}

impl ServerExchange for Exchange {
    fn step(&mut self, input: &[u8]) -> ServerStep {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Begun if input.is_empty() => {
                self.state = State::Asked;
                ServerStep::Continue(Vec::new())
            }
            State::Begun | State::Asked => self.verify(input),
            State::Ended => malformed("there is no exchange"),
        }
    }
}

impl Exchange {
    fn verify(&self, input: &[u8]) -> ServerStep {
        if input.len() > LONGEST {
            return malformed("the message is too long");
        }
        let mut parts = input.split(|byte| *byte == 0);
        let (Some(authorization), Some(principal), Some(secret), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return malformed("the message has not three parts");
        };
        let Ok(principal) = std::str::from_utf8(principal) else {
            return malformed("the name is not UTF-8");
        };
        if principal.is_empty() || principal.chars().any(char::is_control) {
            return malformed("the name is empty or has control characters");
        }
        if secret.is_empty() {
            return malformed("there is no secret");
        }
        let refused = |reason: String| {
            ServerStep::Refused(Refused { claimed: Some(principal.to_owned()), reason })
        };
        if !authorization.is_empty() && authorization != principal.as_bytes() {
            return refused("asked to be taken for somebody else".to_owned());
        }
        match self.passwords.check(principal, secret, Method::new(NAME)) {
            Ok(proved) => ServerStep::Completed(Accepted { proved, key: None }),
            Err(error) => refused(error.to_string()),
        }
    }
}

fn malformed(detail: &str) -> ServerStep {
    ServerStep::Malformed(text::bad_protocol(detail))
}

/// The client's side.
#[derive(Debug)]
pub(super) struct Client {
    credential: Credential,
}

impl Client {
    pub(super) const fn new(credential: Credential) -> Self {
        Self { credential }
    }
}

impl Authenticatee for Client {
    fn mechanism(&self) -> &str {
        NAME
    }

    fn is_usable(&self, channel: &Channel) -> bool {
        channel.encrypted && channel.certificate.is_some()
    }

    fn cost(&self) -> Cost {
        Cost::Light
    }

    fn begin(&self, _: &Channel, _: &[String], _: Nonce) -> Box<dyn ClientExchange> {
        let principal = self.credential.principal.as_bytes();
        let message = [b"\0", principal, b"\0", self.credential.secret.expose()].concat();
        Box::new(Telling { message })
    }
}

struct Telling {
    message: Vec<u8>,
}

impl fmt::Debug for Telling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Telling")
    }
}

impl ClientExchange for Telling {
    fn start(&mut self) -> Result<Vec<u8>, ClientError> {
        Ok(std::mem::take(&mut self.message))
    }

    fn has_shown_its_proof(&self) -> bool {
        self.message.is_empty()
    }

    fn step(&mut self, _: &[u8]) -> Result<Vec<u8>, ClientError> {
        let what = "a question, although everything is said".to_owned();
        Err(ClientError::Malformed { mechanism: NAME, what })
    }

    fn completed(&mut self) -> Result<ServerProof, ClientError> {
        Ok(ServerProof { mutual: false, key: None })
    }
}
