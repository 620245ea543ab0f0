//! The tree of roles, and in it the frameworks that want offers: who has how much, who may have
//! how much, and in which order they are served.

mod lots;
mod node;
mod order;
mod quota;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::id::FrameworkId;
use model::role::Role;
use model::weight::Weight;

use crate::amounts::{Amounts, Name, Names};
use crate::bits::Bits;
use crate::slab::Slab;

pub(crate) use node::{Client, Holding, Node};
pub(crate) use order::Ordering;

/// The number of a node.
pub(crate) type NodeNo = u32;

/// The number of a client: a framework in one role.
pub(crate) type ClientNo = u32;

/// Which book of a client changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Book {
    /// Offered or in use.
    Held,
    /// Offered only.
    Offered,
}

/// Whether amounts are added to a book or taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    In,
    Out,
}

impl Way {
    fn apply(self, sum: &mut Amounts, amounts: &Amounts) {
        match self {
            Self::In => sum.add_all(amounts),
            Self::Out => sum.subtract_all(amounts),
        }
    }
}

/// The roles and their clients.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) nodes: Slab<Node>,
    pub(crate) root: NodeNo,
    pub(crate) by_role: BTreeMap<Role, NodeNo>,
    pub(crate) clients: Slab<Client>,
    /// All scalars of all agents.
    total: Amounts,
    /// By name, one divided by the total; zero if the name does not count.
    inverse: Vec<f64>,
    excluded: BTreeSet<String>,
    /// Changes whenever the order at every level may have changed.
    epoch: u64,
    /// Clients that want offers now.
    active: Bits,
    /// Clients of roles whose guarantee is not met.
    pub(crate) wanting: Bits,
    /// Clients of roles that may have no more of any scalar.
    pub(crate) closed: Bits,
    /// Whether there are other names in `total` than those for which `closed` was computed.
    other_names: bool,
    /// Roles with limits.
    limited: BTreeSet<NodeNo>,
    /// What must be left for roles whose guarantee is not met.
    pub(crate) required: Amounts,
    /// Whether less of something must be left than before.
    pub(crate) relaxed: bool,
    /// Roles that were held back by their limits and may now have more.
    pub(crate) loosened: BTreeSet<NodeNo>,
    /// Nodes that look different from what the last view shows.
    pub(crate) changed: Bits,
    /// Roles that the last view shows and that are no more.
    pub(crate) gone: Vec<Role>,
    /// The chances of roles in the random order, while nothing changes them.
    lots: Option<lots::Lots>,
}

impl Tree {
    pub(crate) fn new(excluded: BTreeSet<String>) -> Self {
        let mut nodes = Slab::default();
        let root = nodes.insert(Node::new(None, 0, 0));
        Self {
            nodes,
            root,
            by_role: BTreeMap::new(),
            clients: Slab::default(),
            total: Amounts::default(),
            inverse: Vec::new(),
            excluded,
            epoch: 1,
            active: Bits::default(),
            wanting: Bits::default(),
            closed: Bits::default(),
            other_names: false,
            limited: BTreeSet::new(),
            required: Amounts::default(),
            relaxed: false,
            loosened: BTreeSet::new(),
            changed: Bits::default(),
            gone: Vec::new(),
            lots: None,
        }
    }

    pub(crate) fn total(&self) -> &Amounts {
        &self.total
    }

    /// All names that are in some book. Those of agents are in the total, and whoever holds
    /// something does so in a role right beneath the root.
    pub(crate) fn names_in_use(&self) -> BTreeSet<Name> {
        let mut all: BTreeSet<_> = self.total.iter().map(|(name, _)| name).collect();
        for (_, node) in self.nodes.iter().filter(|(_, node)| node.parent == self.root) {
            let books = node.held.all.iter().chain(node.quota.guarantees.iter());
            all.extend(books.map(|(name, _)| name));
            all.extend(node.quota.limits.keys());
        }
        all
    }

    pub(crate) fn active(&self) -> &Bits {
        &self.active
    }

