//! What a resource is, but for how much of it there is; one value per kind in the whole process.
//!
//! Kinds are compared far more often than they are made: every addition looks for its like. So
//! each kind is kept once, by a table of weak references, and comparing two is comparing
//! addresses. What the table remembers shows in nothing but speed and memory.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};
use std::ops::Deref;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

use super::ValueType;
use super::disk::{Disk, Labels};
use crate::role::Role;

/// How a reservation came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReservationKind {
    /// By a framework or an operator, while the agent runs.
    Dynamic,
    /// By the agent's own configuration.
    Static,
}

/// One layer of a stack of reservations.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reservation {
    /// How it came about.
    pub kind: ReservationKind,
    /// For whom.
    pub role: Role,
    /// Who made it.
    pub principal: Option<String>,
    /// What its maker wrote on it; the wire tells no labels from an empty list. Their order does
    /// not count when kinds are compared.
    pub labels: Option<Labels>,
}

/// What a resource is, but for how much of it there is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Traits {
    /// `cpus`, `mem`, `ports`, …
    pub name: Arc<str>,
    /// Who it is reserved to, outermost first; empty if to nobody. Each role lies beneath the
    /// one before.
    pub reservations: Vec<Reservation>,
    /// The role to which it is offered or allocated, once it is.
    pub allocation: Option<Role>,
    /// Which disk it is, unless it is plain disk space or no disk.
    pub disk: Option<Arc<Disk>>,
    /// Whether it may be taken back at any time.
    pub revocable: bool,
    /// Whether several tasks may use it at once.
    pub shared: bool,
    /// The provider that it comes from, unless from the agent itself.
    pub provider: Option<Arc<str>>,
}

impl Traits {
    /// Of an unreserved, unallocated resource of the agent itself.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            reservations: Vec::new(),
            allocation: None,
            disk: None,
            revocable: false,
            shared: false,
            provider: None,
        }
    }

    /// The same without what comparisons ignore: the order of labels, who created a volume and
    /// where it appears in containers. `None` if there is nothing of that.
    fn compared(&self) -> Option<Self> {
        let unsorted = |labels: &Labels| !labels.is_sorted();
        let labels = self.reservations.iter().any(|r| r.labels.as_ref().is_some_and(unsorted));
        let disk = self.disk.as_ref().and_then(|disk| disk.compared());
        if !labels && disk.is_none() {
            return None;
        }
        let mut same = self.clone();
        for labels in same.reservations.iter_mut().filter_map(|r| r.labels.as_mut()) {
            labels.sort_unstable();
        }
        same.disk = disk.map(Arc::new).or(same.disk);
        Some(same)
    }
}

/// One kind of resource. Two values are equal if the kinds are the same as the original compares
/// them (see [`Traits`]); cloning and comparing is cheap.
#[derive(Clone)]
pub struct Kind(Arc<Interned>);

struct Interned {
    traits: Traits,
    value_type: ValueType,
    hash: u64,
    /// What stands for this kind in comparisons, if not itself.
    compared: Option<Kind>,
    /// The same, allocated to nobody, if this is allocated.
    unallocated: Option<Kind>,
    /// Whether other kinds may compare as the same: those with labels or disks.
    varied: bool,
    whole: bool,
}

impl Kind {
    /// The kind with these traits and this type of value.
    #[must_use]
    pub fn new(mut traits: Traits, value_type: ValueType) -> Self {
        let allocation = traits.allocation.take();
        let base = TABLE.base(traits, value_type);
        match allocation {
            Some(role) => base.allocated_to(&role),
            None => base,
        }
    }

    /// The type of its values.
    #[must_use]
    pub fn value_type(&self) -> ValueType {
        self.0.value_type
    }

    /// Whether it can only be given or taken as a whole: persistent volumes, MOUNT and BLOCK
    /// disks, RAW disks that have an identity.
    #[must_use]
    pub fn is_indivisible(&self) -> bool {
        self.0.whole
    }

    /// The same kind, allocated to `role`.
    #[must_use]
    pub fn allocated_to(&self, role: &Role) -> Self {
        match &self.0.traits.allocation {
            Some(now) if now == role => self.clone(),
            _ => TABLE.allocated(self.unallocated(), role),
        }
    }

    /// The same kind, allocated to nobody.
    #[must_use]
    pub fn unallocated(&self) -> &Self {
        self.0.unallocated.as_ref().unwrap_or(self)
    }

    /// What is equal for kinds that are the same, and for no others.
    pub(super) fn identity(&self) -> usize {
        Arc::as_ptr(&self.0.compared.as_ref().unwrap_or(self).0) as usize
    }

    /// [`PartialEq`] with as little memory read of `other` as possible.
    #[inline]
    pub(super) fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || (self.0.varied && self.identity() == other.identity())
    }
}

impl Deref for Kind {
    type Target = Traits;
    fn deref(&self) -> &Traits {
        &self.0.traits
    }
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.same(other)
    }
}

