//! What is wrong with settings, and what an operator should know about them.

use std::fmt;
use std::path::PathBuf;

use crate::row::Program;

/// One thing that is wrong. Where the original has a text of its own, it is that text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A setting is given twice, or by two of its names.
    #[error("Flag '{flag}' is already loaded via name '{via}'")]
    AlreadyLoaded {
        /// The setting.
        flag: &'static str,
        /// The name that came first.
        via: String,
    },
    /// An argument that is no flag. Only our own names are strict about it.
    #[error("unexpected argument '{0}': flags are written --name=value")]
    Argument(String),
    /// The value is well formed, and not one that the setting may have, or not together with
    /// another one.
    #[error("Flag '{flag}' {why}")]
    Invalid {
        /// The setting.
        flag: &'static str,
        /// What is wrong, as the rest of a sentence.
        why: String,
    },
    /// A boolean's negation has a value.
    #[error("Failed to load boolean flag '{flag}' via '{via}' with value '{value}'")]
    NegationWithValue {
        /// The setting.
        flag: &'static str,
        /// The name as it was written.
        via: String,
        /// The value.
        value: String,
    },
    /// `--no-x` where `x` is no boolean.
    #[error("Failed to load non-boolean flag '{flag}' via '{via}'")]
    Negated {
        /// The setting.
        flag: &'static str,
        /// The name as it was written.
        via: String,
    },
    /// No value where one is needed.
    #[error("Failed to load non-boolean flag '{0}': Missing value")]
    MissingValue(&'static str),
    /// The setting restricts who may do what and is not honoured yet.
    #[error(
        "{origin} restricts what this daemon may do or asks for what it cannot do, and is not \
         honoured yet; it does not start without"
    )]
    NotHonoured {
        /// The setting.
        flag: &'static str,
        /// How it was given: `--acls`, `MESOS_ACLS`.
        origin: String,
    },
    /// The program does not start without this.
    #[error("Flag '{0}' is required, but it was not provided")]
    Required(&'static str),
    /// The settings are well formed and do not suffice; the text is the original's where it has
    /// one.
    #[error("{text}")]
    Start {
        /// The setting.
        flag: &'static str,
        /// What is wrong.
        text: String,
    },
    /// There is no such flag.
    #[error("Failed to load unknown flag '{name}'{}", did_you_mean(.suggestion))]
    Unknown {
        /// The name as it was given.
        name: String,
        /// The nearest one that exists.
        suggestion: Option<&'static str>,
    },
    /// A file that stands for a value cannot be read.
    #[error("Failed to load flag '{flag}': cannot read '{}': {why}", .path.display())]
    Unreadable {
        /// The setting.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The value is not of the setting's kind.
    #[error("Failed to load flag '{flag}': Failed to load value{}: {why}", quoted(.value))]
    Value {
        /// The setting.
        flag: &'static str,
        /// What was given; `None` if it may be a secret.
        value: Option<String>,
        /// What is wrong with it.
        why: String,
    },
}

fn did_you_mean(suggestion: &Option<&'static str>) -> String {
    suggestion.map(|near| format!("; did you mean '--{near}'?")).unwrap_or_default()
}

fn quoted(value: &Option<String>) -> String {
    value.as_ref().map(|value| format!(" '{value}'")).unwrap_or_default()
}

/// All that is wrong; never empty. The first is what the original would have said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Whose settings these are.
    pub program: Program,
    /// What is wrong, in the order in which the original looks.
    pub errors: Vec<SettingsError>,
}

impl Failure {
    /// Whether the usage text would help: not if everything was understood and is refused.
    #[must_use]
    pub fn wants_usage(&self) -> bool {
        !self.errors.iter().all(|error| {
            matches!(error, SettingsError::NotHonoured { .. } | SettingsError::Start { .. })
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.errors.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

/// Something that an operator should read at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Given by its old name.
    Deprecated {
        /// The old name, as it was given.
        name: String,
        /// The name of today.
        instead: &'static str,
    },
    /// A path where JSON, or `file://` and a path, should be.
    JsonPath {
        /// The setting.
        flag: &'static str,
    },
    /// The setting has no effect yet.
    NoEffect {
        /// How it was given.
        origin: String,
    },
    /// The setting has an effect, and not all of the one that it should have.
    Partly {
        /// How it was given.
        origin: String,
        /// What it does, as the rest of a sentence.
        what: &'static str,
    },
    /// What protects this daemon is weaker than it could be.
    Weak {
        /// How it was given.
        origin: String,
        /// What follows from it.
        consequence: &'static str,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deprecated { name, instead } => {
                write!(f, "Loaded deprecated flag '{name}'; its name is '{instead}'")
            }
            Self::JsonPath { flag } => {
                write!(f, "Flag '{flag}' is given as a path; write file://<path>")
            }
            Self::NoEffect { origin } => write!(f, "{origin} has no effect yet"),
            Self::Partly { origin, what } => write!(f, "{origin} {what}"),
            Self::Weak { origin, consequence } => write!(f, "weakened by {origin}: {consequence}"),
        }
    }
}