    /// Agents came, went or changed: shares are of another whole now.
    pub(crate) fn change_total(&mut self, names: &Names, gone: &Amounts, come: &Amounts) {
        if gone == come {
            return;
        }
        // Only what the agent has or had: others may have names without number.
        let concerned = gone.iter().chain(come.iter());
        let concerned: Vec<_> =
            concerned.map(|(name, _)| (name, self.total.get(name) > 0)).collect();
        self.total.subtract_all(gone);
        self.total.add_all(come);
        self.inverse.resize(names.slots(), 0.0);
        for (name, was_there) in concerned {
            let counts = !self.excluded.contains(names.text(name));
            let amount = self.total.get(name);
            self.inverse[name as usize] = match amount {
                amount if counts && amount > 0 => 1.0 / amount as f64,
                _ => 0.0,
            };
            self.other_names |= was_there != (amount > 0);
        }
        self.epoch += 1;
    }

    /// The node of `role`, made with those above it if need be.
    pub(crate) fn node(&mut self, role: &Role) -> NodeNo {
        if let Some(no) = self.by_role.get(role) {
            return *no;
        }
        let text = role.as_str();
        let parent = match text.rfind('/').and_then(|at| Role::new(&text[..at]).ok()) {
            Some(above) => self.node(&above),
            None => self.root,
        };
        let no = self.nodes.insert(Node::new(Some(role.clone()), parent, 0));
        let top = if parent == self.root {
            no
        } else {
            self.nodes.get(parent).map_or(no, |parent| parent.top)
        };
        if let Some(node) = self.nodes.get_mut(no) {
            node.top = top;
        }
        self.enter_item(parent, order::Item::Child(no));
        self.by_role.insert(role.clone(), no);
        self.changed.insert(no);
        self.lots = None;
        no
    }

    /// Forgets the node and those above it as far as there is nothing to say about them.
    pub(crate) fn prune(&mut self, mut no: NodeNo) {
        while no != self.root {
            let Some(node) = self.nodes.get(no).filter(|node| node.is_idle()) else { return };
            let parent = node.parent;
            if let Some(role) = node.role.clone() {
                self.by_role.remove(&role);
                self.gone.push(role);
            }
            self.changed.remove(no);
            self.limited.remove(&no);
            self.loosened.remove(&no);
            self.nodes.remove(no);
            if let Some(parent) = self.nodes.get_mut(parent) {
                parent.remove_item(order::Item::Child(no));
            }
            self.lots = None;
            no = parent;
        }
    }

    /// Enters a framework into a role.
    pub(crate) fn add_client(&mut self, framework: u32, id: &FrameworkId, role: &Role) -> ClientNo {
        let node = self.node(role);
        let client = Client::new(framework, id.clone(), node);
        let no = self.clients.insert(client);
        self.active.remove(no);
        self.enter_client(node, no);
        let top = self.top_of(node);
        let (wanting, closed) = self.nodes.get(top).map_or((false, false), |top| {
            let quota = &top.quota;
            (!quota.missing.is_empty(), quota.closed)
        });
        self.wanting.set(no, wanting);
        self.closed.set(no, closed);
        self.note(node);
        no
    }

    /// Takes a client that holds nothing out.
    pub(crate) fn remove_client(&mut self, no: ClientNo) {
        self.set_active(no, false);
        let Some(client) = self.clients.retire(no) else { return };
        self.wanting.remove(no);
        self.closed.remove(no);
        self.note(client.node);
        if let Some(node) = self.nodes.get_mut(client.node) {
            node.remove_client(no);
        }
        self.prune(client.node);
    }

    /// Says whether the client wants offers; returns whether that is new.
    pub(crate) fn set_active(&mut self, no: ClientNo, active: bool) -> bool {
        if self.active.contains(no) == active {
            return false;
        }
        let Some(client) = self.clients.get(no) else { return false };
        self.active.set(no, active);
        let mut at = client.node;
        if let Some(node) = self.nodes.get_mut(at) {
            node.own_active = if active { node.own_active + 1 } else { node.own_active - 1 };
        }
        while let Some(node) = self.nodes.get_mut(at) {
            node.active = if active { node.active + 1 } else { node.active - 1 };
            if at == self.root {
                break;
            }
            at = node.parent;
        }
        self.lots = None;
        true
    }

