//! An agent, and what of it is whose.

use std::collections::BTreeMap;

use model::id::{AgentId, FrameworkId};
use model::resources::{Resource, Resources, Scalar, Value};
use model::role::Role;

use crate::amounts::{Amounts, Names};
use crate::bits::Bits;
use crate::facts::AgentFacts;
use crate::filters::Filter;
use crate::maintenance::Maintenance;
use crate::tree::{ClientNo, Holding};

/// Which clients need not be asked about an agent again.
#[derive(Debug, Default)]
pub(crate) struct Blocked {
    /// Holds as long as no more than this is available.
    upper: Resources,
    /// Clients with a refusal that covers all they would see of `upper`.
    pub(crate) clients: Bits,
}

impl Blocked {
    /// Forgets what was found out unless it holds for `available` as well.
    pub(crate) fn renew(&mut self, available: &Resources) {
        if !self.clients.is_empty() && !self.upper.contains(available) {
            self.clients.clear();
        }
        if self.upper != *available {
            self.upper = available.clone();
        }
    }

    /// Notes that a client refused all that it would see of `available`. That tells something
    /// about the future only while nothing has been taken in this visit.
    pub(crate) fn note(&mut self, no: ClientNo, available: &Resources) {
        if self.upper == *available {
            self.clients.insert(no);
        }
    }
}

#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) id: AgentId,
    pub(crate) facts: AgentFacts,
    pub(crate) active: bool,
    pub(crate) whitelisted: bool,
    /// What each framework has been offered or uses, allocated to roles.
    pub(crate) held: BTreeMap<FrameworkId, Resources>,
    /// Of that, what it has been offered.
    pub(crate) offered: BTreeMap<FrameworkId, Resources>,
    /// What can be offered, unallocated: the total without what is held, but all that is shared.
    pub(crate) available: Resources,
    /// Whether more is held than there is, so that what comes back is not all free.
    overdrawn: bool,
    /// What of `available` is scalar, unreserved and here to stay.
    pub(crate) free: Amounts,
    /// Whether `available` has more than `free`.
    pub(crate) other: bool,
    /// What is reserved, by role.
    pub(crate) reserved: BTreeMap<Role, Amounts>,
    /// All scalars of the total.
    pub(crate) scalars: Amounts,
    /// Those that are here to stay.
    pub(crate) lasting: Amounts,
    pub(crate) filters: BTreeMap<ClientNo, Vec<Filter>>,
    pub(crate) blocked: Blocked,
    /// Clients that may not use the agent whatever it has, as far as that was asked.
    pub(crate) barred: Bits,
    /// Clients for which that was asked.
    pub(crate) judged: Bits,
    /// Clients that have had their turn since somebody returned an offer unused; empty if nobody
    /// has since all had theirs.
    pub(crate) had: Bits,
    /// Clients that used something of their last offer.
    pub(crate) touched: Bits,
    /// Shared resources offered in this run.
    pub(crate) lent: Resources,
    pub(crate) maintenance: Maintenance,
}

/// Whether a resource counts against quota and headroom: unreserved, and not to be taken back.
pub(crate) fn is_common(resource: &Resource) -> bool {
    resource.is_unreserved() && !resource.revocable && matches!(resource.value, Value::Scalar(_))
}

impl Agent {
    pub(crate) fn new(id: AgentId, facts: AgentFacts, active: bool, whitelisted: bool) -> Self {
        Self {
            id,
            facts: AgentFacts { total: Resources::new(), ..facts },
            active,
            whitelisted,
            held: BTreeMap::new(),
            offered: BTreeMap::new(),
            available: Resources::new(),
            overdrawn: false,
            free: Amounts::default(),
            other: false,
            reserved: BTreeMap::new(),
            scalars: Amounts::default(),
            lasting: Amounts::default(),
            filters: BTreeMap::new(),
            blocked: Blocked::default(),
            barred: Bits::default(),
            judged: Bits::default(),
            had: Bits::default(),
            touched: Bits::default(),
            lent: Resources::new(),
            maintenance: Maintenance::default(),
        }
    }

    pub(crate) fn is_usable(&self) -> bool {
        self.active && self.whitelisted
    }

