//! Who somebody proved to be, by whatever means.
//!
//! A [`Principal`] is only a name; that somebody *is* it is known to whoever checked the proof
//! (the `authn` crate), and is carried by the types of `libprocess` and `endpoints`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::identity::{IdentityError, Kind};

/// A name, claims, or both; never neither (`authentication.md` §12).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Principal {
    value: Option<String>,
    claims: BTreeMap<String, String>,
}

impl Principal {
    /// Somebody with a name and no claims.
    #[must_use]
    pub fn named(value: impl Into<String>) -> Self {
        Self { value: Some(value.into()), claims: BTreeMap::new() }
    }

    /// Joins the parts; `None` if there is neither a name nor a claim.
    #[must_use]
    pub fn new(value: Option<String>, claims: BTreeMap<String, String>) -> Option<Self> {
        (value.is_some() || !claims.is_empty()).then_some(Self { value, claims })
    }

    /// The name. Bearers of executor tokens have none.
    #[must_use]
    pub fn value(&self) -> Option<&str> {
        self.value.as_deref()
    }

    /// What is said about its bearer, such as the container that it is.
    #[must_use]
    pub fn claims(&self) -> &BTreeMap<String, String> {
        &self.claims
    }
}

/// The original's form: the name alone if there are no claims, otherwise JSON.
impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(value), true) = (&self.value, self.claims.is_empty()) {
            return f.write_str(value);
        }
        f.write_str("{")?;
        f.write_str("\"claims\":{")?;
        for (n, (name, claim)) in self.claims.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            write!(f, "{comma}{}:{}", JsonText(name), JsonText(claim))?;
        }
        f.write_str("}")?;
        if let Some(value) = &self.value {
            write!(f, ",\"value\":{}", JsonText(value))?;
        }
        f.write_str("}")
    }
}

/// A JSON string.
struct JsonText<'a>(&'a str);

impl fmt::Display for JsonText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                c if c.is_control() => write!(f, "\\u{:04x}", u32::from(c))?,
                c => write!(f, "{c}")?,
            }
        }
        f.write_str("\"")
    }
}

/// As what kinds of component a credential or certificate lets its bearer speak.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kinds(u8);

impl Kinds {
    /// All of them: credentials of the original say nothing about kinds.
    pub const ANY: Self = Self(0b1_1111);
    /// None.
    pub const NONE: Self = Self(0);

    const fn bit(kind: Kind) -> u8 {
        1 << kind as u8
    }

    /// Only `kind`.
    #[must_use]
    pub const fn only(kind: Kind) -> Self {
        Self(Self::bit(kind))
    }

    /// With `kind` too.
    #[must_use]
    pub const fn with(self, kind: Kind) -> Self {
        Self(self.0 | Self::bit(kind))
    }

    /// Whether `kind` is among them.
    #[must_use]
    pub const fn contains(self, kind: Kind) -> bool {
        self.0 & Self::bit(kind) != 0
    }

    /// Those that are in both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Each of them, in the order of [`Kind::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Kind> {
        Kind::ALL.into_iter().filter(move |kind| self.contains(*kind))
    }
}

impl fmt::Debug for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kinds({self})")
    }
}

/// The words with commas between them, as credential files have them.
impl fmt::Display for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, kind) in self.iter().enumerate() {
            write!(f, "{}{kind}", if n == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl FromIterator<Kind> for Kinds {
    fn from_iter<T: IntoIterator<Item = Kind>>(kinds: T) -> Self {
        kinds.into_iter().fold(Self::NONE, Self::with)
    }
}

impl FromStr for Kinds {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        text.split(',').map(|word| word.trim().parse::<Kind>()).collect()
    }
}

/// To whom an agent id or a framework belongs: what its holder proved when it came, by either of
/// two factors.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    /// What its certificate said: the URI of an identity, or the principal that the rules make.
    pub certificate: Option<String>,
    /// The principal of its SASL exchange, or of its HTTP credential.
    pub principal: Option<String>,
}

impl Owner {
    /// Whether nothing was proved, so that whoever comes next may be the owner.
    #[must_use]
    pub fn is_nobody(&self) -> bool {
        self.certificate.is_none() && self.principal.is_none()
    }

