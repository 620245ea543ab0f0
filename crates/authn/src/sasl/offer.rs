//! Which mechanisms a program offers or uses, in which order.

use std::sync::Arc;

use super::{Authenticatee, Authenticator, Channel, cram_md5, external, plain, scram};
use crate::accounts::{Credential, Directory};
use crate::password::Passwords;
use crate::secret::Secret;

/// All mechanisms, strongest first. ANONYMOUS is not among them: it would let anybody pass for
/// somebody who has been asked.
pub const MECHANISMS: [&str; 5] =
    [scram::PLUS, scram::NAME, external::NAME, plain::NAME, cram_md5::NAME];

/// A list of mechanisms with a name in it that this program does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{:?} is not a known mechanism; known are {}", .0, MECHANISMS.join(", "))]
pub struct UnknownMechanism(pub String);

/// What a server is told.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// The names of the mechanisms to offer, in the order of preference; see [`MECHANISMS`].
    pub mechanisms: Vec<String>,
    /// Whether CRAM-MD5 is offered on plaintext connections too. PLAIN never is.
    pub danger_plaintext_secrets: bool,
    /// The server's host name, for the challenges of CRAM-MD5.
    pub host: String,
    /// From which salts are derived: those of unknown principals, and of those whose secret is
    /// kept in plain. At least 16 random bytes; it should be the same over restarts and on all
    /// masters, since salts that change tell who is unknown.
    pub salt_key: Secret,
    /// The iteration count for secrets kept in plain, at least 4096.
    pub iterations: u32,
}

/// What a client is told.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// The names of the mechanisms to use, in the order of preference; see [`MECHANISMS`].
    pub mechanisms: Vec<String>,
    /// Whether CRAM-MD5 is used on plaintext connections too. PLAIN never is.
    pub danger_plaintext_secrets: bool,
    /// The credential, if there is one. With an empty secret it counts as none.
    pub credential: Option<Credential>,
    /// Whether the client shows a certificate, so that EXTERNAL may be used.
    pub certificate: bool,
}

/// The mechanisms of a server, in the order in which they are offered.
#[derive(Clone, Debug)]
pub struct Authenticators(Arc<[Arc<dyn Authenticator>]>);

impl Authenticators {
    /// Those, in this order: how implementations from elsewhere come in.
    #[must_use]
    pub fn new(authenticators: Vec<Arc<dyn Authenticator>>) -> Self {
        Self(authenticators.into())
    }

    /// Those of this crate that `settings` name.
    pub fn from_settings(
        settings: &ServerSettings,
        directory: &Arc<dyn Directory>,
    ) -> Result<Self, UnknownMechanism> {
        let book = Arc::new(scram::Book::new(
            Arc::clone(directory),
            settings.salt_key.clone(),
            settings.iterations,
        ));
        let passwords = Arc::new(Passwords::new(Arc::clone(directory)));
        let make = |name: &String| -> Result<Arc<dyn Authenticator>, UnknownMechanism> {
            Ok(match name.as_str() {
                scram::PLUS => Arc::new(scram::Server::new(Arc::clone(&book), true)),
                scram::NAME => Arc::new(scram::Server::new(Arc::clone(&book), false)),
                plain::NAME => Arc::new(plain::Server::new(Arc::clone(&passwords))),
                external::NAME => Arc::new(external::Server),
                cram_md5::NAME => Arc::new(cram_md5::Server::new(
                    Arc::clone(directory),
                    &settings.host,
                    settings.danger_plaintext_secrets,
                )),
                _ => return Err(UnknownMechanism(name.clone())),
            })
        };
        settings.mechanisms.iter().map(make).collect::<Result<_, _>>().map(Self::new)
    }

    /// The names of those that may be offered on `channel`.
    #[must_use]
    pub fn offered(&self, channel: &Channel) -> Vec<String> {
        let offered = self.0.iter().filter(|one| one.is_offered(channel));
        offered.map(|one| one.mechanism().to_owned()).collect()
    }

    /// The one called `mechanism`.
    #[must_use]
    pub fn get(&self, mechanism: &str) -> Option<&Arc<dyn Authenticator>> {
        self.0.iter().find(|one| one.mechanism() == mechanism)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Authenticator>> {
        self.0.iter()
    }
}

/// The mechanisms of a client, in the order of its preference.
#[derive(Clone, Debug)]
pub struct Authenticatees(Arc<[Arc<dyn Authenticatee>]>);

impl Authenticatees {
    /// Those, in this order: how implementations from elsewhere come in.
    #[must_use]
    pub fn new(authenticatees: Vec<Arc<dyn Authenticatee>>) -> Self {
        Self(authenticatees.into())
    }

    /// Those of this crate that `settings` name and for which the client has what they need.
    /// Made once and kept: what a mechanism computes from the secret is computed once.
    pub fn from_settings(settings: &ClientSettings) -> Result<Self, UnknownMechanism> {
        let credential = settings.credential.as_ref().filter(|one| !one.secret.is_empty());
        let salted = credential.map(|credential| Arc::new(scram::Salted::new(credential.clone())));
        let plus_known = settings.mechanisms.iter().any(|name| name == scram::PLUS);
        let mut all: Vec<Arc<dyn Authenticatee>> = Vec::new();
        for name in &settings.mechanisms {
            let plus = name == scram::PLUS;
            match (name.as_str(), credential) {
                (scram::PLUS | scram::NAME, _) => {
                    let client = |salted| scram::Client::new(salted, plus, plus_known);
                    all.extend(salted.clone().map(|salted| Arc::new(client(salted)) as _));
                }
                (plain::NAME, Some(credential)) => {
                    all.push(Arc::new(plain::Client::new(credential.clone())));
                }
                (external::NAME, _) if settings.certificate => {
                    all.push(Arc::new(external::Client));
                }
                (cram_md5::NAME, Some(credential)) => all.push(Arc::new(cram_md5::Client::new(
                    credential.clone(),
                    settings.danger_plaintext_secrets,
                ))),
                (known, _) if MECHANISMS.contains(&known) => {}
                _ => return Err(UnknownMechanism(name.clone())),
            }
        }
        Ok(Self::new(all))
    }

    /// Whether there is none: the client has nothing to prove itself with.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Authenticatee>> {
        self.0.iter()
    }
}
