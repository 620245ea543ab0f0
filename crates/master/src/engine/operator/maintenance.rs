//! When machines are not available: the schedule, and machines that are taken down and brought up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use authz::Permit;
use authz::action::{StartMaintenance, StopMaintenance, UpdateMaintenanceSchedule};
use libprocess::sender::BoundPid;
use model::id::AgentId;
use model::machine::Machine;
use registry::{MachineMode, MachineRecord, Operation};
use wire::v1;
use wire::v1::maintenance::Schedule;

use crate::engine::Engine;
use crate::engine::agents::{Departure, peer_of, shut_down};
use crate::engine::effect::Accepted;
use crate::engine::out::Out;
use crate::engine::refusal::Refusal;
use crate::engine::words;

/// The most machines in one request: a schedule of more takes several windows of time anyway.
const MOST_MACHINES: usize = 100_000;

fn invalid<T>(text: String) -> Result<T, Refusal> {
    Err(Refusal::Invalid(text))
}

/// A machine's name as the original prints it in its answers.
fn shown(id: &v1::MachineId) -> String {
    let mut json = Vec::new();
    wire::json::write(id, wire::json::Style::V0, &mut json);
    words::quote(&String::from_utf8_lossy(&json))
}

fn machine(id: &v1::MachineId) -> Result<Machine, Refusal> {
    Machine::new(id.hostname(), id.ip())
        .map_err(|why| Refusal::Invalid(words::quote(&why.to_string())))
}

fn twice<T>(id: &v1::MachineId) -> Result<T, Refusal> {
    invalid(format!("Machine '{}' appears more than once in the schedule", shown(id)))
}

/// The machines of a list, which are different ones.
fn machines(ids: &[v1::MachineId]) -> Result<Vec<(Machine, &v1::MachineId)>, Refusal> {
    if ids.is_empty() {
        return invalid("List of machines is empty".to_owned());
    }
    if ids.len() > MOST_MACHINES {
        return invalid(format!("More than {MOST_MACHINES} machines"));
    }
    let mut seen = BTreeSet::new();
    let mut all = Vec::with_capacity(ids.len());
    for id in ids {
        let machine = machine(id)?;
        if !seen.insert(machine.clone()) {
            return twice(id);
        }
        all.push((machine, id));
    }
    Ok(all)
}

/// The records of a schedule that is well formed. All machines in it drain; whether one is down
/// already is for the caller to enter.
fn records(schedule: &Schedule) -> Result<BTreeMap<Machine, MachineRecord>, Refusal> {
    let mut records = BTreeMap::new();
    for (window, number) in schedule.windows.iter().zip(0..) {
        if window.machine_ids.is_empty() {
            return invalid("List of machines in the maintenance window is empty".to_owned());
        }
        let duration = window.unavailability.duration.as_ref();
        if duration.is_some_and(|duration| duration.nanoseconds < 0) {
            return invalid("Unavailability 'duration' is negative".to_owned());
        }
        for (id, place) in window.machine_ids.iter().zip(0..) {
            let machine = machine(id)?;
            if records.contains_key(&machine) {
                return twice(id);
            }
            if records.len() == MOST_MACHINES {
                return invalid(format!("More than {MOST_MACHINES} machines"));
            }
            let record = MachineRecord {
                machine: machine.clone(),
                posted: id.clone(),
                mode: MachineMode::Draining,
                unavailability: window.unavailability,
                window: number,
                place,
            };
            records.insert(machine, record);
        }
    }
    Ok(records)
}

impl Engine {
    /// UPDATE_MAINTENANCE_SCHEDULE: replaces the whole schedule. A machine that is down stays in
    /// it and stays down.
    pub(super) fn update_schedule(
        &mut self,
        permit: &Permit<UpdateMaintenanceSchedule>,
        schedule: &Schedule,
        out: &mut Out,
    ) -> Result<Accepted, Refusal> {
        let mut records = records(schedule)?;
        let known = &self.state.settings.machines;
        for (machine, before) in known.iter().filter(|(_, r)| r.mode == MachineMode::Down) {
            match records.get_mut(machine) {
                Some(record) => record.mode = MachineMode::Down,
                None => {
                    return invalid(format!(
                        "Machine '{}' is deactivated and cannot be removed from the schedule",
                        shown(&before.posted)
                    ));
                }
            }
        }
        let gone: Vec<Machine> =
            known.keys().filter(|machine| !records.contains_key(*machine)).cloned().collect();
        // To be left out is a change too.
        for machine in records.keys().chain(&gone) {
            covers(permit, machine)?;
        }
        // An unavailability that is posted again asks frameworks anew, as the original's does.
        let mut concerned: BTreeSet<Machine> = records.keys().cloned().collect();
        concerned.extend(gone.iter().cloned());
        for machine in gone {
            self.forget_machine(&machine, out);
        }
        for record in records.into_values() {
            self.enter_machine(record, out);
        }
        out.info(format!("{} machines are in the maintenance schedule", known_machines(self)));
        self.unavailabilities_changed(&concerned, out);
        Ok(Accepted::Done)
    }

