//! Who may send what: one table of all messages of the protocol.
//!
//! A message is judged by it before its body is looked at: is there such a message for this
//! component at all, and may the sender speak as one of those who send it? That a master is the
//! *leading* one, and that the ids in a body are the sender's own, is judged by the engines, which
//! know who leads and who owns what.

use model::identity::Kind;
use model::principal::Kinds;

use crate::sender::BoundPid;

/// A message for one kind of component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// The message's name, as the request path has it.
    pub name: &'static str,
    /// For whom it is.
    pub to: Kind,
    /// Who may send it there. A [`Kind::Master`] has to be the leading one.
    pub from: Kinds,
}

/// Why a message is refused unread.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such message is ever sent to this kind of component.
    #[error("there is no such message for components of kind {to}")]
    Unknown {
        /// For whom it was.
        to: Kind,
    },
    /// Its sender may not send it.
    #[error("it may be sent by: {allowed}; its sender may speak as: {speaks_as}")]
    Forbidden {
        /// Who may.
        allowed: Kinds,
        /// What the sender proved to be; all kinds if it proved nothing about that.
        speaks_as: Kinds,
    },
}

/// Who may send the message called `name` to a component of kind `to`; `None` if nobody ever does.
#[must_use]
pub fn senders(to: Kind, name: &str) -> Option<Kinds> {
    let at = TABLE.binary_search_by(|row| row.name.cmp(name).then(row.to.cmp(&to))).ok()?;
    Some(TABLE.get(at)?.from)
}

/// Whether `from` may send the message called `name` to a component of kind `to`: as which kinds
/// it may have done so.
///
/// # Errors
///
/// If it may not, or nobody ever does.
pub fn may_send(from: &BoundPid, to: Kind, name: &str) -> Result<Kinds, Refusal> {
    let allowed = senders(to, name).ok_or(Refusal::Unknown { to })?;
    let speaks_as = from.kinds();
    match allowed.and(speaks_as) {
        Kinds::NONE => Err(Refusal::Forbidden { allowed, speaks_as }),
        kinds => Ok(kinds),
    }
}

const AGENT: Kinds = Kinds::only(Kind::Agent);
const EXECUTOR: Kinds = Kinds::only(Kind::Executor);
const FRAMEWORK: Kinds = Kinds::only(Kind::Framework);
const MASTER: Kinds = Kinds::only(Kind::Master);
/// Those who authenticate themselves to a master by SASL.
const CLIENTS: Kinds = AGENT.with(Kind::Framework);

macro_rules! table {
    ($($name:literal: $($to:ident <- $from:expr),+;)*) => {
        /// All messages, in the order of their names, then of their receivers.
        pub const TABLE: &[Allowed] = &[$($(
            Allowed { name: $name, to: Kind::$to, from: $from },
        )+)*];
    };
}

