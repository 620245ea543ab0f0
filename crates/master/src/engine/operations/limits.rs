//! How many operations are kept. Those that nobody acknowledges stay for ever, and agents can bring
//! as many as they like: the original keeps them all.
//!
//! A large one counts for several, one for each KiB that it takes: so memory is bounded too.

use std::collections::BTreeMap;

use model::id::FrameworkId;
use prost::Message;
use wire::v1;

use super::super::state::operation::weight;
use super::super::state::{Agent, Framework, Operation};

/// The most operations on one agent, whether they go on or wait for an acknowledgement.
pub const MAX_ON_AGENT: usize = 10_000;

/// The most of them that are one framework's: it can neither keep others from an agent, nor can an
/// agent that claims too many keep a framework from others.
pub const MAX_OF_FRAMEWORK_ON_AGENT: usize = 1_000;

/// The most operations of one framework for which it is still sent another one.
pub const MAX_OF_FRAMEWORK: usize = 100_000;

/// How many times as much may be there of what an agent brings back: after a failover, or in another
/// form of the same, an operation may count for one more than when it was sent.
pub const BROUGHT_BACK: usize = 2;

/// For how many an operation counts that is sent.
pub(super) fn weight_of(operation: &v1::offer::Operation) -> usize {
    weight(operation.encoded_len())
}

/// Whether the operation can be on the agent too.
pub(super) fn on_agent(agent: &Agent, added: &v1::offer::Operation) -> Result<(), String> {
    if agent.operations_weight + weight_of(added) <= MAX_ON_AGENT {
        return Ok(());
    }
    Err(format!(
        "Agent {} can have {MAX_ON_AGENT} operations that are not over or not acknowledged, large \
         ones counted by the KiB",
        agent.id
    ))
}

/// Whether the framework can have the operation on the agent too.
pub(super) fn of_framework(
    framework: &Framework,
    agent: &Agent,
    added: &v1::offer::Operation,
) -> Result<(), String> {
    let added = weight_of(added);
    if framework.operations_weight + added > MAX_OF_FRAMEWORK {
        return Err(format!(
            "The framework can have {MAX_OF_FRAMEWORK} operations that are not over or not \
             acknowledged, large ones counted by the KiB"
        ));
    }
    if entered(agent, &framework.id) + added > MAX_OF_FRAMEWORK_ON_AGENT {
        return Err(format!(
            "The framework can have {MAX_OF_FRAMEWORK_ON_AGENT} operations on agent {} that are \
             not over or not acknowledged, large ones counted by the KiB",
            agent.id
        ));
    }
    Ok(())
}

/// Whether all these, which the agent brings back, can be added to what is on it.
pub(super) fn all<'a>(
    agent: &Agent,
    added: impl Iterator<Item = &'a Operation>,
) -> Result<(), String> {
    let mut on_agent = agent.operations_weight;
    let mut of_frameworks: BTreeMap<&FrameworkId, usize> = BTreeMap::new();
    for operation in added {
        on_agent += operation.weight;
        if on_agent > BROUGHT_BACK * MAX_ON_AGENT {
            return Err(format!(
                "more than {} operations would be on it, large ones counted by the KiB",
                BROUGHT_BACK * MAX_ON_AGENT
            ));
        }
        let Some(id) = &operation.framework_id else { continue };
        let of_framework = of_frameworks.entry(id).or_insert_with(|| entered(agent, id));
        *of_framework += operation.weight;
        if *of_framework > BROUGHT_BACK * MAX_OF_FRAMEWORK_ON_AGENT {
            return Err(format!(
                "more than {} operations of framework {id} would be on it, large ones counted by \
                 the KiB",
                BROUGHT_BACK * MAX_OF_FRAMEWORK_ON_AGENT
            ));
        }
    }
    Ok(())
}

fn entered(agent: &Agent, framework_id: &FrameworkId) -> usize {
    agent.operations_by.get(framework_id).copied().unwrap_or_default()
}
