//! Who has how much of the cluster, and who is next.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use model::id::FrameworkId;
use model::resources::{Quantities, Resources};
use model::role::Role;

#[derive(Debug, Default)]
struct Account {
    amounts: Quantities,
    /// How often something was offered. Breaks ties, so that equals take turns.
    allocations: u64,
}

/// The books: what each role, and each framework in a role, has been offered or uses.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    total: Quantities,
    roles: BTreeMap<Role, Account>,
    frameworks: BTreeMap<(Role, FrameworkId), Account>,
}

impl Shares {
    pub(crate) fn grow(&mut self, total: &Resources) {
        self.total.add_all(&total.scalar_quantities());
    }

    pub(crate) fn shrink(&mut self, total: &Resources) {
        self.total.subtract_all(&total.scalar_quantities());
    }

    pub(crate) fn take(&mut self, framework_id: &FrameworkId, resources: &Resources) {
        for (role, amounts) in by_role(resources) {
            self.roles.entry(role.clone()).or_default().amounts.add_all(&amounts);
            let key = (role, framework_id.clone());
            self.frameworks.entry(key).or_default().amounts.add_all(&amounts);
        }
    }

    pub(crate) fn give_back(&mut self, framework_id: &FrameworkId, resources: &Resources) {
        for (role, amounts) in by_role(resources) {
            if let Some(account) = self.roles.get_mut(&role) {
                account.amounts.subtract_all(&amounts);
            }
            if let Some(account) = self.frameworks.get_mut(&(role, framework_id.clone())) {
                account.amounts.subtract_all(&amounts);
            }
        }
    }

    pub(crate) fn count_allocation(&mut self, role: &Role, framework_id: &FrameworkId) {
        self.roles.entry(role.clone()).or_default().allocations += 1;
        let key = (role.clone(), framework_id.clone());
        self.frameworks.entry(key).or_default().allocations += 1;
    }

    /// Closes the accounts of a framework that left, and those of roles that nobody has any more.
    pub(crate) fn forget_framework(&mut self, id: &FrameworkId) {
        self.frameworks.retain(|(_, framework_id), _| framework_id != id);
        let kept = &self.frameworks;
        self.roles.retain(|role, account| {
            !account.amounts.is_empty() || kept.keys().any(|(r, _)| r == role)
        });
    }

    /// The neediest first: by the role's share, then by the framework's within the role; among
    /// equals whoever was served less often, then by name.
    pub(crate) fn sorted(&self, mut takers: Vec<(Role, FrameworkId)>) -> Vec<(Role, FrameworkId)> {
        takers.sort_by_cached_key(|taker| {
            (
                self.rank(self.roles.get(&taker.0)),
                taker.0.clone(),
                self.rank(self.frameworks.get(taker)),
                taker.1.clone(),
            )
        });
        takers
    }

    fn rank(&self, account: Option<&Account>) -> Rank {
        account.map_or(Rank { share: 0.0, allocations: 0 }, |account| Rank {
            share: self.dominant(&account.amounts),
            allocations: account.allocations,
        })
    }

    /// The largest part that `amounts` are of anything the cluster has.
    fn dominant(&self, amounts: &Quantities) -> f64 {
        amounts
            .iter()
            .map(|(name, amount)| {
                let total = self.total.get(name);
                if total.is_zero() { 0.0 } else { amount.as_f64() / total.as_f64() }
            })
            .fold(0.0, f64::max)
    }

    pub(crate) fn roles(&self) -> impl Iterator<Item = (&Role, f64)> {
        self.roles.iter().map(|(role, account)| (role, self.dominant(&account.amounts)))
    }

    pub(crate) fn check_same_amounts(&self, other: &Self) -> Result<(), String> {
        fn amounts<K: Ord + Clone>(accounts: &BTreeMap<K, Account>) -> BTreeMap<K, &Quantities> {
            let filled = accounts.iter().filter(|(_, account)| !account.amounts.is_empty());
            filled.map(|(key, account)| (key.clone(), &account.amounts)).collect()
        }
        if self.total != other.total {
            return Err(format!("total {:?}, not {:?}", self.total, other.total));
        }
        if amounts(&self.roles) != amounts(&other.roles) {
            return Err("the accounts of roles do not add up".to_owned());
        }
        if amounts(&self.frameworks) != amounts(&other.frameworks) {
            return Err("the accounts of frameworks do not add up".to_owned());
        }
        Ok(())
    }
}

#[derive(Debug, PartialEq)]
struct Rank {
    share: f64,
    allocations: u64,
}

impl Eq for Rank {}

impl PartialOrd for Rank {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Rank {
    fn cmp(&self, other: &Self) -> Ordering {
        self.share.total_cmp(&other.share).then(self.allocations.cmp(&other.allocations))
    }
}

fn by_role(resources: &Resources) -> BTreeMap<Role, Quantities> {
    let mut amounts: BTreeMap<Role, Quantities> = BTreeMap::new();
    for resource in resources.iter() {
        let (Some(role), model::resources::Value::Scalar(scalar)) =
            (&resource.allocation, &resource.value)
        else {
            continue;
        };
        amounts.entry(role.clone()).or_default().add(&resource.name, *scalar);
    }
    amounts
}