impl Eq for Kind {}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.traits.fmt(f)
    }
}

/// Hashes that are hashes already.
#[derive(Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {}
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[derive(Default)]
struct Shard {
    kinds: HashMap<u64, Vec<Weak<Interned>>, BuildHasherDefault<AsIs>>,
    /// How many hashes there may be before those are forgotten whose kinds nobody holds.
    limit: usize,
}

const SHARDS: usize = 16;
const SMALLEST_LIMIT: usize = 256;

struct Table {
    /// Keyed at random: kinds come from outside and must not be made to collide.
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
}

static TABLE: LazyLock<Table> =
    LazyLock::new(|| Table { hasher: RandomState::new(), shards: Default::default() });

impl Table {
    fn base(&self, traits: Traits, value_type: ValueType) -> Kind {
        let hash = self.hasher.hash_one((&traits, value_type));
        let fits = |kind: &Interned| kind.value_type == value_type && kind.traits == traits;
        if let Some(kind) = self.shard(hash).find(hash, fits) {
            return kind;
        }
        let compared = traits.compared().map(|same| self.base(same, value_type));
        let made = Interned {
            varied: traits.disk.is_some() || traits.reservations.iter().any(|r| r.labels.is_some()),
            whole: traits.disk.as_ref().is_some_and(|disk| disk.is_indivisible()),
            compared,
            unallocated: None,
            value_type,
            hash,
            traits,
        };
        self.shard(hash).insert(made)
    }

    fn allocated(&self, base: &Kind, role: &Role) -> Kind {
        let hash = base.0.hash.rotate_left(17) ^ self.hasher.hash_one(role.as_str());
        let fits = |kind: &Interned| {
            kind.unallocated.as_ref().is_some_and(|bare| Arc::ptr_eq(&bare.0, &base.0))
                && kind.traits.allocation.as_ref() == Some(role)
        };
        if let Some(kind) = self.shard(hash).find(hash, fits) {
            return kind;
        }
        let compared = base.0.compared.as_ref().map(|same| self.allocated(same, role));
        let mut traits = base.0.traits.clone();
        traits.allocation = Some(role.clone());
        self.shard(hash).insert(Interned {
            traits,
            compared,
            unallocated: Some(base.clone()),
            hash,
            value_type: base.0.value_type,
            varied: base.0.varied,
            whole: base.0.whole,
        })
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        // A shard is whole between any two of its statements, so a panic elsewhere spoils nothing.
        self.shards[hash as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    fn find(&self, hash: u64, fits: impl Fn(&Interned) -> bool) -> Option<Kind> {
        self.kinds.get(&hash)?.iter().filter_map(Weak::upgrade).find(|kind| fits(kind)).map(Kind)
    }

    /// Keeps `made`, unless somebody else made the same since it was looked for.
    fn insert(&mut self, made: Interned) -> Kind {
        let same =
            |kind: &Interned| kind.value_type == made.value_type && kind.traits == made.traits;
        if let Some(kind) = self.find(made.hash, same) {
            return kind;
        }
        if self.kinds.len() >= self.limit {
            self.kinds.retain(|_, kinds| {
                kinds.retain(|kind| kind.strong_count() > 0);
                !kinds.is_empty()
            });
            self.limit = (2 * self.kinds.len()).max(SMALLEST_LIMIT);
        }
        let hash = made.hash;
        let kind = Arc::new(made);
        let kinds = self.kinds.entry(hash).or_default();
        kinds.retain(|kind| kind.strong_count() > 0);
        kinds.push(Arc::downgrade(&kind));
        Kind(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds() -> usize {
        TABLE
            .shards
            .iter()
            .map(|shard| {
                let shard = shard.lock().unwrap();
                shard.kinds.values().map(Vec::len).sum::<usize>()
            })
            .sum()
    }

    #[test]
    fn a_kind_is_one_however_often_it_is_made() {
        let role = Role::new("a").unwrap();
        let make = || {
            let mut traits = Traits::new("cpus");
            traits.allocation = Some(role.clone());
            Kind::new(traits, ValueType::Scalar)
        };
        let (one, other) = (make(), make());
        assert!(Arc::ptr_eq(&one.0, &other.0));
        assert_eq!(one.identity(), other.identity());
        assert_ne!(one, *one.unallocated());
        assert_eq!(one.unallocated().allocated_to(&role), one);
        assert_ne!(one, Kind::new((*one).clone(), ValueType::Ranges));
    }

    #[test]
    fn kinds_that_nobody_holds_are_forgotten() {
        for i in 0..100_000 {
            let mut traits = Traits::new("cpus");
            traits.provider = Some(format!("forgotten {i}").into());
            drop(Kind::new(traits, ValueType::Scalar));
        }
        // At most the limit in each shard, and what other tests hold at this time.
        assert!(kinds() < 50_000, "{}", kinds());
    }
}