    pub(crate) fn top_of(&self, node: NodeNo) -> NodeNo {
        self.nodes.get(node).map_or(node, |node| node.top)
    }

    /// Books something of a client, up to the root.
    pub(crate) fn book(&mut self, no: ClientNo, book: Book, way: Way, what: &Holding) {
        let Some(client) = self.clients.get_mut(no) else { return };
        let node_no = client.node;
        match book {
            Book::Offered => way.apply(&mut client.offered, &what.all),
            Book::Held => {
                way.apply(&mut client.held, &what.all);
                self.rank_client(no);
                if let Some(node) = self.nodes.get_mut(node_no) {
                    way.apply(&mut node.own_held, &what.all);
                }
                self.rank_leaf(node_no);
            }
        }
        let mut at = node_no;
        while at != self.root {
            let Some(node) = self.nodes.get_mut(at) else { break };
            let sum = match book {
                Book::Held => &mut node.held,
                Book::Offered => &mut node.offered,
            };
            way.apply(&mut sum.all, &what.all);
            way.apply(&mut sum.unreserved, &what.unreserved);
            let above = node.parent;
            if book == Book::Held {
                self.rank_child(at);
            }
            at = above;
        }
        self.note(node_no);
        if book == Book::Held {
            self.count_against_quota(self.top_of(node_no), way);
        }
    }

    /// Counts an offer made to a client.
    pub(crate) fn count_offer(&mut self, no: ClientNo) {
        let Some(client) = self.clients.get_mut(no) else { return };
        let node_no = client.node;
        client.offers += 1;
        self.rank_client(no);
        if let Some(node) = self.nodes.get_mut(node_no) {
            node.own_offers += 1;
        }
        self.rank_leaf(node_no);
        let mut at = node_no;
        while at != self.root {
            let Some(node) = self.nodes.get_mut(at) else { break };
            node.offers += 1;
            let above = node.parent;
            self.rank_child(at);
            at = above;
        }
    }

    /// Changes what agents have reserved for `role`.
    pub(crate) fn reserve(&mut self, role: &Role, way: Way, amounts: &Amounts) {
        if amounts.is_empty() {
            return;
        }
        let no = self.node(role);
        let mut at = no;
        while at != self.root {
            let Some(node) = self.nodes.get_mut(at) else { break };
            way.apply(&mut node.reserved, amounts);
            at = node.parent;
        }
        self.note(no);
        self.count_against_quota(self.top_of(no), way);
        if way == Way::Out {
            self.prune(no);
        }
    }

    pub(crate) fn set_weight(&mut self, role: &Role, weight: Weight) {
        let no = self.node(role);
        if let Some(node) = self.nodes.get_mut(no) {
            node.weight = weight;
        }
        self.epoch += 1;
        self.lots = None;
        self.changed.insert(no);
        self.prune(no);
    }

    /// The node and those above it look different.
    fn note(&mut self, mut no: NodeNo) {
        while no != self.root {
            let Some(node) = self.nodes.get(no) else { return };
            self.changed.insert(no);
            no = node.parent;
        }
    }

    /// All clients in the role and beneath it.
    pub(crate) fn clients_beneath(&self, no: NodeNo) -> Vec<ClientNo> {
        let mut all = Vec::new();
        let mut open = vec![no];
        while let Some(no) = open.pop() {
            let Some(node) = self.nodes.get(no) else { continue };
            all.extend(node.clients());
            open.extend(node.children());
        }
        all
    }

    /// Those who want offers in the role or hold something in it.
    pub(crate) fn frameworks_in(&mut self, no: NodeNo) -> Arc<BTreeSet<FrameworkId>> {
        let Some(node) = self.nodes.get_mut(no) else { return Arc::default() };
        let clients = &self.clients;
        Arc::clone(node.frameworks.get_or_insert_with(|| {
            let ids = node.order.clients.iter().filter_map(|no| clients.get(*no));
            Arc::new(ids.map(|client| client.id.clone()).collect())
        }))
    }
}