table! {
    "mesos.internal.AcknowledgeOperationStatusMessage": Agent <- MASTER;
    "mesos.internal.ApplyOperationMessage": Agent <- MASTER;
    "mesos.internal.AuthenticateMessage": Master <- CLIENTS;
    "mesos.internal.AuthenticationCompletedMessage": Agent <- MASTER, Framework <- MASTER;
    "mesos.internal.AuthenticationErrorMessage": Agent <- MASTER, Framework <- MASTER;
    "mesos.internal.AuthenticationFailedMessage": Agent <- MASTER, Framework <- MASTER;
    "mesos.internal.AuthenticationMechanismsMessage": Agent <- MASTER, Framework <- MASTER;
    "mesos.internal.AuthenticationStartMessage": Master <- CLIENTS;
    "mesos.internal.AuthenticationStepMessage":
        Agent <- MASTER, Framework <- MASTER, Master <- CLIENTS;
    "mesos.internal.CheckpointResourcesMessage": Agent <- MASTER;
    "mesos.internal.DeactivateFrameworkMessage": Master <- FRAMEWORK;
    "mesos.internal.DrainSlaveMessage": Agent <- MASTER;
    "mesos.internal.ExecutorRegisteredMessage": Executor <- AGENT;
    "mesos.internal.ExecutorReregisteredMessage": Executor <- AGENT;
    // An agent sends it straight to a v0 scheduler, or through the master.
    "mesos.internal.ExecutorToFrameworkMessage":
        Agent <- EXECUTOR, Framework <- AGENT.with(Kind::Master), Master <- AGENT;
    "mesos.internal.ExitedExecutorMessage": Framework <- MASTER, Master <- AGENT;
    "mesos.internal.FrameworkErrorMessage": Framework <- MASTER;
    "mesos.internal.FrameworkRegisteredMessage": Framework <- MASTER;
    "mesos.internal.FrameworkReregisteredMessage": Framework <- MASTER;
    // A v0 driver that knows the agent's address sends it there itself: the agent takes it from
    // the framework to which the executor belongs, at the address that the master gave.
    "mesos.internal.FrameworkToExecutorMessage":
        Agent <- MASTER.with(Kind::Framework), Executor <- AGENT, Master <- FRAMEWORK;
    "mesos.internal.InverseOffersMessage": Framework <- MASTER;
    "mesos.internal.KillTaskMessage": Agent <- MASTER, Executor <- AGENT, Master <- FRAMEWORK;
    "mesos.internal.LaunchTasksMessage": Master <- FRAMEWORK;
    "mesos.internal.LostSlaveMessage": Framework <- MASTER;
    "mesos.internal.PingSlaveMessage": Agent <- MASTER;
    "mesos.internal.PongSlaveMessage": Master <- AGENT;
    "mesos.internal.ReconcileOperationsMessage": Agent <- MASTER;
    "mesos.internal.ReconcileTasksMessage": Master <- FRAMEWORK;
    "mesos.internal.ReconnectExecutorMessage": Executor <- AGENT;
    "mesos.internal.RegisterExecutorMessage": Agent <- EXECUTOR;
    "mesos.internal.RegisterFrameworkMessage": Master <- FRAMEWORK;
    "mesos.internal.RegisterSlaveMessage": Master <- AGENT;
    "mesos.internal.ReregisterExecutorMessage": Agent <- EXECUTOR;
    "mesos.internal.ReregisterFrameworkMessage": Master <- FRAMEWORK;
    "mesos.internal.ReregisterSlaveMessage": Master <- AGENT;
    "mesos.internal.RescindInverseOfferMessage": Framework <- MASTER;
    "mesos.internal.RescindResourceOfferMessage": Framework <- MASTER;
    "mesos.internal.ResourceOffersMessage": Framework <- MASTER;
    // Providers of resources speak HTTP: these two are never sent.
    "mesos.internal.ResourceProviderCallMessage": Agent <- Kinds::NONE;
    "mesos.internal.ResourceProviderEventMessage": Agent <- Kinds::NONE;
    "mesos.internal.ResourceRequestMessage": Master <- FRAMEWORK;
    "mesos.internal.ReviveOffersMessage": Master <- FRAMEWORK;
    "mesos.internal.RunTaskGroupMessage": Agent <- MASTER;
    "mesos.internal.RunTaskMessage": Agent <- MASTER, Executor <- AGENT;
    "mesos.internal.ShutdownExecutorMessage": Agent <- MASTER, Executor <- AGENT;
    "mesos.internal.ShutdownFrameworkMessage": Agent <- MASTER;
    "mesos.internal.ShutdownMessage": Agent <- MASTER;
    "mesos.internal.SlaveRegisteredMessage": Agent <- MASTER;
    "mesos.internal.SlaveReregisteredMessage": Agent <- MASTER;
    // An agent takes it from the framework to which the task belongs, too.
    "mesos.internal.StatusUpdateAcknowledgementMessage":
        Agent <- MASTER.with(Kind::Framework), Executor <- AGENT, Master <- FRAMEWORK;
    "mesos.internal.StatusUpdateMessage": Agent <- EXECUTOR, Framework <- MASTER, Master <- AGENT;
    "mesos.internal.SubmitSchedulerRequest": Master <- FRAMEWORK;
    "mesos.internal.SubmitSchedulerResponse": Framework <- MASTER;
    "mesos.internal.UnregisterFrameworkMessage": Master <- FRAMEWORK;
    "mesos.internal.UnregisterSlaveMessage": Master <- AGENT;
    "mesos.internal.UpdateFrameworkMessage": Agent <- MASTER;
    "mesos.internal.UpdateOperationStatusMessage": Framework <- MASTER, Master <- AGENT;
    "mesos.internal.UpdateSlaveMessage": Master <- AGENT;
    // There is no replicated log here, so that nobody takes part in one.
    "mesos.internal.log.LearnedMessage": Master <- Kinds::NONE;
    "mesos.internal.log.PromiseRequest": Master <- Kinds::NONE;
    "mesos.internal.log.PromiseResponse": Master <- Kinds::NONE;
    "mesos.internal.log.RecoverRequest": Master <- Kinds::NONE;
    "mesos.internal.log.RecoverResponse": Master <- Kinds::NONE;
    "mesos.internal.log.WriteRequest": Master <- Kinds::NONE;
    "mesos.internal.log.WriteResponse": Master <- Kinds::NONE;
    "mesos.scheduler.Call": Master <- FRAMEWORK;
    "mesos.scheduler.Event": Framework <- MASTER;
}