    /// START_MAINTENANCE: agents on these machines are removed, and none is let in there.
    pub(super) fn start_maintenance(
        &mut self,
        permit: &Permit<StartMaintenance>,
        ids: &[v1::MachineId],
        out: &mut Out,
    ) -> Result<Accepted, Refusal> {
        let all = machines(ids)?;
        for (machine, id) in &all {
            self.in_mode(machine, id, MachineMode::Draining)?;
            covers(permit, machine)?;
        }
        const CAUSE: &str = "Operator initiated 'Machine DOWN'";
        let agents = self.agents_on(&all.iter().map(|(machine, _)| machine.clone()).collect());
        for (machine, _) in all {
            if let Some(record) = self.state.settings.machines.get(&machine) {
                let down = MachineRecord { mode: MachineMode::Down, ..record.as_ref().clone() };
                out.info(format!("Machine {machine} is down"));
                self.enter_machine(down, out);
            }
        }
        for id in agents {
            if let Some(agent) = self.state.agents.get(&id) {
                shut_down(&agent.peer, CAUSE.to_owned(), out);
            }
            self.depart(&id, Departure::Removed, CAUSE, out);
        }
        Ok(Accepted::Done)
    }

    /// STOP_MAINTENANCE: these machines are up, and nothing is scheduled for them.
    pub(super) fn stop_maintenance(
        &mut self,
        permit: &Permit<StopMaintenance>,
        ids: &[v1::MachineId],
        out: &mut Out,
    ) -> Result<Accepted, Refusal> {
        let all = machines(ids)?;
        for (machine, id) in &all {
            self.in_mode(machine, id, MachineMode::Down)?;
            covers(permit, machine)?;
        }
        for (machine, _) in all {
            out.info(format!("Machine {machine} is up"));
            self.forget_machine(&machine, out);
        }
        Ok(Accepted::Done)
    }

    /// Whether the machine is scheduled and in this mode. A machine with agents for which nothing
    /// is scheduled is known and up.
    fn in_mode(
        &self,
        machine: &Machine,
        id: &v1::MachineId,
        mode: MachineMode,
    ) -> Result<(), Refusal> {
        let record = self.state.settings.machines.get(machine);
        if record.is_some_and(|record| record.mode == mode) {
            return Ok(());
        }
        let known = record.is_some()
            || self.state.agents.values().any(|a| a.machine().as_ref() == Some(machine));
        let id = shown(id);
        invalid(match (known, mode) {
            (false, _) => format!("Machine '{id}' is not part of a maintenance schedule"),
            (true, MachineMode::Draining) => {
                format!("Machine '{id}' is not in DRAINING mode and cannot be brought down")
            }
            (true, MachineMode::Down) => {
                format!("Machine '{id}' is not in DOWN mode and cannot be brought up")
            }
        })
    }

    /// Refuses an agent on a machine that is down, and tells it to end.
    pub(in crate::engine) fn refuse_if_down(
        &self,
        from: &BoundPid,
        hostname: &str,
        out: &mut Out,
    ) -> Result<(), String> {
        match self.state.settings.machine_of(hostname, *from.upid().address.ip()) {
            Some((MachineMode::Down, _)) => {
                shut_down(&peer_of(from), "Machine is `DOWN`".to_owned(), out);
                Err("the machine that it runs on is down".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn agents_on(&self, machines: &BTreeSet<Machine>) -> Vec<AgentId> {
        let there = |machine: Option<Machine>| machine.is_some_and(|m| machines.contains(&m));
        let agents = self.state.agents.values().filter(|agent| there(agent.machine()));
        agents.map(|agent| agent.id.clone()).collect()
    }

    fn enter_machine(&mut self, record: MachineRecord, out: &mut Out) {
        let machine = record.machine.clone();
        let before = self.state.settings.machines.get(&machine);
        if before.is_some_and(|before| **before == record) {
            return;
        }
        out.persist(Operation::PutMachine(Box::new(record.clone())));
        self.state.settings.machines.insert_mut(machine, Arc::new(record));
    }

    fn forget_machine(&mut self, machine: &Machine, out: &mut Out) {
        if self.state.settings.machines.remove_mut(machine) {
            out.persist(Operation::DeleteMachine(machine.clone()));
        }
    }

    /// Agents on these machines have another unavailability now.
    fn unavailabilities_changed(&mut self, machines: &BTreeSet<Machine>, out: &mut Out) {
        for id in self.agents_on(machines) {
            let unavailability = self.unavailability_of(&id).copied();
            self.set_unavailability(&id, unavailability, out);
        }
    }

    /// When the agent's machine is not available, if that is scheduled.
    pub(in crate::engine) fn unavailability_of(&self, id: &AgentId) -> Option<&v1::Unavailability> {
        let machine = self.state.agents.get(id)?.machine()?;
        self.state.settings.machines.get(&machine).map(|record| &record.unavailability)
    }

    /// Refuses to drain an agent whose machine is in the maintenance schedule.
    pub(super) fn not_scheduled(&self, id: &AgentId) -> Result<(), Refusal> {
        let machine = self.state.agents.get(id).and_then(|agent| agent.machine());
        match machine.filter(|machine| self.state.settings.machines.contains_key(machine)) {
            Some(machine) => invalid(format!(
                "Agent {id} is part of a maintenance schedule under Machine {machine}"
            )),
            None => Ok(()),
        }
    }
}

fn known_machines(engine: &Engine) -> usize {
    engine.state.settings.machines.size()
}

fn covers<A: authz::Action<Object = Machine>>(
    permit: &Permit<A>,
    machine: &Machine,
) -> Result<(), Refusal> {
    if permit.covers(machine) { Ok(()) } else { Err(Refusal::NotPermitted) }
}
