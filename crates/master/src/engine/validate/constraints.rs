//! Offer constraints as frameworks state them.

use std::collections::BTreeSet;

use allocator::Constraints;
use allocator::constraints::{Constraint, Predicate, RegexLimits, Selector, Wishes};
use model::role::Role;
use wire::v1::scheduler::attribute_constraint::{predicate, selector};
use wire::v1::scheduler::{AttributeConstraint, OfferConstraints};

/// The most constraints, and the most groups of them, that a framework may state.
const MAX_CONSTRAINTS: usize = 4096;

/// The most of them that may be regular expressions: each has a program of its own.
const MAX_REGEXES: usize = 1024;

/// Checks and compiles the constraints of a framework with these roles.
pub(in super::super) fn compile(
    constraints: Option<&OfferConstraints>,
    roles: &BTreeSet<Role>,
    limits: RegexLimits,
) -> Result<Option<Constraints>, String> {
    let Some(constraints) = constraints else { return Ok(None) };
    bounded(constraints)?;
    let mut wishes = Wishes::new();
    for (name, wanted) in &constraints.role_constraints {
        let Some(role) = roles.get(name.as_str()) else {
            return Err(format!(
                // The original's words, in which a space is missing.
                "Offer constraints specify `role_constraints` for a role '{name}'not contained \
                 in the set of roles"
            ));
        };
        let groups = wanted.groups.iter();
        let groups = groups.map(|group| group.attribute_constraints.iter().map(constraint));
        wishes.insert(role.clone(), groups.map(Iterator::collect).collect());
    }
    if wishes.is_empty() {
        return Ok(None);
    }
    Constraints::compile(wishes, limits)
        .map(Some)
        .map_err(|error| format!("Offer constraints are not valid: {error}"))
}

/// Checks that there are not more of them than are good for all agents of each run of offers.
fn bounded(constraints: &OfferConstraints) -> Result<(), String> {
    let groups = || constraints.role_constraints.values().flat_map(|role| &role.groups);
    let all = || groups().flat_map(|group| &group.attribute_constraints);
    let is_regex = |constraint: &&AttributeConstraint| {
        use predicate::Predicate::{TextMatches, TextNotMatches};
        matches!(constraint.predicate.predicate, Some(TextMatches(_) | TextNotMatches(_)))
    };
    for (what, count, limit) in [
        ("groups", groups().count(), MAX_CONSTRAINTS),
        ("constraints", all().count(), MAX_CONSTRAINTS),
        ("regular expressions", all().filter(is_regex).count(), MAX_REGEXES),
    ] {
        if count > limit {
            return Err(format!(
                "Offer constraints are not valid: {count} {what}; at most {limit} are allowed"
            ));
        }
    }
    Ok(())
}

fn constraint(constraint: &AttributeConstraint) -> Constraint {
    use selector::PseudoattributeType as Pseudo;
    let selector = constraint.selector.selector.as_ref().and_then(|selector| match selector {
        selector::Selector::AttributeName(name) => Some(Selector::Attribute(name.clone())),
        selector::Selector::PseudoattributeType(number) => match Pseudo::try_from(*number) {
            Ok(Pseudo::Hostname) => Some(Selector::Hostname),
            Ok(Pseudo::Region) => Some(Selector::Region),
            Ok(Pseudo::Zone) => Some(Selector::Zone),
            Ok(Pseudo::Unknown) | Err(_) => None,
        },
    });
    let predicate = constraint.predicate.predicate.as_ref().map(|predicate| match predicate {
        predicate::Predicate::Exists(_) => Predicate::Exists,
        predicate::Predicate::NotExists(_) => Predicate::NotExists,
        predicate::Predicate::TextEquals(text) => Predicate::TextEquals(text.value.clone()),
        predicate::Predicate::TextNotEquals(text) => Predicate::TextNotEquals(text.value.clone()),
        predicate::Predicate::TextMatches(text) => Predicate::TextMatches(text.regex.clone()),
        predicate::Predicate::TextNotMatches(text) => Predicate::TextNotMatches(text.regex.clone()),
    });
    Constraint { selector, predicate }
}
