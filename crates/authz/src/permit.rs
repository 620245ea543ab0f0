//! The proof that somebody may do something.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::fmt;

use crate::Subject;
use crate::action::Action;

/// Proves that an authorizer was asked whether the subject may do `A` to these objects, and that
/// it said yes. Cannot be made outside of this crate.
pub struct Permit<A: Action> {
    subject: Subject,
    objects: BTreeSet<A::Object>,
}

impl<A: Action> Permit<A> {
    pub(crate) fn new(subject: Subject, objects: BTreeSet<A::Object>) -> Self {
        Self { subject, objects }
    }

    /// To whom it was given.
    #[must_use]
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Whether it was given for `object`.
    #[must_use]
    pub fn covers<Q: Ord + ?Sized>(&self, object: &Q) -> bool
    where
        A::Object: Borrow<Q>,
    {
        self.objects.contains(object)
    }
}

// Not derived: that would ask the same of `A`, which is a name only.
impl<A: Action> Clone for Permit<A> {
    fn clone(&self) -> Self {
        Self { subject: self.subject.clone(), objects: self.objects.clone() }
    }
}

impl<A: Action> PartialEq for Permit<A> {
    fn eq(&self, other: &Self) -> bool {
        self.subject == other.subject && self.objects == other.objects
    }
}

impl<A: Action> Eq for Permit<A> {}

impl<A: Action> fmt::Debug for Permit<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(A::NAME)
            .field("subject", &self.subject)
            .field("objects", &self.objects)
            .finish()
    }
}

/// What all permits have in common, for whoever writes down what was permitted.
pub trait AnyPermit {
    /// The action's name.
    fn action(&self) -> &'static str;

    /// To whom it was given.
    fn subject(&self) -> &Subject;
}

impl<A: Action> AnyPermit for Permit<A> {
    fn action(&self) -> &'static str {
        A::NAME
    }

    fn subject(&self) -> &Subject {
        &self.subject
    }
}
