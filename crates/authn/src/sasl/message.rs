//! What the two ends of an exchange say to each other, whatever carries it
//! (`authentication.md` §2).

/// A message of the exchange.
#[derive(Clone, PartialEq, Eq)]
pub enum Message {
    /// The client asks the master for a session.
    Authenticate {
        /// The UPID of the client, which is not that of the sender.
        pid: String,
    },
    /// The session says by which mechanisms it can be done, strongest first.
    Mechanisms(Vec<String>),
    /// The client chooses.
    Start {
        /// The mechanism.
        mechanism: String,
        /// Its first data, empty if the server speaks first. On the wire the field is always
        /// there.
        data: Vec<u8>,
    },
    /// Data of the mechanism, in either direction. On the wire the field is always there.
    Step(Vec<u8>),
    /// The client is who it says.
    Completed,
    /// Unknown principal or wrong secret: the client stops, and an agent of the original exits.
    Failed,
    /// Anything else; the client tries again.
    Error(String),
}

impl Message {
    /// The name of the message on the wire.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Authenticate { .. } => "mesos.internal.AuthenticateMessage",
            Self::Mechanisms(_) => "mesos.internal.AuthenticationMechanismsMessage",
            Self::Start { .. } => "mesos.internal.AuthenticationStartMessage",
            Self::Step(_) => "mesos.internal.AuthenticationStepMessage",
            Self::Completed => "mesos.internal.AuthenticationCompletedMessage",
            Self::Failed => "mesos.internal.AuthenticationFailedMessage",
            Self::Error(_) => "mesos.internal.AuthenticationErrorMessage",
        }
    }

    /// The word for it in the texts of errors.
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::Authenticate { .. } => "authenticate",
            Self::Mechanisms(_) => "mechanisms",
            Self::Start { .. } => "start",
            Self::Step(_) => "step",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Error(_) => "error",
        }
    }
}

/// Without data: that of PLAIN is a secret.
impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Authenticate { pid } => write!(f, "Authenticate {{ pid: {pid:?} }}"),
            Self::Mechanisms(names) => write!(f, "Mechanisms({names:?})"),
            Self::Start { mechanism, data } => {
                write!(f, "Start {{ mechanism: {mechanism:?}, {} bytes }}", data.len())
            }
            Self::Step(data) => write!(f, "Step({} bytes)", data.len()),
            Self::Completed => f.write_str("Completed"),
            Self::Failed => f.write_str("Failed"),
            Self::Error(text) => write!(f, "Error({text:?})"),
        }
    }
}

/// More than any mechanism needs (a Kerberos ticket with its authorization data is the largest).
pub(super) const LONGEST_DATA: usize = 65_535;

#[cfg(test)]
mod authn {
    use super::*;

    #[test]
    fn data_of_a_message_is_not_printed() {
        let start = Message::Start { mechanism: "PLAIN".into(), data: b"\0who\0geheim".to_vec() };
        for message in [start, Message::Step(b"geheim".to_vec())] {
            assert!(!format!("{message:?}").contains("geheim"), "{message:?}");
        }
    }
}
