//! How many operations are kept. Those that nobody acknowledges stay for ever, and agents can bring
//! as many as they like: the original keeps them all.

use std::collections::BTreeMap;

use model::id::FrameworkId;

use super::super::state::{Agent, Framework, Operation};

/// The most operations on one agent, whether they go on or wait for an acknowledgement.
pub const MAX_ON_AGENT: usize = 10_000;

/// The most of them that are one framework's: it can neither keep others from an agent, nor can an
/// agent that claims too many keep a framework from others.
pub const MAX_OF_FRAMEWORK_ON_AGENT: usize = 1_000;

/// The most operations of one framework for which it is still sent another one.
pub const MAX_OF_FRAMEWORK: usize = 100_000;

/// Whether one more operation can be on the agent.
pub(super) fn on_agent(agent: &Agent) -> Result<(), String> {
    if agent.operations.size() < MAX_ON_AGENT {
        return Ok(());
    }
    Err(format!(
        "Agent {} has {MAX_ON_AGENT} operations that are not over or not acknowledged",
        agent.id
    ))
}

/// Whether the framework can have one more on the agent.
pub(super) fn of_framework(framework: &Framework, agent: &Agent) -> Result<(), String> {
    if framework.operations.size() >= MAX_OF_FRAMEWORK {
        return Err(format!(
            "The framework has {MAX_OF_FRAMEWORK} operations that are not over or not acknowledged"
        ));
    }
    if count(agent, &framework.id) >= MAX_OF_FRAMEWORK_ON_AGENT {
        return Err(format!(
            "The framework has {MAX_OF_FRAMEWORK_ON_AGENT} operations on agent {} that are not \
             over or not acknowledged",
            agent.id
        ));
    }
    Ok(())
}

/// Whether all these can be added to what is on the agent.
pub(super) fn all<'a>(
    agent: &Agent,
    added: impl Iterator<Item = &'a Operation>,
) -> Result<(), String> {
    let mut on_agent = agent.operations.size();
    let mut of_frameworks: BTreeMap<&FrameworkId, usize> = BTreeMap::new();
    for operation in added {
        on_agent += 1;
        if on_agent > MAX_ON_AGENT {
            return Err(format!("more than {MAX_ON_AGENT} operations would be on it"));
        }
        let Some(id) = &operation.framework_id else { continue };
        let of_framework = of_frameworks.entry(id).or_insert_with(|| count(agent, id));
        *of_framework += 1;
        if *of_framework > MAX_OF_FRAMEWORK_ON_AGENT {
            return Err(format!(
                "more than {MAX_OF_FRAMEWORK_ON_AGENT} operations of framework {id} would be on it"
            ));
        }
    }
    Ok(())
}

fn count(agent: &Agent, framework_id: &FrameworkId) -> usize {
    agent.operations_by.get(framework_id).copied().unwrap_or_default()
}
