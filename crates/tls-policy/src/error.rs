//! What keeps settings from being a policy.

use std::fmt;
use std::path::PathBuf;

/// One thing that keeps settings from being a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A boolean is given as itself and as its negation.
    #[error("`{variable}` and `{other}` are both set")]
    BothForms {
        /// One of them.
        variable: String,
        /// The other.
        other: String,
    },
    /// Two settings contradict each other.
    #[error("`{variable}` contradicts `{other}`: {reason}")]
    Contradiction {
        /// One of them.
        variable: String,
        /// The other.
        other: String,
        /// Why they cannot both hold.
        reason: &'static str,
    },
    /// A flag and its variable say different things.
    #[error("`{flag}` and `{variable}` have different values")]
    FlagDiffers {
        /// The flag.
        flag: String,
        /// The variable.
        variable: String,
    },
    /// One of two settings that make sense only together.
    #[error("`{variable}` needs `{missing}` beside it")]
    Half {
        /// The one that was given.
        variable: String,
        /// The other.
        missing: &'static str,
    },
    /// TLS needs this and nobody gave it.
    #[error("`{variable}` is needed when `LIBPROCESS_SSL_ENABLED` is on")]
    Missing {
        /// The variable to set.
        variable: &'static str,
    },
    /// A list of suites of which none is left.
    #[error("`{variable}` selects no suite that can be used")]
    NoSuite {
        /// The variable with the list.
        variable: String,
    },
    /// Every protocol version is off or too old.
    #[error(
        "no protocol version is left: TLS 1.2 and 1.3 are off (`LIBPROCESS_SSL_ENABLE_TLS_V1_2`, \
         `LIBPROCESS_SSL_ENABLE_TLS_V1_3`) and no older one is on that can be spoken"
    )]
    NoVersion,
    /// A restriction that is not honoured yet; without it the program would run more open than
    /// it was told.
    #[error("`{variable}` is not honoured yet and nothing may run without it: {what}")]
    NotHonoured {
        /// The variable that restricts.
        variable: String,
        /// What it asks for.
        what: &'static str,
    },
    /// A text that does not follow the rules of its variable.
    #[error("`{variable}`: {problem}")]
    Text {
        /// The variable.
        variable: String,
        /// What is wrong with the text.
        problem: String,
    },
    /// No such variable.
    #[error("`{variable}` is not a variable of this program{}", did_you_mean(.suggestion))]
    Unknown {
        /// The variable that was set.
        variable: String,
        /// The nearest one that exists.
        suggestion: Option<String>,
    },
    /// Nothing was said where our own commands do not take silence for consent.
    #[error("`{variable}`: {consequence}")]
    Unprotected {
        /// The variable that would protect.
        variable: &'static str,
        /// What follows from its absence.
        consequence: &'static str,
    },
    /// A file named by `file://` cannot be read.
    #[error("`{variable}` names `{path}`: {reason}")]
    Unreadable {
        /// The variable.
        variable: String,
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The value is not of the variable's type, or not one of those it may have.
    #[error("`{variable}` is `{value}`, expected {expected}")]
    Value {
        /// The variable.
        variable: String,
        /// What it says.
        value: String,
        /// What it may say.
        expected: &'static str,
    },
}

pub(crate) fn did_you_mean(suggestion: &Option<impl fmt::Display>) -> String {
    suggestion.as_ref().map(|near| format!(", did you mean `{near}`?")).unwrap_or_default()
}

/// All that keeps settings from being a policy; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyErrors(pub Vec<PolicyError>);

impl fmt::Display for PolicyErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for PolicyErrors {}
