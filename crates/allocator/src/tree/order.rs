//! In which order clients are served.
//!
//! Each level of the tree keeps its order and mends it when one of its members changes; only when
//! the whole changes (agents come or go) is a level sorted anew, and then when it is next needed.

use std::cmp::Ordering as Order;

use super::{ClientNo, NodeNo, Tree};
use crate::amounts::Amounts;
use crate::bits::Bits;
use crate::random::Random;

/// A member of a level: a role beneath, or the frameworks of the role itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item {
    Child(NodeNo),
    Leaf,
}

/// What comes first: the smaller share, then the fewer offers, then the name.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rank {
    share: f64,
    offers: u64,
}

impl Rank {
    fn order(&self, other: &Self) -> Order {
        self.share.total_cmp(&other.share).then(self.offers.cmp(&other.offers))
    }
}

/// The members of one role, in the order of shares as of the epochs noted.
#[derive(Debug, Default)]
pub(super) struct Level {
    pub(super) items: Vec<Item>,
    pub(super) items_at: u64,
    pub(super) clients: Vec<ClientNo>,
    pub(super) clients_at: u64,
}

/// How the next clients are chosen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ordering {
    pub(crate) roles: crate::Sorter,
    pub(crate) frameworks: crate::Sorter,
}

impl Tree {
    /// The largest part of anything in the cluster that `amounts` are.
    pub(crate) fn dominant(&self, amounts: &Amounts) -> f64 {
        let part = |(name, amount): (u32, u128)| {
            amount as f64 * self.inverse.get(name as usize).copied().unwrap_or(0.0)
        };
        amounts.iter().map(part).fold(0.0, f64::max)
    }

    fn rank_of_item(&self, node: NodeNo, item: Item) -> Rank {
        let weigh = |amounts: &Amounts, offers, weight: model::weight::Weight| Rank {
            share: self.dominant(amounts) / weight.as_f64(),
            offers,
        };
        match item {
            Item::Leaf => self.nodes.get(node).map_or_else(Rank::default, |node| {
                weigh(&node.own_held, node.own_offers, node.weight)
            }),
            Item::Child(no) => self.nodes.get(no).map_or_else(Rank::default, |child| {
                weigh(&child.held.all, child.offers, child.weight)
            }),
        }
    }

    /// The rank by which the item stands where it stands, and its path.
    fn key(&self, node: NodeNo, item: Item) -> (Rank, &str) {
        let no = match item {
            Item::Leaf => node,
            Item::Child(no) => no,
        };
        let Some(node) = self.nodes.get(no) else { return (Rank::default(), "") };
        let rank = if item == Item::Leaf { node.leaf_rank } else { node.rank };
        (rank, node.role.as_ref().map_or("", |role| role.as_str()))
    }

    fn compare_items(&self, node: NodeNo, a: Item, b: Item) -> Order {
        let ((a, a_path), (b, b_path)) = (self.key(node, a), self.key(node, b));
        a.order(&b).then_with(|| a_path.cmp(b_path))
    }

    fn compare_clients(&self, a: ClientNo, b: ClientNo) -> Order {
        match (self.clients.get(a), self.clients.get(b)) {
            (Some(a), Some(b)) => a.rank.order(&b.rank).then_with(|| a.id.cmp(&b.id)),
            (a, b) => a.is_some().cmp(&b.is_some()),
        }
    }

    pub(super) fn rank_client(&mut self, no: ClientNo) {
        let Some(client) = self.clients.get(no) else { return };
        let rank = Rank { share: self.dominant(&client.held), offers: client.offers };
        let node = client.node;
        if rank == client.rank {
            return;
        }
        let Some(level) = self.nodes.get_mut(node).map(|node| &mut node.order) else { return };
        if level.clients_at != self.epoch || level.clients.len() == 1 {
            if let Some(client) = self.clients.get_mut(no) {
                client.rank = rank;
            }
            return;
        }
        let mut clients = std::mem::take(&mut level.clients);
        let found = clients.binary_search_by(|other| self.compare_clients(*other, no));
        if let Some(client) = self.clients.get_mut(no) {
            client.rank = rank;
        }
        let kept = found.is_ok();
        if let Ok(at) = found {
            clients.remove(at);
            let at =
                clients.partition_point(|other| self.compare_clients(*other, no) == Order::Less);
            clients.insert(at, no);
        }
        if let Some(level) = self.nodes.get_mut(node).map(|node| &mut node.order) {
            level.clients = clients;
            level.clients_at = if kept { level.clients_at } else { 0 };
        }
    }

