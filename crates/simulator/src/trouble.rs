//! What goes wrong.

use crate::core::{Happening, Outer};
use crate::master::CrashPoint;
use crate::names::Host;
use crate::shape::Life;
use crate::world::World;

impl World {
    /// Lets something go wrong, and something else some time later.
    pub(crate) fn trouble(&mut self) {
        if self.core.now.monotonic.since_start() > self.core.shape.turmoil {
            return self.heal();
        }
        match self.core.dice.below(20) {
            0..4 => self.master_crashes(),
            4..8 => self.agent_crashes(),
            8..11 => self.scheduler_crashes(),
            11..15 => self.connection_breaks(),
            15..19 => self.partition(),
            _ => self.container_dies(),
        }
        let calm = self.core.shape.calm;
        let wait = self.core.dice.between(std::time::Duration::ZERO, calm);
        self.core.after(wait, Happening::Trouble);
    }

    fn master_crashes(&mut self) {
        let point = match self.core.dice.below(3) {
            0 => Some(CrashPoint::Writing),
            1 => Some(CrashPoint::Effect(self.core.dice.index(8))),
            _ => None,
        };
        let Some(master) = &mut self.master else { return };
        match point {
            Some(point) => master.crash = Some(point),
            None => master.dead = true,
        }
    }

    fn agent_crashes(&mut self) {
        let which = self.core.dice.index(self.machines.len());
        let how = self.core.dice.below(10);
        let left = self.core.dice.index(12);
        let Some(machine) = self.machines.get_mut(which) else { return };
        match how {
            0 => {
                self.core.trace(format!("host-{}", machine.n), || "is started again".to_owned());
                self.core.ledger.count("machines that were started again");
                machine.reboot(&mut self.core);
                let wait = self.core.dice.secs(5, 100);
                self.core.after(wait, Happening::Start(Host::Agent(machine.n)));
            }
            1..6 => machine.crash = Some(left),
            _ => machine.dead = true,
        }
    }

    fn scheduler_crashes(&mut self) {
        let which = self.core.dice.index(self.schedulers.len());
        let last = self.core.dice.percent(40);
        let Some(scheduler) = self.schedulers.get_mut(which) else { return };
        match scheduler.shape.life {
            Life::Leaves if last => scheduler.over = true,
            Life::TearsDown if last => {
                scheduler.over = true;
                scheduler.tear_down(&mut self.core);
            }
            _ => {}
        }
        scheduler.dead = true;
    }

    fn connection_breaks(&mut self) {
        let pipes: Vec<_> = self.core.net.pipes.keys().copied().collect();
        if let Some(pipe) = self.core.dice.one_of(&pipes) {
            self.core.break_pipe(pipe);
        }
    }

    fn partition(&mut self) {
        let mut hosts = vec![Host::Master];
        hosts.extend(self.machines.iter().map(|machine| Host::Agent(machine.n)));
        hosts.extend(self.schedulers.iter().map(|scheduler| Host::Scheduler(scheduler.n)));
        let Some(lonely) = self.core.dice.one_of(&hosts) else { return };
        let lasts = match self.core.dice.below(4) {
            0 => self.core.dice.secs(60, 300),
            _ => self.core.dice.secs(1, 40),
        };
        let until = self.core.now.monotonic + lasts;
        let (hears, speaks) = match self.core.dice.below(4) {
            0 => (false, true),
            1 => (true, false),
            _ => (false, false),
        };
        self.core.ledger.count("partitions");
        self.core.trace("network", || {
            format!("{lonely:?} hears: {hears}, is heard: {speaks}, for {lasts:?}")
        });
        for other in hosts.into_iter().filter(|other| *other != lonely) {
            if !hears {
                self.core.net.cut_off(other, lonely, until);
            }
            if !speaks {
                self.core.net.cut_off(lonely, other, until);
            }
        }
    }

    fn container_dies(&mut self) {
        let which = self.core.dice.index(self.machines.len());
        let Some(machine) = self.machines.get(which) else { return };
        let alive = machine.containers.values().filter(|container| !container.ended);
        let alive: Vec<_> = alive.map(|container| container.id.clone()).collect();
        if let Some(container) = self.core.dice.one_of(&alive) {
            self.core.ledger.count("containers that died");
            let ends = Happening::On(machine.n, Outer::Ends(container, 9));
            self.core.after(std::time::Duration::ZERO, ends);
        }
    }
}
