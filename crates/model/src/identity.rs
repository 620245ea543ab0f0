//! Who a component is: the name that its certificate carries as its one URI SAN.
//!
//! The form is a SPIFFE ID, `spiffe://<trust domain>/<kind>/<name>` (SPIFFE-ID §2). An
//! [`Identity`] is only a name; that a peer *has* it is known to whoever verified the
//! certificate, and is carried by the types of the `libprocess` crate.

use std::fmt;
use std::str::FromStr;

/// What kind of component a peer is. A principal of one kind is never taken for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Runs tasks on one machine.
    Agent,
    /// Runs inside a container and reports about its tasks.
    Executor,
    /// A scheduler.
    Framework,
    /// Decides for the cluster.
    Master,
    /// A person or a tool that looks after the cluster.
    Operator,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 5] =
        [Self::Agent, Self::Executor, Self::Framework, Self::Master, Self::Operator];

    /// The word that stands in the URI.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Executor => "executor",
            Self::Framework => "framework",
            Self::Master => "master",
            Self::Operator => "operator",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| IdentityError::Kind(text.to_owned()))
    }
}

/// Why a text is not an identity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The text does not have the form `spiffe://<trust domain>/<kind>/<name>`.
    #[error("`{0}` is not of the form spiffe://<trust domain>/<kind>/<name>")]
    Form(String),
    /// The trust domain holds something other than lower-case letters, digits, `.`, `-`, `_`.
    #[error("`{0}` is not a trust domain: lower-case letters, digits, '.', '-' and '_' only")]
    TrustDomain(String),
    /// The kind is none of [`Kind::ALL`].
    #[error("`{0}` is not a kind of component")]
    Kind(String),
    /// The name holds something other than letters, digits, `.`, `-`, `_`.
    #[error("`{0}` is not a name: letters, digits, '.', '-' and '_' only")]
    Name(String),
}

/// A set of components that accept one another's certificates: one cluster, as a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrustDomain(String);

impl TrustDomain {
    /// Checks `text` (SPIFFE-ID §2.1: at most 255 bytes).
    pub fn new(text: &str) -> Result<Self, IdentityError> {
        let fits = (1..=255).contains(&text.len());
        let valid =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-' | '_');
        if fits && text.chars().all(valid) {
            Ok(Self(text.to_owned()))
        } else {
            Err(IdentityError::TrustDomain(text.to_owned()))
        }
    }

    /// The trust domain as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of one component. [`fmt::Display`] and [`FromStr`] use the URI form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    trust_domain: TrustDomain,
    kind: Kind,
    name: String,
}

impl Identity {
    /// Joins the parts; only `name` can be wrong.
    pub fn new(trust_domain: TrustDomain, kind: Kind, name: &str) -> Result<Self, IdentityError> {
        let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let fits = (1..=255).contains(&name.len());
        if fits && name.chars().all(valid) && name != "." && name != ".." {
            Ok(Self { trust_domain, kind, name: name.to_owned() })
        } else {
            Err(IdentityError::Name(name.to_owned()))
        }
    }

    /// The cluster this component belongs to.
    #[must_use]
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// What the component is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Which of its kind it is.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}/{}/{}", self.trust_domain, self.kind, self.name)
    }
}

impl FromStr for Identity {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let form = || IdentityError::Form(text.to_owned());
        let rest = text.strip_prefix("spiffe://").ok_or_else(form)?;
        let mut parts = rest.split('/');
        let (Some(domain), Some(kind), Some(name), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(form());
        };
        Self::new(TrustDomain::new(domain)?, kind.parse()?, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_prints_as_the_uri_it_was_read_from() {
        let text = "spiffe://alcazar.local/agent/host-1";
        let identity: Identity = text.parse().unwrap();
        assert_eq!(identity.kind(), Kind::Agent);
        assert_eq!(identity.name(), "host-1");
        assert_eq!(identity.to_string(), text);
    }

    #[test]
    fn near_misses_are_not_identities() {
        for bad in [
            "",
            "spiffe://",
            "http://d/agent/x",
            "spiffe://d/agent",
            "spiffe://d/agent/x/y",
            "spiffe://d/agent/",
            "spiffe://D/agent/x",
            "spiffe://d/Agent/x",
            "spiffe://d/agent/..",
            "spiffe://d/agent/x?y",
            "spiffe://d/agent/x%2fy",
        ] {
            assert!(bad.parse::<Identity>().is_err(), "{bad}");
        }
    }
}
