//! The cluster: who is there, and what happens to them, one thing after another.

use registry::{MemoryRegistry, Registry as _};

use crate::agent::Machine;
use crate::core::{Core, Happening};
use crate::inspection;
use crate::master::Master;
use crate::names::{Host, Node};
use crate::net::{Lane, Parcel};
use crate::operator::Operator;
use crate::sabotage::Sabotage;
use crate::scheduler::Scheduler;
use crate::shape::Life;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) core: Core,
    pub(crate) registry: MemoryRegistry,
    pub(crate) master: Option<Master>,
    masters: u32,
    pub(crate) machines: Vec<Machine>,
    pub(crate) schedulers: Vec<Scheduler>,
    pub(crate) operator: Operator,
    pub(crate) steps: u64,
    /// All is well and nothing more is waited for.
    pub(crate) content: bool,
}

impl World {
    pub(crate) fn new(seed: u64, traced: bool, sabotage: Option<Sabotage>) -> Self {
        let mut core = Core::new(seed, traced, sabotage);
        let shape = core.shape.clone();
        core.trace("world", || format!("{shape:?}"));
        let machines = (1..).zip(&shape.agents).map(|(n, total)| Machine::new(n, total)).collect();
        let schedulers = (1..)
            .zip(&shape.schedulers)
            .map(|(n, shape)| Scheduler::new(n, shape.clone(), &mut core))
            .collect();
        let mut world = Self {
            core,
            registry: MemoryRegistry::default(),
            master: None,
            masters: 0,
            machines,
            schedulers,
            operator: Operator::default(),
            steps: 0,
            content: false,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        let core = &mut self.core;
        core.running.insert(Host::Operator, 1);
        core.after(std::time::Duration::ZERO, Happening::Start(Host::Master));
        for machine in &self.machines {
            let wait = core.dice.millis(0, 3000);
            core.after(wait, Happening::Start(Host::Agent(machine.n)));
        }
        for scheduler in &self.schedulers {
            let wait = core.dice.millis(0, 5000);
            core.after(wait, Happening::Start(Host::Scheduler(scheduler.n)));
        }
        let wait = core.dice.secs(1, 10);
        core.after(wait, Happening::Trouble);
        let wait = core.dice.secs(1, 30);
        core.after(wait, Happening::Operator);
    }

    /// Lets the next thing happen. `false` if there is nothing any more.
    pub(crate) fn step(&mut self) -> bool {
        let Some(happening) = self.core.advance() else { return false };
        self.steps += 1;
        match happening {
            Happening::Arrives(pipe) => {
                if let Some((from, to, lane, parcel)) = self.core.arrival(pipe) {
                    self.deliver(from, to, lane, (pipe, parcel));
                }
            }
            Happening::Breaks(pipe) => self.core.break_pipe(pipe),
            Happening::Noticed(node, pipe) => self.noticed(node, pipe),
            Happening::In(node, inner) => self.happens_in(node, inner),
            Happening::On(n, outer) => {
                if let Some(machine) = self.machines.iter_mut().find(|machine| machine.n == n) {
                    machine.happens_on(outer, &mut self.core);
                }
            }
            Happening::Start(host) => self.start(host),
            Happening::Trouble => self.trouble(),
            Happening::Operator => self.operator.acts(&mut self.core),
            Happening::Inspection => inspection::look(self),
        }
        self.bury();
        true
    }

    fn deliver(
        &mut self,
        from: Node,
        to: Node,
        lane: Lane,
        (via, parcel): (crate::net::PipeId, Parcel),
    ) {
        if !self.core.is_running(to) {
            return self.core.break_pipe(via);
        }
        if self.core.trace.is_kept() && lane == Lane::Answers {
            self.core.trace(to, || format!("is answered: {parcel:?}"));
        }
        match to.host {
            Host::Master => {
                if let Some(master) = &mut self.master {
                    master.receive(from, via, parcel, &mut self.core);
                }
            }
            Host::Agent(n) => {
                if let Some(machine) = self.machines.iter_mut().find(|machine| machine.n == n) {
                    machine.receive(via, parcel, &mut self.core);
                }
            }
            Host::Scheduler(n) => {
                if let Some(scheduler) = self.schedulers.iter_mut().find(|s| s.n == n) {
                    scheduler.receive(via, parcel, &mut self.core);
                }
            }
            Host::Operator => self.operator.receive(parcel, &mut self.core),
        }
    }

    fn noticed(&mut self, node: Node, pipe: crate::net::PipeId) {
        if !self.core.is_running(node) {
            return;
        }
        match node.host {
            Host::Master => {
                if let Some(master) = &mut self.master {
                    master.noticed(pipe, &mut self.core);
                }
            }
            Host::Agent(n) => {
                if let Some(machine) = self.machines.iter_mut().find(|machine| machine.n == n) {
                    machine.noticed(pipe, &mut self.core);
                }
            }
            Host::Scheduler(n) => {
                if let Some(scheduler) = self.schedulers.iter_mut().find(|s| s.n == n) {
                    scheduler.noticed(pipe, &mut self.core);
                }
            }
            Host::Operator => {}
        }
    }

    fn happens_in(&mut self, node: Node, inner: crate::core::Inner) {
        if !self.core.is_running(node) {
            return;
        }
        match node.host {
            Host::Master => {
                if let Some(master) = &mut self.master {
                    master.happens(inner, &mut self.registry, &mut self.core);
                }
            }
            Host::Agent(n) => {
                if let Some(machine) = self.machines.iter_mut().find(|machine| machine.n == n) {
                    machine.happens(inner, &mut self.core);
                }
            }
            Host::Scheduler(n) => {
                if let Some(scheduler) = self.schedulers.iter_mut().find(|s| s.n == n) {
                    scheduler.happens(inner, &mut self.core);
                }
            }
            Host::Operator => {}
        }
    }

    fn start(&mut self, host: Host) {
        match host {
            Host::Master => {
                if self.master.is_none() {
                    self.masters += 1;
                    let master = Master::start(self.masters, &mut self.registry, &mut self.core);
                    self.master = Some(master);
                    self.announce();
                }
            }
            Host::Agent(n) => {
                if let Some(machine) = self.machines.iter_mut().find(|machine| machine.n == n) {
                    machine.start(&mut self.core);
                }
            }
            Host::Scheduler(n) => {
                if let Some(scheduler) = self.schedulers.iter_mut().find(|s| s.n == n) {
                    scheduler.start(&mut self.core);
                }
            }
            Host::Operator => {}
        }
    }

    /// Tells everybody who leads now, if there is somebody who does.
    fn announce(&mut self) {
        if !self.core.shape.announced {
            return;
        }
        let others: Vec<_> = self
            .core
            .running
            .iter()
            .filter(|(host, _)| matches!(host, Host::Agent(_) | Host::Scheduler(_)))
            .map(|(host, run)| Node { host: *host, run: *run })
            .collect();
        for node in others {
            let wait = self.core.dice.millis(1, 5000);
            self.core.after(wait, Happening::In(node, crate::core::Inner::Detected));
        }
    }

    /// Takes away what has crashed, and sees to it that it is started again.
    fn bury(&mut self) {
        let core = &mut self.core;
        if self.master.as_ref().is_some_and(|master| master.dead)
            && let Some(mut master) = self.master.take()
        {
            master.crashes(&mut self.registry, core);
            let wait = match core.dice.below(8) {
                0..2 => core.dice.secs(5, 120),
                // The next one was ready to take over, and hears what the last one still said.
                2 => {
                    core.ledger.count("masters that were replaced at once");
                    std::time::Duration::ZERO
                }
                _ => core.dice.millis(100, 5000),
            };
            core.after(wait, Happening::Start(Host::Master));
        }
        for machine in &mut self.machines {
            if machine.dead && machine.process.is_some() {
                machine.ends(core);
                core.ledger.count("crashes of agents");
                let wait = match core.dice.below(4) {
                    0 => core.dice.secs(5, 200),
                    _ => core.dice.millis(100, 5000),
                };
                core.after(wait, Happening::Start(Host::Agent(machine.n)));
            }
        }
        for scheduler in &mut self.schedulers {
            if scheduler.dead && scheduler.up {
                scheduler.ends(core);
                core.ledger.count("crashes of schedulers");
                let wait = core.dice.millis(100, 20_000);
                if !scheduler.over {
                    core.after(wait, Happening::Start(Host::Scheduler(scheduler.n)));
                }
            }
        }
    }

    /// Nothing goes wrong from now on: what is down comes back, what is cut off is connected.
    pub(crate) fn heal(&mut self) {
        let core = &mut self.core;
        core.trace("world", || "nothing goes wrong from now on".to_owned());
        core.turmoil = false;
        core.net.heal();
        if let Some(master) = &mut self.master {
            master.crash = None;
        }
        for machine in &mut self.machines {
            machine.crash = None;
            core.after(std::time::Duration::from_secs(1), Happening::Start(Host::Agent(machine.n)));
        }
        for scheduler in &mut self.schedulers {
            match scheduler.shape.life {
                Life::Stays => {
                    let start = Happening::Start(Host::Scheduler(scheduler.n));
                    core.after(std::time::Duration::from_secs(1), start);
                }
                Life::Leaves => {
                    scheduler.over = true;
                    scheduler.dead = true;
                }
                Life::TearsDown => {
                    scheduler.over = true;
                    scheduler.tear_down(core);
                    scheduler.dead = true;
                }
            }
        }
        core.after(std::time::Duration::from_secs(30), Happening::Inspection);
    }

    /// The durable record.
    pub(crate) fn record(&mut self) -> registry::Contents {
        self.registry.recover().unwrap_or_default()
    }
}
