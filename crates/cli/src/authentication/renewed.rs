//! An agent's mechanisms, which follow the file with its credential.

use std::sync::Arc;

use authn::Cost;
use authn::live::Live;
use authn::sasl::offer::Authenticatees;
use authn::sasl::{Authenticatee, Channel, ClientExchange, Nonce};

/// One mechanism with whatever credential counts now.
#[derive(Debug)]
pub(super) struct Renewed {
    mechanism: String,
    /// All mechanisms of the present credential.
    all: Arc<Live<Authenticatees>>,
}

impl Renewed {
    /// One for each of `mechanisms`.
    pub(super) fn each(
        mechanisms: &[String],
        all: &Arc<Live<Authenticatees>>,
    ) -> Vec<Arc<dyn Authenticatee>> {
        let one = |mechanism: &String| -> Arc<dyn Authenticatee> {
            Arc::new(Self { mechanism: mechanism.clone(), all: Arc::clone(all) })
        };
        mechanisms.iter().map(one).collect()
    }

    fn current(&self) -> Option<Arc<dyn Authenticatee>> {
        let all = self.all.current();
        all.iter().find(|one| one.mechanism() == self.mechanism).cloned()
    }
}

impl Authenticatee for Renewed {
    fn mechanism(&self) -> &str {
        &self.mechanism
    }

    fn is_usable(&self, channel: &Channel) -> bool {
        self.current().is_some_and(|current| current.is_usable(channel))
    }

    fn cost(&self) -> Cost {
        self.current().map_or(Cost::Light, |current| current.cost())
    }

    fn begin(
        &self,
        channel: &Channel,
        offered: &[String],
        nonce: Nonce,
    ) -> Box<dyn ClientExchange> {
        match self.current() {
            Some(current) => current.begin(channel, offered, nonce),
            // The credential was replaced by an empty one since it was found usable.
            None => Box::new(Gone),
        }
    }
}

/// The exchange of a client that has nothing to say any more.
#[derive(Debug)]
struct Gone;

impl ClientExchange for Gone {
    fn start(&mut self) -> Vec<u8> {
        Vec::new()
    }

    fn step(&mut self, _: &[u8]) -> Result<Vec<u8>, authn::sasl::ClientError> {
        Err(gone())
    }

    fn completed(&mut self) -> Result<authn::sasl::ServerProof, authn::sasl::ClientError> {
        Err(gone())
    }
}

fn gone() -> authn::sasl::ClientError {
    authn::sasl::ClientError::Unproven("our credential is gone".to_owned())
}