    /// Whether `claimant` is the owner: it shows one of the factors that are on record, and
    /// contradicts none of them. Nobody owns what belongs to nobody, so anybody may have it.
    ///
    /// A certificate that carries no identity says from which host somebody comes, and hosts and
    /// their processes share it: it is no factor beside a principal, which then has to be shown.
    #[must_use]
    pub fn admits(&self, claimant: &Self) -> bool {
        let names_a_component =
            |certificate: &String| certificate.parse::<crate::identity::Identity>().is_ok();
        if self.principal.is_some() && !self.certificate.as_ref().is_some_and(names_a_component) {
            return self.principal == claimant.principal;
        }
        let compare = |own: &Option<String>, shown: &Option<String>| match (own, shown) {
            (Some(own), Some(shown)) => Some(own == shown),
            _ => None,
        };
        let certificate = compare(&self.certificate, &claimant.certificate);
        let principal = compare(&self.principal, &claimant.principal);
        match (certificate, principal) {
            (Some(false), _) | (_, Some(false)) => false,
            (Some(true), _) | (_, Some(true)) => true,
            (None, None) => self.is_nobody(),
        }
    }

    /// The owner after `claimant`, whom it admits, has come: what it proved in addition counts
    /// from now on.
    #[must_use]
    pub fn joined(self, claimant: Self) -> Self {
        Self {
            certificate: self.certificate.or(claimant.certificate),
            principal: self.principal.or(claimant.principal),
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.certificate, &self.principal) {
            (None, None) => f.write_str("nobody"),
            (Some(one), None) | (None, Some(one)) => write!(f, "{}", one.escape_debug()),
            (Some(certificate), Some(principal)) => {
                write!(f, "{} with {}", principal.escape_debug(), certificate.escape_debug())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_principal_is_written_as_the_original_writes_it() {
        assert_eq!(Principal::named("ops").to_string(), "ops");
        let claims = BTreeMap::from([("cid".to_owned(), "c\"1".to_owned())]);
        let bearer = Principal::new(None, claims.clone()).unwrap();
        assert_eq!(bearer.to_string(), r#"{"claims":{"cid":"c\"1"}}"#);
        let both = Principal::new(Some("p".into()), claims).unwrap();
        assert_eq!(both.to_string(), r#"{"claims":{"cid":"c\"1"},"value":"p"}"#);
        assert_eq!(Principal::new(None, BTreeMap::new()), None);
    }

    #[test]
    fn kinds_are_a_set_of_words() {
        let kinds: Kinds = "framework, agent".parse().unwrap();
        assert_eq!(kinds.to_string(), "agent,framework");
        assert!(kinds.contains(Kind::Agent) && !kinds.contains(Kind::Master));
        assert!("agent,slave".parse::<Kinds>().is_err());
        assert_eq!(Kind::ALL.into_iter().collect::<Kinds>(), Kinds::ANY);
        assert_eq!(kinds.and(Kinds::only(Kind::Agent)), Kinds::only(Kind::Agent));
    }

    #[test]
    fn authn_who_shows_one_factor_and_contradicts_none_is_the_owner() {
        const C: &str = "spiffe://a.local/agent/c";
        const D: &str = "spiffe://a.local/agent/d";
        let owner = |certificate: &str, principal: &str| {
            let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            Owner { certificate: some(certificate), principal: some(principal) }
        };
        for (of, by, admitted) in [
            (owner("", ""), owner("", ""), true),
            (owner("", ""), owner(C, "p"), true),
            (owner(C, ""), owner(C, "p"), true),
            (owner(C, ""), owner("", "p"), false),
            (owner(C, ""), owner("", ""), false),
            (owner(C, "p"), owner(C, ""), true),
            (owner(C, "p"), owner("", "p"), true),
            (owner(C, "p"), owner(D, "p"), false),
            (owner(C, "p"), owner(C, "q"), false),
            (owner("", "p"), owner("", ""), false),
            // The certificate of a host: another one with the same principal is welcome, and the
            // same one without the principal is not.
            (owner("host-1", ""), owner("host-1", "p"), true),
            (owner("host-1", ""), owner("host-2", ""), false),
            (owner("host-1", "p"), owner("host-2", "p"), true),
            (owner("host-1", "p"), owner("host-1", ""), false),
            (owner("host-1", "p"), owner("host-1", "q"), false),
        ] {
            assert_eq!(of.admits(&by), admitted, "{of} and {by}");
        }
        assert_eq!(owner(C, "").joined(owner(C, "p")), owner(C, "p"));
    }
}
