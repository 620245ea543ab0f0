//! Which agents a framework wants offers of, said by their attributes.

mod pattern;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use model::role::Role;
use regex::Regex;

use crate::facts::{AgentFacts, AttributeValue};

pub use pattern::RegexLimits;

/// What a framework wants, by role: one of the groups must hold. A role that is absent takes
/// every agent.
pub type Wishes = BTreeMap<Role, Vec<Group>>;

/// All of these must hold.
pub type Group = Vec<Constraint>;

/// One property that an agent must have. What is absent was not set, or to something unknown;
/// that is an error when it is compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constraint {
    /// What is looked at.
    pub selector: Option<Selector>,
    /// What must be true of it.
    pub predicate: Option<Predicate>,
}

/// What of an agent is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// The first attribute of that name.
    Attribute(String),
    /// Its host name.
    Hostname,
    /// The region that it states.
    Region,
    /// The zone that it states.
    Zone,
}

/// What must be true. What compares text lets attributes pass that are no text, as long as they
/// are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Predicate {
    /// It is there.
    Exists,
    /// It is not there.
    NotExists,
    /// It is this text.
    TextEquals(String),
    /// It is not there, or not this text.
    TextNotEquals(String),
    /// The whole text matches.
    TextMatches(String),
    /// It is not there, or the whole text does not match.
    TextNotMatches(String),
}

/// Why constraints make no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConstraintError {
    /// A role without groups would never be offered anything.
    #[error("Offer constraints of role '{0}' have no groups")]
    NoGroups(Role),
    /// A group without constraints.
    #[error("Offer constraints of role '{0}' have an empty group")]
    EmptyGroup(Role),
    /// No selector, or an unknown one.
    #[error("A selector of the offer constraints of role '{0}' is not set or unknown")]
    Selector(Role),
    /// No predicate, or an unknown one.
    #[error("A predicate of the offer constraints of role '{0}' is not set or unknown")]
    Predicate(Role),
    /// A regular expression that is wrong or too large.
    #[error("Regular expression '{pattern}' of the offer constraints of role '{role}': {reason}")]
    Regex {
        /// The role.
        role: Role,
        /// The expression, shortened if it is long.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
}

#[derive(Debug)]
enum Test {
    Exists,
    NotExists,
    Equals(String),
    NotEquals(String),
    Matches(Regex),
    NotMatches(Regex),
}

#[derive(Debug)]
struct Compiled {
    wishes: Wishes,
    roles: BTreeMap<Role, Vec<Vec<(Selector, Test)>>>,
}

/// Constraints ready to be asked. Cloning is cheap.
#[derive(Clone)]
pub struct Constraints(Arc<Compiled>);

impl Constraints {
    /// Compiles what a framework wants. Regular expressions take time linear in the text and no
    /// more memory than `limits` say.
    pub fn compile(wishes: Wishes, limits: RegexLimits) -> Result<Self, ConstraintError> {
        let mut roles = BTreeMap::new();
        for (role, groups) in &wishes {
            if groups.is_empty() {
                return Err(ConstraintError::NoGroups(role.clone()));
            }
            let groups: Result<Vec<_>, _> =
                groups.iter().map(|group| compile_group(role, group, limits)).collect();
            roles.insert(role.clone(), groups?);
        }
        Ok(Self(Arc::new(Compiled { wishes, roles })))
    }

    /// What was compiled.
    #[must_use]
    pub fn wishes(&self) -> &Wishes {
        &self.0.wishes
    }

    /// Whether the agent may be offered to the framework under `role`.
    #[must_use]
    pub fn admit(&self, role: &Role, agent: &AgentFacts) -> bool {
        let Some(groups) = self.0.roles.get(role) else { return true };
        groups
            .iter()
            .any(|group| group.iter().all(|(selector, test)| holds(test, look(selector, agent))))
    }
}

impl PartialEq for Constraints {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.wishes == other.0.wishes
    }
}

impl Eq for Constraints {}

impl fmt::Debug for Constraints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Constraints").field(&self.0.wishes).finish()
    }
}

fn compile_group(
    role: &Role,
    group: &Group,
    limits: RegexLimits,
) -> Result<Vec<(Selector, Test)>, ConstraintError> {
    if group.is_empty() {
        return Err(ConstraintError::EmptyGroup(role.clone()));
    }
    let regex = |text: &str| {
        pattern::compile(text, limits).map_err(|reason| ConstraintError::Regex {
            role: role.clone(),
            pattern: text.chars().take(100).collect(),
            reason,
        })
    };
    let compile = |constraint: &Constraint| {
        let selector = constraint.selector.clone();
        let selector = selector.ok_or_else(|| ConstraintError::Selector(role.clone()))?;
        let predicate = constraint.predicate.as_ref();
        let test = match predicate.ok_or_else(|| ConstraintError::Predicate(role.clone()))? {
            Predicate::Exists => Test::Exists,
            Predicate::NotExists => Test::NotExists,
            Predicate::TextEquals(text) => Test::Equals(text.clone()),
            Predicate::TextNotEquals(text) => Test::NotEquals(text.clone()),
            Predicate::TextMatches(text) => Test::Matches(regex(text)?),
            Predicate::TextNotMatches(text) => Test::NotMatches(regex(text)?),
        };
        Ok((selector, test))
    };
    group.iter().map(compile).collect()
}

/// What a selector finds.
enum Found<'a> {
    Nothing,
    Text(&'a str),
    /// An attribute that is no text.
    Other,
}

fn look<'a>(selector: &Selector, agent: &'a AgentFacts) -> Found<'a> {
    let text = |text: Option<&'a str>| text.map_or(Found::Nothing, Found::Text);
    match selector {
        Selector::Hostname => Found::Text(&agent.hostname),
        Selector::Region => text(agent.region.as_deref()),
        Selector::Zone => text(agent.zone.as_deref()),
        Selector::Attribute(name) => {
            match agent.attributes.iter().find(|attribute| attribute.name == *name) {
                None => Found::Nothing,
                Some(attribute) => match &attribute.value {
                    AttributeValue::Text(text) => Found::Text(text),
                    AttributeValue::Other(_) => Found::Other,
                },
            }
        }
    }
}

fn holds(test: &Test, found: Found<'_>) -> bool {
    match (test, found) {
        (Test::Exists, found) => !matches!(found, Found::Nothing),
        (Test::NotExists, found) => matches!(found, Found::Nothing),
        (Test::Equals(_) | Test::Matches(_), Found::Nothing) => false,
        (Test::NotEquals(_) | Test::NotMatches(_), Found::Nothing) | (_, Found::Other) => true,
        (Test::Equals(wanted), Found::Text(text)) => wanted == text,
        (Test::NotEquals(unwanted), Found::Text(text)) => unwanted != text,
        (Test::Matches(regex), Found::Text(text)) => regex.is_match(text),
        (Test::NotMatches(regex), Found::Text(text)) => !regex.is_match(text),
    }
}
