//! `alcazar kill`.

use clap::Args;
use serde_json::json;

use super::{list, text};
use crate::client::Client;
use crate::exit::Failure;
use crate::task::run::is_terminal_name;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The task's id, or its beginning if only one begins so
    #[arg(value_name = "TASK")]
    task: String,
}

/// Asks the master to kill the task. The scheduler API gives that to the task's framework alone;
/// an operator has a route of its own.
pub(crate) async fn run(options: &Options, client: &mut Client) -> anyhow::Result<()> {
    let tasks = list(&client.get("/tasks").await?, "tasks");
    let task = crate::find::task(&tasks, &options.task)?;
    let (id, state) = (text(task, "id"), text(task, "state"));
    if is_terminal_name(state) {
        return Err(Failure::NotFound(format!("task `{id}` has ended: {state}")).into());
    }
    let request = json!({
        "type": "KILL",
        "framework_id": {"value": text(task, "framework_id")},
        "kill": {"task_id": {"value": id}},
    });
    client.post("/alcazar/v1/kill-task", &request).await
}
