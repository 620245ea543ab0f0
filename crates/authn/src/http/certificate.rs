//! The client certificate of the connection, as one authenticator among others.

use super::{Failed, HttpAuthenticator, Outcome, Presented, UNAUTHORIZED_BODY, Unauthorized};
use crate::Cost;
use crate::proved::{Method, Proved};
use model::principal::Principal;

/// Takes the principal that the rules of the connection read from its verified certificate. The
/// original has nothing of the kind.
#[derive(Debug)]
pub struct ClientCertificate {
    challenge: String,
}

impl ClientCertificate {
    /// For `realm`.
    #[must_use]
    pub fn new(realm: &str) -> Self {
        // A certificate is no HTTP scheme, so the challenge has a name of ours.
        Self { challenge: format!("ClientCertificate realm=\"{realm}\"") }
    }
}

impl HttpAuthenticator for ClientCertificate {
    fn scheme(&self) -> &str {
        "ClientCertificate"
    }

    fn cost(&self, _: &Presented<'_>) -> Cost {
        Cost::Light
    }

    fn authenticate(&self, presented: &Presented<'_>) -> Result<Outcome, Failed> {
        Ok(match presented.certificate {
            Some(certified) => Outcome::Proved(Proved {
                principal: Principal::named(&certified.principal),
                kinds: certified.kinds,
                method: Method::CERTIFICATE,
            }),
            None => Outcome::Unauthorized(Unauthorized {
                challenge: self.challenge.clone(),
                body: UNAUTHORIZED_BODY.to_owned(),
                claimed: None,
                tried: false,
                reason: "no verified client certificate that names a principal".to_owned(),
            }),
        })
    }
}
