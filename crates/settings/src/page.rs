//! The table for people: help and the page of the documentation.

use std::fmt::Write as _;

use crate::parse::Naming;
use crate::row::{Builds, Default, Effect, Place, Program, Restricts, Row, Section, Sensitivity};
use crate::rows::SECTIONS;

/// The help of `program`.
#[must_use]
pub fn usage(program: Program, naming: Naming) -> String {
    let name = match (naming, program) {
        (Naming::Alcazar, Program::Master) => "alcazar master",
        (Naming::Alcazar, Program::Agent) => "alcazar agent",
        (Naming::Alcazar, Program::Execute) | (Naming::Mesos, _) => program.mesos_name(),
    };
    let mut text = format!("Usage: {name} [--name=value]...\n");
    let places: &[Place] = match naming {
        Naming::Alcazar => &[Place::Flags, Place::MoreFlags, Place::OwnFlags],
        Naming::Mesos => &[Place::Flags, Place::MoreFlags],
    };
    for section in SECTIONS {
        if !section.programs.contains(&program) || !places.contains(&section.place) {
            continue;
        }
        let _ = writeln!(text, "\n{}:", section.title);
        for row in section.rows {
            usage_row(&mut text, row);
        }
    }
    text
}

fn usage_row(text: &mut String, row: &Row) {
    let flag = match row.kind {
        crate::row::Kind::Bool => format!("--[no-]{}", row.name),
        _ => format!("--{}=VALUE", row.name),
    };
    let mut help = row.help.replace('`', "");
    match row.default {
        Default::Value("") | Default::Unset => {}
        Default::Value(value) => {
            let _ = write!(help, " (default: {value})");
        }
        Default::Computed(how) => {
            let _ = write!(help, " (default: {})", how.replace('`', ""));
        }
        Default::Required => help.push_str(" (required)"),
    }
    match row.effect {
        Effect::Honoured => {}
        Effect::NoEffectYet => help.push_str(" [no effect yet]"),
        Effect::Refused(_) => help.push_str(" [not honoured yet: refused where it restricts]"),
    }
    let _ = writeln!(text, "  {flag}");
    for line in wrapped(&help, 72) {
        let _ = writeln!(text, "      {line}");
    }
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// The page `docs/user/flags.md`.
#[must_use]
pub fn page() -> String {
    let mut text = HEAD.to_owned();
    for section in SECTIONS {
        page_section(&mut text, section);
    }
    text
}

const HEAD: &str = "\
<!-- Generated from crates/settings; ALCAZAR_REGENERATE=1 cargo test -p alcazar-settings renews it. -->

# Flags and variables

The daemons take the flags of Apache Mesos, by the same names, with the same defaults. Called as
`mesos-master`, `mesos-agent` or `mesos-execute`, the program reads them as the original does;
called as `alcazar master` or `alcazar agent` it also takes hyphens for underscores and the flags
marked as our own.

- `--name=value`; booleans also `--name` and `--no-name`. A space does not separate a name from its
  value. Nothing behind `--` is read.
- `MESOS_<NAME>=value` for master and agent; the command line wins.
- `file://<path>` stands for the content of that file, except for a `path`, which is used as it is.
- Durations are a number and `ns`, `us`, `ms`, `secs`, `mins`, `hrs`, `days` or `weeks`; bytes are a
  whole number and `B`, `KB`, `MB`, `GB` or `TB`.
- An unknown flag is an error. So is a value that restricts who may do what, or asks for something
  that changes what the program is, and that is not honoured yet (*refused* below): a daemon never
  runs more open than it was told. Other flags without effect yet are named in the log.
- What is marked *secret* is shown as `REDACTED`.
";

fn page_section(text: &mut String, section: &Section) {
    let _ = write!(text, "\n## {}\n\n", section.title);
    if section.place != Place::Variables {
        let programs: Vec<_> =
            section.programs.iter().map(|p| format!("`{}`", p.mesos_name())).collect();
        let _ = match section.place {
            Place::OwnFlags => writeln!(
                text,
                "Only when called by a name of our own ({}).\n",
                section
                    .programs
                    .iter()
                    .map(|p| match p {
                        Program::Agent => "`alcazar agent`",
                        Program::Master => "`alcazar master`",
                        Program::Execute => "`alcazar execute`",
                    })
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
            Place::MoreFlags => writeln!(
                text,
                "For {}, under every name; the original has none such.\n",
                programs.join(", ")
            ),
            Place::Flags | Place::Variables => writeln!(text, "For {}.\n", programs.join(", ")),
        };
    }
    text.push_str("| name | type | default | meaning | effect |\n|---|---|---|---|---|\n");
    for row in section.rows {
        page_row(text, row);
    }
}

fn page_row(text: &mut String, row: &Row) {
    let mut name = format!("`{}`", row.name);
    if let Some(alias) = row.alias {
        let _ = write!(name, " (old: `{alias}`)");
    }
    let default = match row.default {
        Default::Computed(how) => how.to_owned(),
        Default::Required => "*required*".to_owned(),
        Default::Unset => "–".to_owned(),
        Default::Value("") => "empty".to_owned(),
        Default::Value(value) => format!("`{value}`"),
    };
    let mut help = row.help.to_owned();
    if let Builds::Some(builds) = row.builds {
        let _ = write!(help, " (In the original: builds with {builds}.)");
    }
    match row.sensitivity {
        Sensitivity::Secret => help.push_str(" *Secret.*"),
        Sensitivity::Public | Sensitivity::PathToSecret | Sensitivity::Url => {}
    }
    let effect = match row.effect {
        Effect::Honoured => "yes".to_owned(),
        Effect::NoEffectYet => "none yet".to_owned(),
        Effect::Refused(restricts) => format!("*refused* {}", refused(restricts)),
    };
    let cells = [name, row.kind.word().to_owned(), default, help, effect];
    let cells: Vec<_> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}

fn refused(restricts: Restricts) -> String {
    let quoted = |values: &[&str]| {
        values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", ")
    };
    match restricts {
        Restricts::False => "if `false`".to_owned(),
        Restricts::Given => "if given".to_owned(),
        Restricts::Outside(known) => format!("with anything but {}", quoted(known)),
        Restricts::True => "if `true`".to_owned(),
        Restricts::Unless(usual) => format!("unless {}", quoted(usual)),
    }
}
