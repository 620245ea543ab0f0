//! Roles: slash-separated paths under which resources are offered and reserved.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Why a text is not a role. The texts are the original's: frameworks see them in ERROR events.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoleError {
    /// The text has no characters.
    #[error("Role names cannot be the empty string")]
    Empty,
    /// The path begins with a slash.
    #[error("Role '{0}' cannot start with a slash")]
    LeadingSlash(String),
    /// The path ends with a slash.
    #[error("Role '{0}' cannot end with a slash")]
    TrailingSlash(String),
    /// A component is empty.
    #[error("Role '{0}' cannot contain two adjacent slashes")]
    AdjacentSlashes(String),
    /// A component is `.`, `..` or, in a path, `*`.
    #[error("Role '{role}' cannot include '{component}' as a component")]
    Component {
        /// The whole path.
        role: String,
        /// The component that may not stand there.
        component: String,
    },
    /// A component begins with a dash, as only options do.
    #[error("Role component '{0}' is invalid because it begins with a dash")]
    LeadingDash(String),
    /// A component holds a control character or white space.
    #[error("Role component '{0}' is invalid because it contains backspace or whitespace")]
    InvalidCharacters(String),
    /// Longer than [`MAX_ROLE_BYTES`].
    #[error("Role must not be greater than {MAX_ROLE_BYTES} bytes, got {0}")]
    TooLong(usize),
}

/// The longest role, in bytes. The original has no limit; ours keeps one name from filling logs.
pub const MAX_ROLE_BYTES: usize = 1024;

/// A role, for example `*`, `web` or `eng/backend`.
///
/// A value proves that the text has the syntax of a role; cloning is cheap.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Role(Arc<str>);

impl Role {
    /// Checks `text` and takes it as a role.
    pub fn new(text: &str) -> Result<Self, RoleError> {
        check(text)?;
        Ok(Self(text.into()))
    }

    /// `*`, the role of frameworks that name none.
    #[must_use]
    pub fn any() -> Self {
        Self("*".into())
    }

    /// The role as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the role is a path of more than one component.
    #[must_use]
    pub fn is_nested(&self) -> bool {
        self.0.contains('/')
    }

    /// Whether `other` lies strictly beneath this role: `a` is an ancestor of `a/b`, not of `ab`.
    #[must_use]
    pub fn is_ancestor_of(&self, other: &Self) -> bool {
        other.0.strip_prefix(self.as_str()).is_some_and(|rest| rest.starts_with('/'))
    }
}

fn check(text: &str) -> Result<(), RoleError> {
    let owned = || text.to_owned();
    if text == "*" {
        return Ok(());
    }
    if text.is_empty() {
        return Err(RoleError::Empty);
    }
    if text.len() > MAX_ROLE_BYTES {
        return Err(RoleError::TooLong(text.len()));
    }
    if text.starts_with('/') {
        return Err(RoleError::LeadingSlash(owned()));
    }
    if text.ends_with('/') {
        return Err(RoleError::TrailingSlash(owned()));
    }
    if text.contains("//") {
        return Err(RoleError::AdjacentSlashes(owned()));
    }
    for component in text.split('/') {
        if matches!(component, "." | ".." | "*") {
            return Err(RoleError::Component { role: owned(), component: component.to_owned() });
        }
        if component.starts_with('-') {
            return Err(RoleError::LeadingDash(component.to_owned()));
        }
        if component.chars().any(|c| c.is_ascii_control() || c == ' ') {
            return Err(RoleError::InvalidCharacters(component.to_owned()));
        }
    }
    Ok(())
}

impl FromStr for Role {
    type Err = RoleError;
    fn from_str(text: &str) -> Result<Self, RoleError> {
        Self::new(text)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Role({})", self.0)
    }
}

impl std::borrow::Borrow<str> for Role {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_that_could_mean_another_path_are_refused_in_the_words_of_the_original() {
        for (bad, text) in [
            ("", "Role names cannot be the empty string"),
            ("/a", "Role '/a' cannot start with a slash"),
            ("a/", "Role 'a/' cannot end with a slash"),
            ("a//b", "Role 'a//b' cannot contain two adjacent slashes"),
            ("r/../x", "Role 'r/../x' cannot include '..' as a component"),
            (".", "Role '.' cannot include '.' as a component"),
            ("a/*", "Role 'a/*' cannot include '*' as a component"),
            ("-a", "Role component '-a' is invalid because it begins with a dash"),
            ("a b", "Role component 'a b' is invalid because it contains backspace or whitespace"),
        ] {
            assert_eq!(Role::new(bad).unwrap_err().to_string(), text);
        }
        for good in ["*", "web", "eng/backend", "a.b", "a-b"] {
            assert_eq!(Role::new(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn a_role_is_an_ancestor_of_paths_beneath_it_only() {
        let role = |text| Role::new(text).unwrap();
        assert!(role("a").is_ancestor_of(&role("a/b/c")));
        assert!(!role("a").is_ancestor_of(&role("a")));
        assert!(!role("a").is_ancestor_of(&role("ab/c")));
    }
}
