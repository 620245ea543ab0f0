//! `alcazar frameworks`.

use clap::Args;
use serde_json::Value;

use super::{list, text};
use crate::args::Show;
use crate::client::Client;
use crate::printer::{Cell, Printer, Table, Tone};
use crate::when;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Those that have ended, too
    #[arg(long, short)]
    all: bool,
    #[command(flatten)]
    pub(crate) show: Show,
}

/// Shows the frameworks.
pub(crate) async fn run(
    options: &Options,
    client: &mut Client,
    printer: Printer,
) -> anyhow::Result<()> {
    let answer = client.get("/frameworks").await?;
    let mut frameworks = list(&answer, "frameworks");
    if options.all {
        for mut framework in list(&answer, "completed_frameworks") {
            if let Some(framework) = framework.as_object_mut() {
                framework.insert("completed".to_owned(), Value::Bool(true));
            }
            frameworks.push(framework);
        }
    }
    let frameworks = Value::Array(frameworks);
    printer.print(&frameworks, || table(frameworks.as_array().map_or(&[], Vec::as_slice)))
}

fn table(frameworks: &[Value]) -> Table {
    let mut table =
        Table::new(["ID", "STATE", "NAME", "ROLES", "USER", "PRINCIPAL", "TASKS", "SINCE"]);
    for framework in frameworks {
        let (state, tone) = if framework["completed"] == true {
            ("completed", Tone::Plain)
        } else if framework["connected"] != true {
            ("disconnected", Tone::Warn)
        } else if framework["active"] == true {
            ("active", Tone::Good)
        } else {
            ("inactive", Tone::Warn)
        };
        let roles = framework["roles"].as_array().map_or_else(
            || text(framework, "role").to_owned(),
            |roles| roles.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
        );
        let tasks = framework["tasks"].as_array().map_or(0, Vec::len);
        table.row([
            text(framework, "id").into(),
            Cell::toned(state, tone),
            text(framework, "name").into(),
            roles.into(),
            text(framework, "user").into(),
            text(framework, "principal").into(),
            tasks.to_string().into(),
            framework["registered_time"].as_f64().map_or_else(String::new, when::moment).into(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_framework_is_a_row() {
        let framework = serde_json::json!({
            "id": "m-0000", "name": "f", "roles": ["a", "b"], "user": "nobody", "active": true,
            "connected": true, "principal": "op", "tasks": [{}, {}], "registered_time": 0.0,
        });
        assert_eq!(
            table(&[framework]).render(false),
            "ID      STATE   NAME  ROLES  USER    PRINCIPAL  TASKS  SINCE\n\
             m-0000  active  f     a,b    nobody  op         2      1970-01-01T00:00:00Z\n"
        );
    }
}
