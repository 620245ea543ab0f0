//! What only our own commands take.

use crate::row::Default::{Computed, Unset, Value};
use crate::row::Effect::Honoured;
use crate::row::Kind::{Bool, Duration, List, Path, String};
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

/// Under the names of the original, too: whoever keeps those names must be able to be strict.
pub(super) const AUTHENTICATION: Section = Section {
    title: "Authentication beyond the original",
    programs: &[Program::Master, Program::Agent],
    place: Place::MoreFlags,
    rows: &[
        Row::new(
            "sasl_mechanisms",
            List,
            Computed(
                "on masters all, but EXTERNAL only where certificates carry identities; on agents \
                 those that do not send the secret: SCRAM-SHA-256-PLUS, SCRAM-SHA-256, CRAM-MD5",
            ),
            Honoured,
            "What frameworks and agents authenticate with: some of `SCRAM-SHA-256-PLUS`, \
             `SCRAM-SHA-256`, `EXTERNAL`, `PLAIN`, `CRAM-MD5`, separated by commas; the strongest \
             that both ends know is taken. `--authenticators` and `--authenticatee` name who does \
             it, this says how.",
        ),
        Row::new(
            "danger_plaintext_secrets",
            Bool,
            Computed("true under the names of the original"),
            Honoured,
            "Let CRAM-MD5 run on connections that are not encrypted: whoever listens can guess \
             the secret.",
        ),
        Row::new(
            "danger_same_address_sessions",
            Bool,
            Computed("true under the names of the original"),
            Honoured,
            "Let the session of a component of the original count on its further connections, \
             for a time, if they come from the same address.",
        ),
        Row::new(
            "audit_log",
            Path,
            Computed("`audit.log` in `--log_dir`; without one, the log"),
            Honoured,
            "Where one line for each decision about who somebody is goes.",
        ),
        Row::new(
            "jwks",
            Path,
            Unset,
            Honoured,
            "The public keys (RFC 7517) of whoever signs tokens for operators and frameworks; \
             read again when the file changes. Needs `--jwt_audience`.",
        ),
        Row::new(
            "jwt_audience",
            String,
            Unset,
            Honoured,
            "What the claim `aud` of those tokens must name.",
        ),
    ],
};

pub(super) const EXECUTOR_TOKENS: Section = Section {
    title: "Agent: authentication of executors beyond the original",
    programs: &[Program::Agent],
    place: Place::MoreFlags,
    rows: &[Row::new(
        "executor_token_lifetime",
        Duration,
        Value("1hrs"),
        Honoured,
        "How long the token of an executor of ours is valid, which renews it; at least 1mins.",
    )],
};
