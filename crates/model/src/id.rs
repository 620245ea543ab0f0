//! Names of things: one type per kind, so that a task id is never taken for a framework id.
//!
//! The syntax is the original's (`master-agent-protocol.md` §2): not empty, at most 255 bytes,
//! not `.` or `..`, no control characters, no `/` and no `\`, since every id becomes the name of
//! a directory on some agent.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The longest id, in bytes: the longest file name that common file systems take.
pub const MAX_ID_BYTES: usize = 255;

/// Why a text is not an id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text has no characters.
    #[error("ID must not be empty")]
    Empty,
    /// The text is longer than [`MAX_ID_BYTES`].
    #[error("ID must not be greater than {MAX_ID_BYTES} bytes, got {0}")]
    TooLong(usize),
    /// The text is `.` or `..`, which every directory already has.
    #[error("'{0}' is disallowed")]
    Reserved(String),
    /// The text holds a control character, a slash or a backslash.
    #[error("'{0}' contains invalid characters")]
    InvalidCharacters(String),
}

/// Checks the syntax that all ids share.
pub fn check(text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > MAX_ID_BYTES {
        return Err(IdError::TooLong(text.len()));
    }
    if text == "." || text == ".." {
        return Err(IdError::Reserved(text.to_owned()));
    }
    if text.chars().any(|c| c.is_ascii_control() || c == '/' || c == '\\') {
        return Err(IdError::InvalidCharacters(text.to_owned()));
    }
    Ok(())
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        ///
        /// A value proves that the text has the syntax of an id; cloning is cheap.
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks `text` and takes it as an id.
            pub fn new(text: &str) -> Result<Self, IdError> {
                check(text)?;
                Ok(Self(text.into()))
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    )*};
}

ids! {
    /// An agent, `<master id>-S<n>`, made by the master that admitted it.
    AgentId;
    /// A container; made by the agent that runs it.
    ContainerId;
    /// An executor; chosen by its framework, unique among that framework's on one agent.
    ExecutorId;
    /// A framework, `<master id>-NNNN`, made by the master at its first subscription.
    FrameworkId;
    /// An offer or inverse offer, `<master id>-O<n>`.
    OfferId;
    /// A task; chosen by its framework, unique among that framework's live tasks.
    TaskId;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_could_leave_their_directory_are_refused() {
        assert_eq!(TaskId::new(""), Err(IdError::Empty));
        for bad in [".", ".."] {
            assert_eq!(TaskId::new(bad), Err(IdError::Reserved(bad.into())));
        }
        for bad in ["a/b", "a\\b", "a\nb", "\u{7f}"] {
            assert_eq!(TaskId::new(bad), Err(IdError::InvalidCharacters(bad.into())));
        }
        assert_eq!(TaskId::new(&"x".repeat(256)), Err(IdError::TooLong(256)));
        assert!(TaskId::new(&"x".repeat(255)).is_ok());
        assert_eq!(TaskId::new("a b…").unwrap().to_string(), "a b…");
    }
}
