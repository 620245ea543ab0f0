//! `alcazar agents`.

use clap::Args;
use serde_json::Value;

use super::{list, number, text};
use crate::args::Show;
use crate::client::Client;
use crate::printer::{Cell, Printer, Table, Tone};
use crate::when;

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) show: Show,
}

/// Shows the agents.
pub(crate) async fn run(client: &mut Client, printer: Printer) -> anyhow::Result<()> {
    let answer = client.get("/slaves").await?;
    let mut agents = list(&answer, "slaves");
    // Those that the registry knows and that have not come back yet.
    for mut agent in list(&answer, "recovered_slaves") {
        if let Some(agent) = agent.as_object_mut() {
            agent.insert("recovered".to_owned(), Value::Bool(true));
        }
        agents.push(agent);
    }
    let agents = Value::Array(agents);
    printer.print(&agents, || table(agents.as_array().map_or(&[], Vec::as_slice)))
}

fn table(agents: &[Value]) -> Table {
    let mut table =
        Table::new(["ID", "STATE", "HOSTNAME", "ADDRESS", "CPUS", "MEM", "DISK", "SINCE"]);
    for agent in agents {
        let (state, tone) = if agent["recovered"] == true {
            ("not back yet", Tone::Warn)
        } else if agent["deactivated"] == true {
            ("deactivated", Tone::Warn)
        } else if agent["active"] == true {
            ("active", Tone::Good)
        } else {
            ("disconnected", Tone::Bad)
        };
        let used = |name: &str| {
            let total = number(&agent["resources"][name]);
            if total.is_empty() {
                return total;
            }
            format!("{}/{total}", number(&agent["used_resources"][name]))
        };
        let address = text(agent, "pid").split_once('@').map_or("", |(_, address)| address);
        table.row([
            text(agent, "id").into(),
            Cell::toned(state, tone),
            text(agent, "hostname").into(),
            address.into(),
            used("cpus").into(),
            used("mem").into(),
            used("disk").into(),
            agent["registered_time"].as_f64().map_or_else(String::new, when::moment).into(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_a_row_and_one_that_is_not_back_yet_says_so() {
        let agents = [
            serde_json::json!({
                "id": "m-S0", "hostname": "h", "pid": "slave(1)@127.0.0.1:5051", "active": true,
                "deactivated": false, "registered_time": 0.0,
                "resources": {"cpus": 2.0, "mem": 1024.0, "disk": 10.0},
                "used_resources": {"cpus": 0.5, "mem": 128.0, "disk": 0.0},
            }),
            serde_json::json!({"id": "m-S1", "hostname": "h", "recovered": true}),
        ];
        assert_eq!(
            table(&agents).render(false),
            "ID    STATE         HOSTNAME  ADDRESS         CPUS   MEM       DISK  SINCE\n\
             m-S0  active        h         127.0.0.1:5051  0.5/2  128/1024  0/10  1970-01-01T00:00:00Z\n\
             m-S1  not back yet  h\n"
        );
    }
}