    pub(crate) fn has_gpus(&self) -> bool {
        self.facts.total.scalar("gpus") > Scalar::ZERO
    }

    /// Whether anything can be offered.
    pub(crate) fn is_open(&self) -> bool {
        self.is_usable() && !self.available.is_empty()
    }

    /// Computes from the start what can be offered.
    pub(crate) fn recount(&mut self, names: &mut Names) {
        let (shared, mut left) = split_shared(&self.facts.total);
        self.overdrawn = false;
        for held in self.held.values() {
            let (_, held) = split_shared(&held.unallocated());
            match left.checked_minus(&held) {
                Some(rest) => left = rest,
                None => {
                    self.overdrawn = true;
                    left = left.minus(&held);
                }
            }
        }
        left.add_all(&shared);
        self.available = left;
        self.weigh(names);
    }

    fn weigh(&mut self, names: &mut Names) {
        self.free = names.sum(self.available.iter().filter(|resource| is_common(resource)));
        self.other = self.available.iter().any(|resource| !is_common(resource));
    }

    /// What a client has got, according to `held`, is no longer available. `bare` is unallocated.
    pub(crate) fn take(&mut self, bare: &Resources, names: &mut Names) {
        let (_, bare) = split_shared(bare);
        match self.available.checked_minus(&bare) {
            Some(left) if !self.overdrawn => {
                self.available = left;
                self.weigh(names);
            }
            _ => self.recount(names),
        }
    }

    /// What a client had, and according to `held` has no more, is available again. `bare` is
    /// unallocated.
    pub(crate) fn put_back(&mut self, bare: &Resources, names: &mut Names) {
        if self.overdrawn {
            return self.recount(names);
        }
        let (_, bare) = split_shared(bare);
        self.available.add_all(&bare);
        self.weigh(names);
    }

    /// Computes what the total says of reservations and scalars.
    pub(crate) fn survey(&mut self, names: &mut Names) {
        self.scalars = names.sum(self.facts.total.iter());
        self.lasting = names.sum(self.facts.total.iter().filter(|resource| !resource.revocable));
        self.reserved.clear();
        for resource in self.facts.total.iter() {
            if let (Some(role), Value::Scalar(amount)) = (resource.reserved_to(), &resource.value) {
                let name = names.number(&resource.name);
                self.reserved
                    .entry(role.clone())
                    .or_default()
                    .add(name, amount.thousandths().into());
            }
        }
        self.reserved.retain(|_, amounts| !amounts.is_empty());
    }

    /// Forgets all about clients that are no more.
    pub(crate) fn forget_clients(&mut self, gone: &Bits) {
        self.forget_judgement(gone);
        self.had.subtract(gone);
        self.touched.subtract(gone);
    }

    /// Forgets what was found out about these clients.
    pub(crate) fn forget_judgement(&mut self, clients: &Bits) {
        for bits in [&mut self.blocked.clients, &mut self.barred, &mut self.judged] {
            bits.subtract(clients);
        }
    }

    /// The clients about which something is noted.
    pub(crate) fn noted_clients(&self) -> Bits {
        let mut all = self.had.clone();
        for bits in [&self.touched, &self.blocked.clients, &self.barred, &self.judged] {
            all.unite(bits);
        }
        all
    }

    /// The scalars that `what`, allocated to one role, adds to what the framework holds here
    /// already, which is `held`: of shared resources, copies beyond the first count nothing.
    pub(crate) fn weight_of(held: &Resources, what: &Resources, names: &mut Names) -> Holding {
        let counts = |resource: &&Resource| {
            let same =
                |known: &Resource| known.same_kind(resource) && known.value == resource.value;
            !resource.shared || !held.iter().any(same)
        };
        Holding {
            all: names.sum(what.iter().filter(counts)),
            unreserved: names.sum(what.iter().filter(|resource| is_common(resource))),
        }
    }
}

/// What is shared, and what is not.
pub(crate) fn split_shared(resources: &Resources) -> (Resources, Resources) {
    if resources.iter().all(|resource| !resource.shared) {
        return (Resources::new(), resources.clone());
    }
    (resources.filter(|r| r.shared), resources.filter(|r| !r.shared))
}
