//! The random order of roles: each has a chance by its weight among its siblings.

use std::collections::BTreeMap;

use super::order::Item;
use super::{NodeNo, Tree};
use crate::bits::Bits;
use crate::random::Random;

/// So often a role is drawn in vain before all are put in order.
const DRAWS: usize = 16;

/// The chances of roles in the random order.
#[derive(Debug, Default)]
pub(super) struct Lots {
    chances: BTreeMap<NodeNo, f64>,
    /// The chances of this role and those before it together.
    sums: Vec<(f64, NodeNo)>,
}

impl Tree {
    /// The role that comes first by chance among those with a client in `wanted`; `None` if they
    /// are too few to be met by drawing from all.
    pub(super) fn draw_one(
        &self,
        lots: &Lots,
        wanted: &Bits,
        random: &mut Random,
    ) -> Option<NodeNo> {
        let (total, _) = *lots.sums.last()?;
        for _ in 0..DRAWS {
            let at = total * random.unit();
            let place = lots.sums.partition_point(|(sum, _)| *sum < at);
            let Some((_, no)) = lots.sums.get(place).copied() else { continue };
            let node = self.nodes.get(no)?;
            if node.clients().any(|client| wanted.contains(client)) {
                return Some(no);
            }
        }
        None
    }

    /// The roles of `wanted` in an order of chance, the heavier the earlier.
    pub(super) fn draw_all(&self, lots: &Lots, wanted: &Bits, random: &mut Random) -> Vec<NodeNo> {
        let mut roles: Vec<NodeNo> =
            wanted.iter().filter_map(|no| self.clients.get(no)).map(|c| c.node).collect();
        roles.sort_unstable();
        roles.dedup();
        // Whoever's clock rings first; clocks ring the more often the heavier.
        let mut drawn: Vec<(f64, NodeNo)> = roles
            .into_iter()
            .map(|role| {
                let chance = lots.chances.get(&role).copied().unwrap_or(f64::MIN_POSITIVE);
                (-random.unit().ln() / chance, role)
            })
            .collect();
        drawn.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        drawn.into_iter().map(|(_, role)| role).collect()
    }

    /// The chance of each role with clients to come first.
    pub(super) fn draw_lots(&self) -> Lots {
        let mut lots = Lots::default();
        let mut open = vec![(self.root, 1.0)];
        let mut sum = 0.0;
        while let Some((no, chance)) = open.pop() {
            let Some(node) = self.nodes.get(no) else { continue };
            let weight = |item: &Item| match item {
                Item::Leaf if node.own_active > 0 => node.weight.as_f64(),
                Item::Leaf => 0.0,
                Item::Child(child) => self
                    .nodes
                    .get(*child)
                    .filter(|child| child.active > 0)
                    .map_or(0.0, |child| child.weight.as_f64()),
            };
            // Beside the heaviest, so that no sum of weights is too large for a number.
            let heaviest = node.order.items.iter().map(weight).fold(f64::MIN_POSITIVE, f64::max);
            let beside: f64 = node.order.items.iter().map(|item| weight(item) / heaviest).sum();
            for item in &node.order.items {
                let part = chance * (weight(item) / heaviest) / beside;
                // The lightest do not vanish, and nobody's chance is no number.
                let part = part.max(f64::MIN_POSITIVE);
                match item {
                    Item::Leaf => {
                        lots.chances.insert(no, part);
                        sum += part;
                        lots.sums.push((sum, no));
                    }
                    Item::Child(child) => open.push((*child, part)),
                }
            }
        }
        lots
    }
}