    pub(super) fn rank_leaf(&mut self, no: NodeNo) {
        self.rank_item(no, Item::Leaf);
    }

    pub(super) fn rank_child(&mut self, no: NodeNo) {
        if let Some(node) = self.nodes.get(no) {
            self.rank_item(node.parent, Item::Child(no));
        }
    }

    fn set_rank(&mut self, node: NodeNo, item: Item, rank: Rank) {
        match item {
            Item::Leaf => {
                if let Some(node) = self.nodes.get_mut(node) {
                    node.leaf_rank = rank;
                }
            }
            Item::Child(no) => {
                if let Some(node) = self.nodes.get_mut(no) {
                    node.rank = rank;
                }
            }
        }
    }

    fn rank_item(&mut self, node_no: NodeNo, item: Item) {
        let rank = self.rank_of_item(node_no, item);
        if self.key(node_no, item).0 == rank {
            return;
        }
        let Some(node) = self.nodes.get_mut(node_no) else { return };
        let level = &mut node.order;
        if level.items_at != self.epoch || level.items.len() == 1 {
            self.set_rank(node_no, item, rank);
            return;
        }
        let mut items = std::mem::take(&mut level.items);
        let found = items.binary_search_by(|other| self.compare_items(node_no, *other, item));
        self.set_rank(node_no, item, rank);
        let kept = found.is_ok();
        if let Ok(at) = found {
            items.remove(at);
            let less = |other: &Item| self.compare_items(node_no, *other, item) == Order::Less;
            let at = items.partition_point(less);
            items.insert(at, item);
        }
        if let Some(node) = self.nodes.get_mut(node_no) {
            node.order.items = items;
            node.order.items_at = if kept { node.order.items_at } else { 0 };
        }
    }

    /// Enters a member of a level at its place.
    pub(super) fn enter_item(&mut self, no: NodeNo, item: Item) {
        let rank = self.rank_of_item(no, item);
        self.set_rank(no, item, rank);
        let Some(node) = self.nodes.get_mut(no) else { return };
        let mut items = std::mem::take(&mut node.order.items);
        // Where the order is not current any place will do.
        let at = items.partition_point(|other| self.compare_items(no, *other, item) == Order::Less);
        items.insert(at, item);
        if let Some(node) = self.nodes.get_mut(no) {
            node.order.items = items;
        }
    }

    /// Enters a client into its role at its place.
    pub(super) fn enter_client(&mut self, node_no: NodeNo, no: ClientNo) {
        let Some(node) = self.nodes.get_mut(node_no) else { return };
        node.frameworks = None;
        let mut clients = std::mem::take(&mut node.order.clients);
        let first = clients.is_empty();
        let at = clients.partition_point(|other| self.compare_clients(*other, no) == Order::Less);
        clients.insert(at, no);
        if let Some(node) = self.nodes.get_mut(node_no) {
            node.order.clients = clients;
        }
        if first {
            self.enter_item(node_no, Item::Leaf);
        }
    }

    fn sort_items(&mut self, no: NodeNo) {
        let Some(node) = self.nodes.get_mut(no) else { return };
        if node.order.items_at == self.epoch {
            return;
        }
        let mut items = std::mem::take(&mut node.order.items);
        for item in &items {
            let rank = self.rank_of_item(no, *item);
            self.set_rank(no, *item, rank);
        }
        items.sort_by(|a, b| self.compare_items(no, *a, *b));
        if let Some(node) = self.nodes.get_mut(no) {
            node.order.items = items;
            node.order.items_at = self.epoch;
        }
    }

    fn sort_clients(&mut self, no: NodeNo) {
        let Some(node) = self.nodes.get_mut(no) else { return };
        if node.order.clients_at == self.epoch {
            return;
        }
        let mut clients = std::mem::take(&mut node.order.clients);
        for no in &clients {
            let Some(client) = self.clients.get(*no) else { continue };
            let rank = Rank { share: self.dominant(&client.held), offers: client.offers };
            if let Some(client) = self.clients.get_mut(*no) {
                client.rank = rank;
            }
        }
        clients.sort_by(|a, b| self.compare_clients(*a, *b));
        if let Some(node) = self.nodes.get_mut(no) {
            node.order.clients = clients;
            node.order.clients_at = self.epoch;
        }
    }

