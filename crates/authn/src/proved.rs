//! What a successful authentication is worth.

use std::borrow::Cow;
use std::fmt;

use model::principal::{Kinds, Principal};

/// Somebody proved to be a principal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proved {
    /// Who.
    pub principal: Principal,
    /// As what kinds of component the credential lets its bearer speak.
    pub kinds: Kinds,
    /// How.
    pub method: Method,
}

/// How somebody proved who they are: the name of a SASL mechanism or of an HTTP scheme, or
/// `certificate`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Method(Cow<'static, str>);

impl Method {
    /// By a verified client certificate.
    pub const CERTIFICATE: Self = Self::new("certificate");
    /// By HTTP Basic.
    pub const BASIC: Self = Self::new("Basic");
    /// By a bearer token.
    pub const BEARER: Self = Self::new("Bearer");

    /// The method called `name`.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self(Cow::Borrowed(name))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Method {
    fn from(name: String) -> Self {
        Self(Cow::Owned(name))
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a verified certificate says about its holder, as the rules of the connection read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certified {
    /// The principal.
    pub principal: String,
    /// As what kinds of component it lets its holder speak: one where certificates carry
    /// identities, any where they do not.
    pub kinds: Kinds,
}
