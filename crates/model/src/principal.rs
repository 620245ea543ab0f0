//! Who somebody proved to be, by whatever means.
//!
//! A [`Principal`] is only a name; that somebody *is* it is known to whoever checked the proof
//! (the `authn` crate), and is carried by the types of `libprocess` and `endpoints`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::identity::{Identity, IdentityError, Kind};

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

/// To whom an agent id or a framework belongs: what its holder proved when it came.
///
/// Of several proofs the strongest decides. An identity is one component's alone. A principal may
/// be that of several components, a pair of schedulers for example, each with a certificate of its
/// own host; and such a certificate alone is worth less than the secret that goes with a principal.
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

    /// The identity in its certificate.
    fn identity(&self) -> Option<&String> {
        self.certificate.as_ref().filter(|text| text.parse::<Identity>().is_ok())
    }

    /// Whether `claimant` is the owner: it shows the same identity and no other principal; or, of
    /// an owner without identity, the same principal; or, of one without either, a certificate with
    /// the same name. Nobody owns what belongs to nobody, so anybody may have it.
    #[must_use]
    pub fn admits(&self, claimant: &Self) -> bool {
        if let Some(identity) = self.identity() {
            let shown = claimant.principal.as_ref();
            let contradicts = |own: &String| shown.is_some_and(|shown| shown != own);
            claimant.certificate.as_ref() == Some(identity)
                && !self.principal.as_ref().is_some_and(contradicts)
        } else if self.principal.is_some() {
            claimant.principal == self.principal
        } else if self.certificate.is_some() {
            claimant.certificate == self.certificate
        } else {
            true
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

    /// What is left of the owner where nobody is asked for certificates, or for secrets, any more:
    /// of what nobody can prove here nothing is demanded.
    #[must_use]
    pub fn as_far_as(self, provable: Provable) -> Self {
        Self {
            certificate: self.certificate.filter(|_| provable.certificates),
            principal: self.principal.filter(|_| provable.principals),
        }
    }
}

/// What components can prove to a daemon at all, as it was told to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Provable {
    /// Whether clients are asked for certificates.
    pub certificates: bool,
    /// Whether clients can authenticate by SASL.
    pub principals: bool,
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

    fn owner(certificate: &str, principal: &str) -> Owner {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Owner { certificate: some(certificate), principal: some(principal) }
    }

    const A: &str = "spiffe://d/agent/a";
    const B: &str = "spiffe://d/agent/b";

    #[test]
    fn authn_the_strongest_proof_on_record_decides_who_is_the_owner() {
        for (of, by, admitted) in [
            // Nobody's is anybody's.
            (owner("", ""), owner("", ""), true),
            (owner("", ""), owner("c", "p"), true),
            // An identity decides, and no other principal may come with it.
            (owner(A, ""), owner(A, ""), true),
            (owner(A, ""), owner(A, "p"), true),
            (owner(A, "p"), owner(A, ""), true),
            (owner(A, "p"), owner(A, "q"), false),
            (owner(A, "p"), owner(B, "p"), false),
            (owner(A, "p"), owner("", "p"), false),
            (owner(A, ""), owner("", ""), false),
            // Then a principal, whatever host its bearer is on.
            (owner("c", "p"), owner("d", "p"), true),
            (owner("c", "p"), owner("", "p"), true),
            (owner("", "p"), owner("c", "p"), true),
            (owner("c", "p"), owner("c", ""), false),
            (owner("c", "p"), owner("c", "q"), false),
            (owner("", "p"), owner("", ""), false),
            // Then the name in a certificate.
            (owner("c", ""), owner("c", ""), true),
            (owner("c", ""), owner("c", "p"), true),
            (owner("c", ""), owner("d", ""), false),
            (owner("c", ""), owner("", "p"), false),
            (owner("c", ""), owner("", ""), false),
        ] {
            assert_eq!(of.admits(&by), admitted, "{of:?} and {by:?}");
        }
        assert_eq!(owner("c", "").joined(owner("c", "p")), owner("c", "p"));
    }

    #[test]
    fn authn_nothing_is_demanded_that_nobody_can_prove_any_more() {
        let left = |certificates, principals| {
            owner("c", "p").as_far_as(Provable { certificates, principals })
        };
        assert_eq!(left(true, true), owner("c", "p"));
        assert_eq!(left(true, false), owner("c", ""));
        assert_eq!(left(false, true), owner("", "p"));
        assert!(left(false, false).is_nobody());
    }
}
