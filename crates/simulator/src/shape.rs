//! What a seed decides before anything happens: how large the cluster is, and how bad its luck.

use std::time::Duration;

use crate::dice::Dice;

/// How a scheduler's life goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// It comes back, whatever happens.
    Stays,
    /// It goes away for ever.
    Leaves,
    /// It ends its framework.
    TearsDown,
}

/// A scheduler's nature.
#[derive(Clone, Debug)]
pub(crate) struct SchedulerShape {
    /// Speaks libprocess.
    pub(crate) driver: bool,
    pub(crate) life: Life,
    pub(crate) partition_aware: bool,
    pub(crate) multi_role: bool,
    pub(crate) checkpoint: bool,
    pub(crate) own_executors: bool,
    /// Reserves resources, makes volumes, gives them up.
    pub(crate) operates: bool,
    /// The agent of which it wants no offers.
    pub(crate) avoids: Option<u8>,
    /// Changes its roles now and then.
    pub(crate) restless: bool,
    pub(crate) failover_timeout: Duration,
    /// How many tasks it wants to have run.
    pub(crate) jobs: usize,
}

/// A whole cluster and its fate.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    /// What each agent has.
    pub(crate) agents: Vec<&'static str>,
    pub(crate) schedulers: Vec<SchedulerShape>,
    /// Whether a new leader is announced, as by ZooKeeper. Otherwise it takes the old one's
    /// address and others find out by themselves.
    pub(crate) announced: bool,
    /// How long a disconnected agent may take to come back.
    pub(crate) reregister_timeout: Duration,
    pub(crate) offer_timeout: Option<Duration>,
    /// How long things go wrong.
    pub(crate) turmoil: Duration,
    /// How long there is between two things that go wrong, at the longest.
    pub(crate) calm: Duration,
    /// How many of a hundred messages are slow.
    pub(crate) slow: u64,
}

impl Shape {
    pub(crate) fn new(dice: &mut Dice) -> Self {
        let sizes = ["cpus:4;mem:1024", "cpus:6;mem:2048;disk:4096", "cpus:8;mem:512;ports:[1-99]"];
        let agents: Vec<_> = (0..1 + dice.index(3)).filter_map(|_| dice.one_of(&sizes)).collect();
        let schedulers =
            (0..1 + dice.index(3)).map(|n| SchedulerShape::new(n, agents.len(), dice)).collect();
        Self {
            agents,
            schedulers,
            announced: dice.percent(50),
            reregister_timeout: Duration::from_secs([60, 200, 600][dice.index(3)]),
            offer_timeout: dice.percent(30).then(|| dice.secs(2, 40)),
            turmoil: dice.secs(20, 400),
            calm: dice.secs(2, 60),
            slow: dice.one_of(&[0, 1, 5, 25]).unwrap_or(0),
        }
    }
}

impl SchedulerShape {
    fn new(number: usize, agents: usize, dice: &mut Dice) -> Self {
        // The first one stays, so that there is always somebody to please.
        let life = match dice.below(10) {
            0..3 if number > 0 => Life::Leaves,
            3..5 if number > 0 => Life::TearsDown,
            _ => Life::Stays,
        };
        let failover_timeout = match life {
            Life::Stays if dice.percent(80) => Duration::from_secs(24 * 3600),
            _ => Duration::from_secs(dice.one_of(&[0, 20, 120, 500]).unwrap_or(0)),
        };
        let operates = dice.percent(40);
        let multi_role = operates || dice.percent(30);
        // One is left to it.
        let avoided = 1 + dice.index(agents);
        let avoids = (agents > 1 && dice.percent(25)).then(|| u8::try_from(avoided).ok()).flatten();
        Self {
            driver: dice.percent(35),
            life,
            partition_aware: dice.percent(60),
            multi_role,
            operates,
            avoids,
            restless: multi_role && dice.percent(40),
            checkpoint: dice.percent(80),
            own_executors: dice.percent(30),
            failover_timeout,
            jobs: 1 + dice.index(8),
        }
    }
}
