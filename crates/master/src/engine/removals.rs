//! How agents that do not answer become unreachable: one after the other, as fast as
//! `--agent_removal_rate_limit` allows, and only if they are still silent when their turn comes.

use std::time::Duration;

use model::id::AgentId;

use super::Engine;
use super::agents::Departure;
use super::counters::Counter;
use super::out::Out;
use super::pace::Paced;
use super::timers::Timer;

/// An agent that is to become unreachable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Removal {
    /// Its link broke, and it has not come back.
    Away(AgentId),
    /// The registry knows it, and it has not come back since this master leads.
    Recovered(AgentId),
    /// It does not answer the pings of this observer.
    Silent(u64),
}

/// A length of time as the original writes it.
pub(super) fn written(time: Duration) -> String {
    const UNITS: [(&str, u64); 5] =
        [("weeks", 604_800), ("days", 86_400), ("hrs", 3600), ("mins", 60), ("secs", 1)];
    let whole = time.as_secs();
    let exact = |(_, unit): &&(&str, u64)| {
        time.subsec_nanos() == 0 && whole >= *unit && whole.is_multiple_of(*unit)
    };
    match UNITS.iter().find(exact) {
        Some((name, unit)) => format!("{}{name}", whole / unit),
        None => format!("{}secs", time.as_secs_f64()),
    }
}

impl Engine {
    /// The queue of agents that are to become unreachable, if there has to be one.
    pub(super) fn removals(limit: Option<Duration>) -> Option<Paced<Removal>> {
        limit.map(Paced::new)
    }

    /// An agent is to become unreachable: now, or when it is its turn.
    pub(super) fn schedule_removal(&mut self, removal: Removal, out: &mut Out) {
        self.state.counters.count(Counter::SlaveUnreachableScheduled);
        let now = out.now.monotonic;
        let admitted = match &mut self.removals {
            Some(queue) => {
                let admitted = queue.admit(removal, now);
                if let (None, Some(turn)) = (&admitted, queue.turn()) {
                    out.info("An agent is to become unreachable when it is its turn".to_owned());
                    self.timers.set(turn, Timer::Removal);
                }
                admitted
            }
            None => Some(removal),
        };
        if let Some(removal) = admitted {
            self.make_unreachable(removal, out);
        }
    }

    /// The next agent may become unreachable.
    pub(super) fn removal_due(&mut self, out: &mut Out) {
        let Some(queue) = &mut self.removals else { return };
        let removal = queue.pop(out.now.monotonic);
        if let Some(turn) = queue.turn() {
            self.timers.set(turn, Timer::Removal);
        }
        if let Some(removal) = removal {
            self.make_unreachable(removal, out);
        }
    }

    /// Agents that were to become unreachable are there again, or left in another way.
    pub(super) fn cancel_removals(&mut self, which: impl Fn(&Removal) -> bool, out: &mut Out) {
        let Some(queue) = &mut self.removals else { return };
        for _ in 0..queue.forget(which) {
            self.state.counters.count(Counter::SlaveUnreachableCanceled);
            out.info("An agent that was to become unreachable is not any more".to_owned());
        }
    }

    fn make_unreachable(&mut self, removal: Removal, out: &mut Out) {
        let timeout = written(self.config.agent_reregister_timeout);
        self.state.counters.count(Counter::SlaveUnreachableCompleted);
        match removal {
            Removal::Silent(number) => {
                let Some(observer) = self.observers.get(&number) else { return };
                let id = observer.agent_id.clone();
                self.state.counters.count(Counter::SlaveRemovalsReasonUnhealthy);
                self.depart(&id, Departure::Unreachable, "health check timed out", out);
            }
            Removal::Away(id) => {
                let cause =
                    format!("agent did not reregister within {timeout} after disconnecting");
                self.state.counters.count(Counter::SlaveRemovalsReasonUnhealthy);
                self.depart(&id, Departure::Unreachable, &cause, out);
            }
            Removal::Recovered(id) => {
                let Some(agent) = self.state.recovered_agents.get(&id).cloned() else { return };
                out.warn(format!(
                    "Agent {id} did not reregister within {timeout} after master failover"
                ));
                self.state.recovered_agents.remove_mut(&id);
                let (owner, orders) = (agent.owner.clone(), agent.orders.clone());
                self.record_departure(&id, owner, orders, Departure::Unreachable, out);
                self.state.counters.count(Counter::RecoverySlaveRemovals);
                self.tell_agent_lost(&id, out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_the_unit_that_fits() {
        for (seconds, text) in
            [(600, "10mins"), (900, "15mins"), (3600, "1hrs"), (90, "90secs"), (604_800, "1weeks")]
        {
            assert_eq!(written(Duration::from_secs(seconds)), text);
        }
        assert_eq!(written(Duration::from_millis(1500)), "1.5secs");
    }
}
