//! A role, and a framework in it.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::id::FrameworkId;
use model::resources::MinAllocatable;
use model::role::Role;
use model::weight::Weight;

use super::order::{Item, Level, Rank};
use super::quota::QuotaState;
use super::{ClientNo, NodeNo};
use crate::amounts::Amounts;

/// Sums over a subtree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holding {
    /// All scalars; a shared resource counts once for each client and agent.
    pub(crate) all: Amounts,
    /// Of those, what is neither reserved nor revocable: what counts against quota.
    pub(crate) unreserved: Amounts,
}

/// A role.
#[derive(Debug)]
pub(crate) struct Node {
    /// `None` for the root.
    pub(crate) role: Option<Role>,
    pub(crate) parent: NodeNo,
    /// The ancestor right beneath the root, perhaps itself: the one that has quota.
    pub(crate) top: NodeNo,
    pub(crate) weight: Weight,
    pub(crate) quota: QuotaState,
    /// Offered to or used by the subtree.
    pub(crate) held: Holding,
    /// Offered to the subtree.
    pub(crate) offered: Holding,
    /// Offered to or used by frameworks in exactly this role.
    pub(crate) own_held: Amounts,
    /// Reserved for the subtree.
    pub(crate) reserved: Amounts,
    /// Offers made to the subtree.
    pub(crate) offers: u64,
    /// Offers made to frameworks in exactly this role.
    pub(crate) own_offers: u64,
    /// How many clients of the subtree want offers.
    pub(crate) active: u32,
    /// How many clients in exactly this role want offers.
    pub(crate) own_active: u32,
    /// Its place among its siblings.
    pub(super) rank: Rank,
    /// The place of its own frameworks among its children.
    pub(super) leaf_rank: Rank,
    pub(super) order: Level,
    pub(super) frameworks: Option<Arc<BTreeSet<FrameworkId>>>,
}

impl Node {
    pub(super) fn new(role: Option<Role>, parent: NodeNo, top: NodeNo) -> Self {
        Self {
            role,
            parent,
            top,
            weight: Weight::ONE,
            quota: QuotaState::default(),
            held: Holding::default(),
            offered: Holding::default(),
            own_held: Amounts::default(),
            reserved: Amounts::default(),
            offers: 0,
            own_offers: 0,
            active: 0,
            own_active: 0,
            rank: Rank::default(),
            leaf_rank: Rank::default(),
            order: Level::default(),
            frameworks: None,
        }
    }

    /// Whether it need not be.
    pub(super) fn is_idle(&self) -> bool {
        self.order.items.is_empty()
            && self.order.clients.is_empty()
            && self.reserved.is_empty()
            && self.quota.quota.is_default()
            && self.weight == Weight::ONE
    }

    pub(super) fn remove_item(&mut self, item: Item) {
        self.order.items.retain(|known| *known != item);
    }

    pub(super) fn remove_client(&mut self, no: ClientNo) {
        self.order.clients.retain(|known| *known != no);
        if self.order.clients.is_empty() {
            self.remove_item(Item::Leaf);
        }
        self.frameworks = None;
    }

    pub(crate) fn clients(&self) -> impl Iterator<Item = ClientNo> {
        self.order.clients.iter().copied()
    }

    pub(crate) fn children(&self) -> impl Iterator<Item = NodeNo> {
        self.order.items.iter().filter_map(|item| match item {
            Item::Child(no) => Some(*no),
            Item::Leaf => None,
        })
    }
}

/// A framework in one role.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) framework: u32,
    pub(crate) id: FrameworkId,
    pub(crate) node: NodeNo,
    /// Whether the framework wants the role; if not it only holds something there.
    pub(crate) subscribed: bool,
    pub(crate) suppressed: bool,
    pub(crate) min_allocatable: Option<MinAllocatable>,
    pub(crate) held: Amounts,
    pub(crate) offered: Amounts,
    pub(crate) offers: u64,
    /// Agents about which it has refusals.
    pub(crate) filtered_on: BTreeSet<u32>,
    /// How many refusals it has, brief ones not counted.
    pub(crate) refusals: usize,
    /// On how many agents it holds something.
    pub(crate) places: u32,
    pub(super) rank: Rank,
}

impl Client {
    pub(super) fn new(framework: u32, id: FrameworkId, node: NodeNo) -> Self {
        Self {
            framework,
            id,
            node,
            subscribed: false,
            suppressed: false,
            min_allocatable: None,
            held: Amounts::default(),
            offered: Amounts::default(),
            offers: 0,
            filtered_on: BTreeSet::new(),
            refusals: 0,
            places: 0,
            rank: Rank::default(),
        }
    }
}
