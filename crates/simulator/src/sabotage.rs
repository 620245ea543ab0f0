//! Faults that no correct cluster survives. They show that the checks can fail.

/// What is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// The registry says that it has written what it has not, now and then.
    ForgetfulRegistry,
    /// The network gives a message to run a task to another agent, too.
    TasksTwice,
    /// Agents' checkpoints of status updates are lost.
    ForgetfulAgents,
    /// Acknowledgements of status updates never reach the agent.
    LostAcknowledgements,
    /// What is said of offers that are declined never reaches the master.
    DeafToDeclines,
    /// What a scheduler wants of agents never reaches the master.
    LostConstraints,
    /// Chance is not decided by the seed alone.
    Indeterminate,
}
