//! Why a request is refused, and the status and words that say so.

use model::id::{AgentId, FrameworkId};

/// Why a request is refused. [`std::fmt::Display`] is the body of the response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The agent does not know how to drain.
    #[error("Agent {0} is not capable of draining")]
    AgentCannotDrain(AgentId),
    /// The agent has to drain before it can be reactivated.
    #[error("Agent is still in the DRAINING state")]
    AgentDrains,
    /// There is nothing to reactivate.
    #[error("Agent is not deactivated")]
    AgentNotDeactivated,
    /// No agent has this id.
    #[error("Agent '{0}' not found")]
    AgentNotFound(String),
    /// The framework's stream ended; it has to subscribe again.
    #[error("Framework is not subscribed")]
    FrameworkNotSubscribed,
    /// No framework has this id, or the caller may not know of it.
    #[error("Framework cannot be found")]
    FrameworkNotFound,
    /// The framework's scheduler is a driver, which does not call over HTTP.
    #[error("Framework is not connected via HTTP")]
    FrameworkNotHttp,
    /// The operator names a framework that does not exist.
    #[error("No framework found with specified ID")]
    FrameworkToTearDownNotFound,
    /// UPDATE_FRAMEWORK changes what cannot be changed or is invalid in itself.
    #[error("FrameworkInfo update is not valid: {0}")]
    FrameworkUpdate(String),
    /// What an operator wants set does not fit what is there; the text says why.
    #[error("{0}")]
    Conflict(String),
    /// What an operator wants set is wrong in itself, or nothing of the kind exists.
    #[error("{0}")]
    Invalid(String),
    /// The call is not well formed; the text says what is missing.
    #[error("Failed to validate scheduler::Call: {0}")]
    InvalidCall(String),
    /// The caller is not who subscribed.
    #[error(
        "Authenticated principal '{shown}' does not match principal '{known}' set in \
         `FrameworkInfo`"
    )]
    OtherPrincipal {
        /// Who the caller has proven to be.
        shown: String,
        /// Who subscribed.
        known: String,
    },
    /// A literal UNKNOWN, or a call that this master does not know.
    #[error("501 Not Implemented.")]
    NotImplemented,
    /// The permit was for something else: what it was asked for has changed since.
    #[error("403 Forbidden.")]
    NotPermitted,
    /// The operator names an agent that is not registered.
    #[error("No agent found with specified ID")]
    NoAgent,
    /// An operator's operation is wrong in itself; the text says in what.
    #[error("{0}")]
    OperationInvalid(String),
    /// An operator's operation needs what is in use or does not exist, also after taking back
    /// all offers.
    #[error("{0}")]
    OperationConflict(String),
    /// The `Mesos-Stream-Id` names another stream than the framework's current one. The driver
    /// knows the header's text and puts it into the quotes.
    #[error(
        "The stream ID included in this request didn't match the stream ID currently \
         associated with framework ID {0}"
    )]
    OtherStream(FrameworkId),
    /// The operator names a task that does not exist, or has ended.
    #[error("No task found with specified ID")]
    TaskToKillNotFound,
    /// No agent that is there or may come back has this id.
    #[error("Unknown agent")]
    UnknownAgent,
    /// A call without `Mesos-Stream-Id`.
    #[error("All non-subscribe calls should include the 'Mesos-Stream-Id' header")]
    StreamMissing,
}

impl Refusal {
    /// The status of the response.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::FrameworkNotSubscribed | Self::FrameworkNotHttp | Self::NotPermitted => 403,
            Self::AgentNotFound(_) | Self::TaskToKillNotFound => 404,
            Self::Conflict(_) | Self::OperationConflict(_) => 409,
            Self::NotImplemented => 501,
            Self::AgentCannotDrain(_)
            | Self::AgentDrains
            | Self::AgentNotDeactivated
            | Self::UnknownAgent
            | Self::FrameworkNotFound
            | Self::FrameworkToTearDownNotFound
            | Self::FrameworkUpdate(_)
            | Self::Invalid(_)
            | Self::InvalidCall(_)
            | Self::NoAgent
            | Self::OperationInvalid(_)
            | Self::OtherPrincipal { .. }
            | Self::OtherStream(_)
            | Self::StreamMissing => 400,
        }
    }
}
