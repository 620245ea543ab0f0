//! `alcazar state`.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::Value;

use super::text;
use crate::args::Show;
use crate::client::Client;
use crate::printer::{Printer, Table};
use crate::when;

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) show: Show,
}

/// Shows the cluster: the whole `/state` as JSON, a summary as a table. Both with what protects
/// the master's connections, which `/state` itself, being the original's, does not tell.
pub(crate) async fn run(client: &mut Client, printer: Printer) -> anyhow::Result<()> {
    let mut state = client.get("/state").await?;
    if let (Some(tls), Some(state)) =
        (client.get_if_known("/alcazar/v1/tls").await?, state.as_object_mut())
    {
        state.insert("alcazar_tls".to_owned(), tls);
    }
    printer.print(&state, || table(client.master(), &state))
}

fn table(master: &str, state: &Value) -> Table {
    let mut table = Table::new(["WHAT", "VALUE"]);
    let count = |key: &str| state[key].as_f64().unwrap_or(0.0).to_string();
    let mut tasks: BTreeMap<&str, usize> = BTreeMap::new();
    let frameworks = state["frameworks"].as_array().map_or(&[][..], Vec::as_slice);
    for task in frameworks.iter().filter_map(|f| f["tasks"].as_array()).flatten() {
        *tasks.entry(text(task, "state")).or_default() += 1;
    }
    let tasks: Vec<String> = tasks.into_iter().map(|(state, n)| format!("{n} {state}")).collect();
    table.row(["master".into(), master.into()]);
    table.row(["master id".into(), text(state, "id").into()]);
    table.row(["version".into(), text(state, "version").into()]);
    let cluster = text(state, "cluster");
    if !cluster.is_empty() {
        table.row(["cluster".into(), cluster.into()]);
    }
    if let Some(start) = state["start_time"].as_f64() {
        table.row(["started".into(), when::moment(start).into()]);
    }
    if let Some(tls) = state["alcazar_tls"].as_object() {
        table.row(["security".into(), security(tls).into()]);
    }
    let agents = format!(
        "{} active, {} deactivated, {} unreachable",
        count("activated_slaves"),
        count("deactivated_slaves"),
        count("unreachable_slaves")
    );
    table.row(["agents".into(), agents.into()]);
    table.row(["frameworks".into(), frameworks.len().to_string().into()]);
    let tasks = if tasks.is_empty() { "none".to_owned() } else { tasks.join(", ") };
    table.row(["tasks".into(), tasks.into()]);
    table
}

/// The posture, the versions, and when the certificate runs out.
fn security(tls: &serde_json::Map<String, Value>) -> String {
    let mut text = tls.get("posture").and_then(Value::as_str).unwrap_or("unknown").to_owned();
    if tls.get("downgrade").and_then(Value::as_bool) == Some(true) {
        text.push_str(", with downgrade");
    }
    let versions: Vec<&str> = tls
        .get("versions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if !versions.is_empty() {
        text.push_str(&format!("; {}", versions.join(", ")));
    }
    if let Some(days) = tls.get("certificate_expires_in_days").and_then(Value::as_f64) {
        text.push_str(&match days {
            days if days < 0.0 => "; its certificate has run out".to_owned(),
            days => format!("; its certificate is good for {} days", days.floor()),
        });
    }
    if let Some(holes) = tls.get("holes").and_then(Value::as_array).filter(|h| !h.is_empty()) {
        text.push_str(&format!("; open to attack in {} ways", holes.len()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_counts_tasks_by_state() {
        let state = serde_json::json!({
            "id": "m", "version": "1.12.0", "start_time": 0.0, "activated_slaves": 1.0,
            "deactivated_slaves": 0.0, "unreachable_slaves": 0.0,
            "alcazar_tls": {"posture": "identities", "versions": ["TLSv1.2", "TLSv1.3"],
                            "certificate_expires_in_days": 89.7, "holes": []},
            "frameworks": [
                {"tasks": [{"state": "TASK_RUNNING"}, {"state": "TASK_STAGING"}]},
                {"tasks": [{"state": "TASK_RUNNING"}]},
            ],
        });
        assert_eq!(
            table("https://127.0.0.1:5050", &state).render(false),
            "WHAT        VALUE\n\
             master      https://127.0.0.1:5050\n\
             master id   m\n\
             version     1.12.0\n\
             started     1970-01-01T00:00:00Z\n\
             security    identities; TLSv1.2, TLSv1.3; its certificate is good for 89 days\n\
             agents      1 active, 0 deactivated, 0 unreachable\n\
             frameworks  2\n\
             tasks       2 TASK_RUNNING, 1 TASK_STAGING\n"
        );
    }
}
