//! Whether any agent is large enough at all.

use anyhow::bail;
use serde_json::Value;
use wire::v1::Resource;

use crate::client::Client;

/// Fails if no agent will ever offer what is wanted, so that nobody waits for it.
pub(crate) async fn some_agent_is_large_enough(
    client: &mut Client,
    wanted: &[Resource],
) -> anyhow::Result<()> {
    let expected = client.cluster().agents.len().max(1);
    match lack(&client.get("/slaves").await?, expected, wanted) {
        Some(lack) => bail!(lack),
        None => Ok(()),
    }
}

/// What is missing on every agent, according to the master's `/slaves`. Agents that are still to
/// come (there are to be `expected`), or to come back, may have it.
fn lack(answer: &Value, expected: usize, wanted: &[Resource]) -> Option<String> {
    let list = |key: &str| answer[key].as_array().map_or(&[][..], Vec::as_slice);
    let agents = list("slaves");
    if agents.len() < expected || !list("recovered_slaves").is_empty() {
        return None;
    }
    let amount = |agent: &Value, name: &str| agent["resources"][name].as_f64().unwrap_or(0.0);
    let scalars = || wanted.iter().filter_map(|r| Some((&r.name, r.scalar.as_ref()?.value)));
    // Thousandths, as the master counts.
    let enough = |has: f64, wants: f64| has + 0.0005 > wants;
    if agents.iter().any(|a| scalars().all(|(name, wants)| enough(amount(a, name), wants))) {
        return None;
    }
    let most = |name: &str| agents.iter().map(|a| amount(a, name)).fold(0.0, f64::max);
    let missing: Vec<String> = scalars()
        .filter(|(name, wants)| !enough(most(name), *wants))
        .map(|(name, wants)| format!("{name}:{wants} (the most on one agent is {})", most(name)))
        .collect();
    Some(if missing.is_empty() {
        "no single agent has all of what the task needs".to_owned()
    } else {
        format!("no agent has {}", missing.join(" and "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_no_agent_has_is_named_and_what_one_has_is_waited_for() {
        let answer = json!({
            "slaves": [
                {"resources": {"cpus": 4.0, "mem": 128.0}},
                {"resources": {"cpus": 1.0, "mem": 512.0}},
            ],
            "recovered_slaves": [],
        });
        let lack = |text: &str| {
            let wanted = crate::task::resources(text).unwrap();
            super::lack(&answer, 2, &wanted)
        };
        assert_eq!(lack("cpus:4;mem:128"), None);
        assert_eq!(lack("cpus:8").unwrap(), "no agent has cpus:8 (the most on one agent is 4)");
        assert_eq!(lack("gpus:1").unwrap(), "no agent has gpus:1 (the most on one agent is 0)");
        assert_eq!(
            lack("cpus:4;mem:512").unwrap(),
            "no single agent has all of what the task needs"
        );
    }

    #[test]
    fn agents_that_are_still_to_come_may_be_larger() {
        let wanted = crate::task::resources("cpus:8").unwrap();
        let small = json!({"resources": {"cpus": 1.0}});
        let registered = json!({"slaves": [small], "recovered_slaves": []});
        assert_eq!(lack(&registered, 2, &wanted), None);
        assert!(lack(&registered, 1, &wanted).is_some());
        let coming_back = json!({"slaves": [small], "recovered_slaves": [{"id": "S1"}]});
        assert_eq!(lack(&coming_back, 1, &wanted), None);
    }
}