    /// The first of `wanted` to be served, at most `most` of them, in their order.
    pub(crate) fn next(
        &mut self,
        wanted: &Bits,
        most: usize,
        ordering: Ordering,
        random: &mut Random,
        found: &mut Vec<ClientNo>,
    ) {
        found.clear();
        match ordering.roles {
            crate::Sorter::Drf => {
                self.walk(self.root, wanted, most, ordering.frameworks, random, found);
            }
            crate::Sorter::Random => {
                let lots = self.lots.take().unwrap_or_else(|| self.draw_lots());
                match self.draw_one(&lots, wanted, random) {
                    Some(node) => {
                        self.take_clients(node, wanted, most, ordering.frameworks, random, found);
                    }
                    None => {
                        for node in self.draw_all(&lots, wanted, random) {
                            if found.len() >= most {
                                break;
                            }
                            let frameworks = ordering.frameworks;
                            self.take_clients(node, wanted, most, frameworks, random, found);
                        }
                    }
                }
                self.lots = Some(lots);
            }
        }
    }

    fn walk(
        &mut self,
        no: NodeNo,
        wanted: &Bits,
        most: usize,
        frameworks: crate::Sorter,
        random: &mut Random,
        found: &mut Vec<ClientNo>,
    ) {
        self.sort_items(no);
        let mut at = 0;
        while found.len() < most {
            let Some(item) = self.nodes.get(no).and_then(|node| node.order.items.get(at)).copied()
            else {
                return;
            };
            at += 1;
            match item {
                Item::Leaf => self.take_clients(no, wanted, most, frameworks, random, found),
                Item::Child(child) => {
                    let Some(node) = self.nodes.get(child) else { continue };
                    if node.active == 0 {
                        continue;
                    }
                    // By far the most roles have one framework and nothing beneath them.
                    if let ([Item::Leaf], [client]) =
                        (node.order.items.as_slice(), node.order.clients.as_slice())
                    {
                        if wanted.contains(*client) {
                            found.push(*client);
                        }
                    } else {
                        self.walk(child, wanted, most, frameworks, random, found);
                    }
                }
            }
        }
    }

    fn take_clients(
        &mut self,
        no: NodeNo,
        wanted: &Bits,
        most: usize,
        frameworks: crate::Sorter,
        random: &mut Random,
        found: &mut Vec<ClientNo>,
    ) {
        match frameworks {
            crate::Sorter::Drf => {
                self.sort_clients(no);
                let Some(node) = self.nodes.get(no) else { return };
                let room = most - found.len();
                let clients = node.order.clients.iter().copied();
                found.extend(clients.filter(|client| wanted.contains(*client)).take(room));
            }
            crate::Sorter::Random => {
                let Some(node) = self.nodes.get(no) else { return };
                // Independent of how shares would order them.
                let mut clients: Vec<_> =
                    node.clients().filter(|client| wanted.contains(*client)).collect();
                clients.sort_unstable();
                random.shuffle(&mut clients);
                clients.truncate(most - found.len());
                found.extend(clients);
            }
        }
    }
}

impl Tree {
    /// Says what is wrong if a level that counts as sorted is not.
    pub(crate) fn check_order(&self) -> Result<(), String> {
        for (no, node) in self.nodes.iter() {
            let level = &node.order;
            if level.items_at == self.epoch {
                let current = |item: &Item| self.rank_of_item(no, *item) == self.key(no, *item).0;
                let sorted = level
                    .items
                    .is_sorted_by(|a, b| self.compare_items(no, *a, *b) != Order::Greater);
                if !sorted || !level.items.iter().all(current) {
                    return Err(format!("the order beneath {:?} is not current", node.role));
                }
            }
            if level.clients_at == self.epoch {
                let sorted = level
                    .clients
                    .is_sorted_by(|a, b| self.compare_clients(*a, *b) != Order::Greater);
                if !sorted {
                    return Err(format!("the order in {:?} is not current", node.role));
                }
            }
        }
        Ok(())
    }
}
