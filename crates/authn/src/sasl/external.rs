//! EXTERNAL (RFC 4422 appendix A): the client is who its certificate says.
//!
//! Whether the certificate is valid, and which principal it names, was settled when the
//! connection was made; here the client only asks to be taken for it.

use model::principal::Principal;

use super::{
    Accepted, Authenticatee, Authenticator, Channel, ClientError, ClientExchange, Nonce, Refused,
    ServerExchange, ServerProof, ServerStep, text,
};
use crate::Cost;
use crate::proved::{Certified, Method, Proved};

pub(super) const NAME: &str = "EXTERNAL";

/// Longer names of principals are not read.
const LONGEST: usize = 1024;

/// The server's side.
#[derive(Debug)]
pub(super) struct Server;

impl Authenticator for Server {
    fn mechanism(&self) -> &str {
        NAME
    }

    fn is_offered(&self, channel: &Channel) -> bool {
        channel.encrypted && channel.certificate.is_some()
    }

    fn cost(&self) -> Cost {
        Cost::Light
    }

    fn begin(&self, channel: &Channel, _: &[String], _: Nonce) -> Box<dyn ServerExchange> {
        let certificate = channel.certificate.clone().filter(|_| channel.encrypted);
        Box::new(Exchange { certificate })
    }
}

#[derive(Debug)]
struct Exchange {
    certificate: Option<Certified>,
}

impl ServerExchange for Exchange {
    fn step(&mut self, input: &[u8]) -> ServerStep {
        // Nothing sent and nothing asked for is the same on this wire: be who you are.
        if input.len() > LONGEST {
            return ServerStep::Malformed(text::bad_protocol("the authorization id is too long"));
        }
        let Some(certificate) = self.certificate.take() else {
            let reason = "the connection has no certificate".to_owned();
            return ServerStep::Refused(Refused { claimed: None, reason });
        };
        if !input.is_empty() && input != certificate.principal.as_bytes() {
            return ServerStep::Refused(Refused {
                claimed: Some(String::from_utf8_lossy(input).into_owned()),
                reason: format!(
                    "asked to be taken for somebody else than its certificate's {}",
                    certificate.principal.escape_debug(),
                ),
            });
        }
        let principal = Principal::named(certificate.principal);
        let proved = Proved { principal, kinds: certificate.kinds, method: Method::new(NAME) };
        ServerStep::Completed(Accepted { proved, key: None })
    }
}

/// The client's side: of one that has a certificate.
#[derive(Debug)]
pub(super) struct Client;

impl Authenticatee for Client {
    fn mechanism(&self) -> &str {
        NAME
    }

    /// Only with a server whose certificate was verified: nothing else says who is obeyed
    /// afterwards.
    fn is_usable(&self, channel: &Channel) -> bool {
        channel.encrypted && channel.certificate.is_some()
    }

    fn cost(&self) -> Cost {
        Cost::Light
    }

    fn begin(&self, _: &Channel, _: &[String], _: Nonce) -> Box<dyn ClientExchange> {
        Box::new(Self)
    }
}

impl ClientExchange for Client {
    fn start(&mut self) -> Result<Vec<u8>, ClientError> {
        Ok(Vec::new())
    }

    /// That is the connection.
    fn has_shown_its_proof(&self) -> bool {
        true
    }

    fn step(&mut self, _: &[u8]) -> Result<Vec<u8>, ClientError> {
        let what = "data, although everything is said".to_owned();
        Err(ClientError::Malformed { mechanism: NAME, what })
    }

    fn completed(&mut self) -> Result<ServerProof, ClientError> {
        Ok(ServerProof { mutual: false, key: None })
    }
}
