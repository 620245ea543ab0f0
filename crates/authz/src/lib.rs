//! May this principal do this?
//!
//! What changes something takes a [`Permit`] for its [`Action`], and only an [`Authorizer`] makes
//! permits: a handler that forgot to ask does not compile. A permit names the objects that it was
//! asked for and is good for no others.
//!
//! Today there is one authorizer, [`Authorizer::door`]: whoever was let in at the door may do what
//! the door's routes offer. Rules about actions and objects come later, behind the same question.

pub mod action;
mod permit;

use model::principal::Principal;

pub use action::Action;
pub use permit::{AnyPermit, Permit};

/// Who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    principal: Option<Principal>,
}

impl Subject {
    /// Somebody who proved to be `principal`; `None` where nothing is asked of callers.
    #[must_use]
    pub fn new(principal: Option<Principal>) -> Self {
        Self { principal }
    }

    /// Who it proved to be.
    #[must_use]
    pub fn principal(&self) -> Option<&Principal> {
        self.principal.as_ref()
    }

    /// The principal's name, if it has one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.principal.as_ref().and_then(Principal::value)
    }
}

/// Why there is no permit. For the log and the audit trail: whoever asked learns only that.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{subject} may not {action}: {reason}")]
pub struct Denied {
    /// Who asked.
    pub subject: String,
    /// For what; see [`Action::NAME`].
    pub action: &'static str,
    /// Why not.
    pub reason: String,
}

/// The one place that makes permits.
#[derive(Clone, Debug)]
pub struct Authorizer {
    rules: Rules,
}

#[derive(Clone, Debug)]
enum Rules {
    /// There is nothing to go by, so nobody may do anything.
    None,
    /// Whoever was let in may.
    Door,
}

/// Without rules everything is denied.
impl Default for Authorizer {
    fn default() -> Self {
        Self { rules: Rules::None }
    }
}

impl Authorizer {
    /// Permits everything to whoever the door has let in.
    #[must_use]
    pub const fn door() -> Self {
        Self { rules: Rules::Door }
    }

    /// Whether `subject` may do `A` to all of `objects`. None means: to no object in particular,
    /// and such a permit covers no object.
    pub fn permit<A: Action>(
        &self,
        subject: &Subject,
        objects: impl IntoIterator<Item = A::Object>,
    ) -> Result<Permit<A>, Denied> {
        match self.rules {
            Rules::Door => Ok(Permit::new(subject.clone(), objects.into_iter().collect())),
            Rules::None => Err(Denied {
                subject: subject
                    .principal()
                    .map_or_else(|| "nobody in particular".to_owned(), ToString::to_string),
                action: A::NAME,
                reason: "there are no rules".to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use action::{MarkAgentGone, UpdateWeight};

    #[test]
    fn without_rules_everything_is_denied() {
        let denied = Authorizer::default()
            .permit::<MarkAgentGone>(&Subject::new(Some(Principal::named("ops"))), [])
            .unwrap_err();
        assert_eq!(denied.to_string(), "ops may not MARK_AGENT_GONE: there are no rules");
    }

    #[test]
    fn a_permit_is_good_for_the_objects_it_names() {
        let subject = Subject::new(Some(Principal::named("ops")));
        let permit = Authorizer::door()
            .permit::<UpdateWeight>(&subject, ["a".to_owned(), "b".to_owned()])
            .unwrap();
        assert!(permit.covers("a") && permit.covers("b"));
        assert!(!permit.covers("c") && !permit.covers(""));
        assert_eq!(permit.subject().name(), Some("ops"));
    }
}
