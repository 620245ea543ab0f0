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

/// Shows the cluster: the whole `/state` as JSON, a summary as a table.
pub(crate) async fn run(client: &mut Client, printer: Printer) -> anyhow::Result<()> {
    let state = client.get("/state").await?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_counts_tasks_by_state() {
        let state = serde_json::json!({
            "id": "m", "version": "1.12.0", "start_time": 0.0, "activated_slaves": 1.0,
            "deactivated_slaves": 0.0, "unreachable_slaves": 0.0,
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
             agents      1 active, 0 deactivated, 0 unreachable\n\
             frameworks  2\n\
             tasks       2 TASK_RUNNING, 1 TASK_STAGING\n"
        );
    }
}
