//! What an operator should know about a policy, and the proof that a weakening was asked for.

use std::borrow::Cow;
use std::fmt;

/// A weakening that somebody asked for, by the name of the setting that asked (or whose absence
/// means it in the original). It always comes with a [`Notice`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DangerAccepted {
    setting: String,
}

impl DangerAccepted {
    /// The weakening that `setting` stands for, e.g. `--danger-plaintext`.
    #[must_use]
    pub fn asked_by(setting: &str) -> Self {
        Self { setting: setting.to_owned() }
    }

    /// The setting that asks for the weakening.
    #[must_use]
    pub fn setting(&self) -> &str {
        &self.setting
    }
}

impl fmt::Display for DangerAccepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.setting)
    }
}

/// Something an operator should read at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// An old name was used; the new one stands beside it.
    Deprecated {
        /// The variable that was set.
        variable: String,
        /// The name that means the same today.
        instead: &'static str,
    },
    /// An element of a list is left out.
    Dropped {
        /// The variable with the list.
        variable: String,
        /// The element.
        element: String,
        /// Why, as the rest of a sentence.
        reason: &'static str,
    },
    /// A setting has no effect here, and says why.
    Ignored {
        /// The variable that was set.
        variable: String,
        /// Why it has no effect.
        reason: &'static str,
    },
    /// One setting turned another on.
    Implied {
        /// The setting that was turned on.
        setting: &'static str,
        /// The variable that implies it.
        by: String,
    },
    /// A restriction under which a cluster, as it usually is, does not work.
    Impractical {
        /// The setting that would let it work.
        setting: &'static str,
        /// What does not work.
        consequence: &'static str,
    },
    /// Both spellings are set and differ; the first wins.
    Mismatch {
        /// The variable that is used.
        used: String,
        /// The variable that is not.
        ignored: String,
    },
    /// No variable of this name exists.
    Unknown {
        /// The variable that was set.
        variable: String,
        /// The nearest one that exists.
        suggestion: Option<String>,
    },
    /// The policy is weaker than it could be.
    Weak {
        /// The setting that makes it so.
        danger: DangerAccepted,
        /// What an attacker may do.
        consequence: Cow<'static, str>,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deprecated { variable, instead } => {
                write!(f, "`{variable}` is an old name, use `{instead}`")
            }
            Self::Dropped { variable, element, reason } => {
                write!(f, "`{variable}` names `{element}`, which {reason}: it is left out")
            }
            Self::Ignored { variable, reason } => write!(f, "`{variable}` has no effect: {reason}"),
            Self::Implied { setting, by } => write!(f, "`{by}` turns on `{setting}`"),
            Self::Impractical { setting, consequence } => {
                write!(f, "`{setting}` is not on: {consequence}")
            }
            Self::Mismatch { used, ignored } => {
                write!(f, "`{used}` and `{ignored}` have different values, `{used}` is used")
            }
            Self::Unknown { variable, suggestion: None } => {
                write!(f, "`{variable}` is not a variable of this program, it has no effect")
            }
            Self::Unknown { variable, suggestion: Some(near) } => {
                write!(f, "`{variable}` is not a variable of this program, did you mean `{near}`?")
            }
            Self::Weak { danger, consequence } => {
                write!(f, "weakened by `{danger}`: {consequence}")
            }
        }
    }
}
