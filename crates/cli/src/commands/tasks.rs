//! `alcazar tasks`.

use clap::Args;
use serde_json::Value;

use super::{list, number, text};
use crate::args::Show;
use crate::client::Client;
use crate::printer::{Cell, Printer, Table, Tone};
use crate::when;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only those that have not ended
    #[arg(long)]
    active: bool,
    #[command(flatten)]
    pub(crate) show: Show,
}

/// Shows the tasks.
pub(crate) async fn run(
    options: &Options,
    client: &mut Client,
    printer: Printer,
) -> anyhow::Result<()> {
    let mut tasks = list(&client.get("/tasks").await?, "tasks");
    if options.active {
        tasks.retain(|t| !crate::task::run::is_terminal_name(text(t, "state")));
    }
    let shown = Value::Array(tasks);
    printer.print(&shown, || table(shown.as_array().map_or(&[], Vec::as_slice)))
}

fn table(tasks: &[Value]) -> Table {
    let mut table = Table::new(["ID", "STATE", "NAME", "ROLE", "AGENT", "CPUS", "MEM", "SINCE"]);
    for task in tasks {
        let state = text(task, "state");
        let since = task["statuses"]
            .as_array()
            .and_then(|s| s.last())
            .and_then(|s| s["timestamp"].as_f64())
            .map_or_else(String::new, when::moment);
        let resources = &task["resources"];
        table.row([
            text(task, "id").into(),
            Cell::toned(state, Tone::of_task_state(state)),
            text(task, "name").into(),
            text(task, "role").into(),
            text(task, "slave_id").into(),
            number(&resources["cpus"]).into(),
            number(&resources["mem"]).into(),
            since.into(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_a_row() {
        let task = serde_json::json!({
            "id": "t-1", "name": "t", "state": "TASK_RUNNING", "role": "*",
            "slave_id": "m-S0", "resources": {"cpus": 0.5, "mem": 128.0},
            "statuses": [{"timestamp": 0.0}, {"timestamp": 1_700_000_000.5}],
        });
        assert_eq!(
            table(&[task]).render(false),
            "ID   STATE         NAME  ROLE  AGENT  CPUS  MEM  SINCE\n\
             t-1  TASK_RUNNING  t     *     m-S0   0.5   128  2023-11-14T22:13:20Z\n"
        );
    }
}
