//! What only our own commands take.

use crate::row::Default::{Unset, Value};
use crate::row::Effect::Honoured;
use crate::row::Kind::{Bool, Path, String};
use crate::row::{Place, Program, Row, Section, Sensitivity};

pub(super) const TLS: Section = Section {
    title: "Our own commands: encryption and identity",
    programs: &[Program::Master, Program::Agent],
    place: Place::OwnFlags,
    rows: &[
        Row::new(
            "tls_certificate",
            Path,
            Unset,
            Honoured,
            "PEM: our certificate, whose one URI SAN is our identity, then the intermediates.",
        ),
        Row::new("tls_key", Path, Unset, Honoured, "PEM: the private key of that certificate.")
            .sensitivity(Sensitivity::PathToSecret),
        Row::new(
            "tls_trust_bundle",
            Path,
            Unset,
            Honoured,
            "PEM: the roots that the certificates of all others must descend from.",
        ),
        Row::new(
            "danger_plaintext",
            Bool,
            Value("false"),
            Honoured,
            "Neither encrypt nor authenticate: whoever reaches the port can do everything.",
        ),
    ],
};

pub(super) const USERS: Section = Section {
    title: "Our own commands: users of tasks",
    programs: &[Program::Agent],
    place: Place::OwnFlags,
    rows: &[
        Row::new(
            "task_user",
            String,
            Value("nobody"),
            Honoured,
            "The user that tasks run as when they and their framework name none.",
        ),
        Row::new(
            "danger_root_tasks",
            Bool,
            Value("false"),
            Honoured,
            "Run tasks as root when they ask for it and the agent is root.",
        ),
    ],
};
