//! What `/flags` shows, compared with the original's.

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::BTreeMap;

use alcazar_settings::{EffectiveFlags, Program, flags};
use common::{Given, shared};

/// The flags that a recorded `/flags` or `/state` shows.
fn recorded(file: &str) -> Option<BTreeMap<String, String>> {
    let bytes = std::fs::read(shared(&format!("captures/{file}"))?).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    let start = text.find("\"flags\":{").unwrap() + "\"flags\":".len();
    let mut values = serde_json::Deserializer::from_str(&text[start..]).into_iter();
    Some(values.next().unwrap().unwrap())
}

/// The arguments that lead to `recorded`.
fn arguments(program: Program, recorded: &BTreeMap<String, String>) -> Given {
    let mut given = Given::default();
    for (_, row) in flags(program) {
        let computed = ["help", "version", "work_dir", "master"].contains(&row.name);
        if let (Some(value), false) = (recorded.get(row.name), computed) {
            let is_default = matches!(row.default, alcazar_settings::Default::Value(default) if default == value);
            if !is_default {
                given.arguments.push(format!("--{}={value}", row.name));
            }
        }
    }
    given
}

/// The values that a test gives of its own.
fn without_given(mut flags: EffectiveFlags) -> EffectiveFlags {
    flags.retain(|name, _| !["registry", "work_dir", "master"].contains(&name.as_str()));
    flags
}

#[test]
fn a_master_shows_the_flags_of_the_original() {
    let Some(recorded) = recorded("11-operator-api/0046-response.http") else { return };
    let (settings, _) = arguments(Program::Master, &recorded).master().unwrap();
    assert_eq!(without_given(settings.effective_flags), without_given(recorded));
}

#[test]
fn an_agent_shows_the_flags_of_the_original() {
    let Some(recorded) = recorded("11-operator-api/0086-response.http") else { return };
    let (settings, _) = arguments(Program::Agent, &recorded).agent().unwrap();
    assert_eq!(without_given(settings.effective_flags), without_given(recorded));
}
