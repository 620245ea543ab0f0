//! What all programs take.

use crate::row::Default::{Unset, Value};
use crate::row::Effect::{Honoured, NoEffectYet};
use crate::row::Kind::{Bool, Int, String};
use crate::row::{Place, Program, Row, Section};

pub(super) const LOGGING: Section = Section {
    title: "Logging and help",
    programs: &Program::ALL,
    place: Place::Flags,
    rows: &[
        Row::new("quiet", Bool, Value("false"), Honoured, "Write no log to standard error."),
        Row::new(
            "logging_level",
            String,
            Value("INFO"),
            Honoured,
            "The least severe messages that are logged: `INFO`, `WARNING` or `ERROR`.",
        ),
        Row::new(
            "log_dir",
            String,
            Unset,
            Honoured,
            "Where the audit trail goes; the log itself is not written there yet.",
        ),
        Row::new("logbufsecs", Int, Value("0"), NoEffectYet, "Seconds to hold log lines back."),
        Row::new(
            "initialize_driver_logging",
            Bool,
            Value("true"),
            NoEffectYet,
            "Let a scheduler or executor library in the same process set up its own log.",
        ),
        Row::new(
            "external_log_file",
            String,
            Unset,
            NoEffectYet,
            "A log file written by somebody else, to be served in place of our own.",
        ),
        Row::new("help", Bool, Value("false"), Honoured, "Print this text and end."),
    ],
};
