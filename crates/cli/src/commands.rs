//! One file per command.

pub(crate) mod agent;
pub(crate) mod agents;
pub(crate) mod completions;
pub(crate) mod credentials;
pub(crate) mod daemon;
pub(crate) mod doctor;
pub(crate) mod execute;
pub(crate) mod frameworks;
pub(crate) mod kill;
pub(crate) mod logs;
pub(crate) mod master;
pub(crate) mod memory;
pub(crate) mod mesos_execute;
pub(crate) mod state;
pub(crate) mod tasks;
pub(crate) mod up;

use serde_json::Value;

/// The array at `key`, taken out; empty if there is none.
fn list(value: &Value, key: &str) -> Vec<Value> {
    value[key].as_array().cloned().unwrap_or_default()
}

/// The text at `key`; empty if there is none.
fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// A number without needless decimals.
fn number(value: &Value) -> String {
    value.as_f64().map_or_else(String::new, |n| n.to_string())
}
