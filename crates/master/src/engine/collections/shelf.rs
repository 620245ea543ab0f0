//! An ordered map for many entities, of which readers make long texts.
//!
//! A B+ tree with shared nodes: a clone costs a pointer, a change copies the path to one leaf.
//! Each node has [`Cells`], empty after a change beneath it: what readers make of a leaf, or sum
//! up over a whole tree, costs them what has changed since. A leaf also has what was made of it
//! [`Earlier`], most of which is still right.

use std::borrow::Borrow;
use std::fmt;
use std::slice;
use std::sync::Arc;

use super::cells::{Cells, Earlier};

/// The most entries of a leaf and the most children of an inner node.
const MAX: usize = 32;

/// Neighbours are joined when a node has fewer than this.
const MIN: usize = MAX / 4;

/// The map.
#[derive(Clone)]
pub struct Shelf<K, V> {
    root: Option<Arc<Node<K, V>>>,
    size: usize,
}

#[derive(Debug)]
struct Node<K, V> {
    kind: Kind<K, V>,
    cells: Cells,
    earlier: Earlier,
}

#[derive(Clone, Debug)]
enum Kind<K, V> {
    Leaf(Vec<(K, V)>),
    /// Children, each with a key that is not above any in it; that of the first counts as lowest.
    Inner(Vec<Child<K, V>>),
}

/// A node, and a key that is not above any in it.
type Child<K, V> = (K, Arc<Node<K, V>>);

/// A run of entries, and what readers have made of it.
#[derive(Clone, Copy, Debug)]
pub struct Leaf<'s, K, V> {
    /// The entries in order; at least one.
    pub entries: &'s [(K, V)],
    /// Belongs to these entries.
    pub cells: &'s Cells,
    /// Belongs to entries of which most are still the same.
    pub earlier: &'s Earlier,
}

impl<K, V> Default for Shelf<K, V> {
    fn default() -> Self {
        Self { root: None, size: 0 }
    }
}

/// A copy is made to be changed.
impl<K: Clone, V: Clone> Clone for Node<K, V> {
    fn clone(&self) -> Self {
        let mut copy = Self::new(self.kind.clone());
        if matches!(self.kind, Kind::Leaf(_)) {
            copy.earlier = self.earlier.clone();
            copy.earlier.keep(&self.cells);
        }
        copy
    }
}

impl<K, V> Node<K, V> {
    fn new(kind: Kind<K, V>) -> Self {
        Self { kind, cells: Cells::default(), earlier: Earlier::default() }
    }

    /// Before it changes: what was made of a leaf is kept.
    fn forget(&mut self) {
        if matches!(self.kind, Kind::Leaf(_)) {
            self.earlier.keep(&self.cells);
        }
        self.cells.clear();
    }

    fn len(&self) -> usize {
        match &self.kind {
            Kind::Leaf(entries) => entries.len(),
            Kind::Inner(children) => children.len(),
        }
    }
}

fn child_at<K: Borrow<Q>, V, Q: Ord + ?Sized>(children: &[(K, Arc<Node<K, V>>)], key: &Q) -> usize {
    children.partition_point(|(lowest, _)| lowest.borrow() <= key).saturating_sub(1)
}

/// The node, to be changed.
fn changed<K: Clone, V: Clone>(node: &mut Arc<Node<K, V>>) -> &mut Kind<K, V> {
    let node = Arc::make_mut(node);
    node.forget();
    &mut node.kind
}

/// Takes the upper part of what has become too much. What grows at its end, as histories do,
/// leaves full nodes behind.
fn split<T>(items: &mut Vec<T>, at_end: bool) -> Option<Vec<T>> {
    let half = if at_end { MAX } else { MAX / 2 };
    (items.len() > MAX).then(|| items.split_off(half))
}

impl<K: Ord + Clone, V: Clone> Shelf<K, V> {
    /// Enters `value` under `key` and returns what stood there.
    pub fn insert_mut(&mut self, key: K, value: V) -> Option<V> {
        let Some(root) = &mut self.root else {
            self.root = Some(Arc::new(Node::new(Kind::Leaf(vec![(key, value)]))));
            self.size = 1;
            return None;
        };
        let (old, sibling) = insert(root, key, value);
        if let Some((lowest, right)) = sibling {
            let left = Arc::clone(root);
            let children = vec![(lowest.clone(), left), (lowest, right)];
            *root = Arc::new(Node::new(Kind::Inner(children)));
        }
        self.size += usize::from(old.is_none());
        old
    }

    /// Strikes out `key` and returns what stood there.
    pub fn remove_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        // A look first: what is not there changes nothing.
        self.get(key)?;
        let root = self.root.as_mut()?;
        let old = remove(root, key);
        self.size -= usize::from(old.is_some());
        loop {
            let only = match &root.kind {
                Kind::Inner(children) if children.len() == 1 => {
                    children.first().map(|(_, child)| Arc::clone(child))
                }
                _ => None,
            };
            let Some(only) = only else { break };
            *root = only;
        }
        if root.len() == 0 {
            self.root = None;
        }
        old
    }

    /// What stands under `key`, to be changed.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.get(key)?;
        let mut node = self.root.as_mut()?;
        loop {
            match changed(node) {
                Kind::Leaf(entries) => {
                    let at = entries.binary_search_by(|(k, _)| k.borrow().cmp(key)).ok()?;
                    return entries.get_mut(at).map(|(_, value)| value);
                }
                Kind::Inner(children) => {
                    let at = child_at(children, key);
                    node = &mut children.get_mut(at)?.1;
                }
            }
        }
    }
}

type Sibling<K, V> = Option<Child<K, V>>;

fn insert<K: Ord + Clone, V: Clone>(
    node: &mut Arc<Node<K, V>>,
    key: K,
    value: V,
) -> (Option<V>, Sibling<K, V>) {
    match changed(node) {
        Kind::Leaf(entries) => match entries.binary_search_by(|(k, _)| k.cmp(&key)) {
            Ok(at) => (Some(std::mem::replace(&mut entries[at].1, value)), None),
            Err(at) => {
                entries.insert(at, (key, value));
                let right = split(entries, at + 1 == entries.len());
                let sibling = right.and_then(|right| {
                    let lowest = right.first()?.0.clone();
                    Some((lowest, Arc::new(Node::new(Kind::Leaf(right)))))
                });
                (None, sibling)
            }
        },
        Kind::Inner(children) => {
            let at = child_at(children, &key);
            let (old, sibling) = insert(&mut children[at].1, key, value);
            let Some(sibling) = sibling else { return (old, None) };
            children.insert(at + 1, sibling);
            let right = split(children, at + 2 == children.len());
            let sibling = right.and_then(|right| {
                let lowest = right.first()?.0.clone();
                Some((lowest, Arc::new(Node::new(Kind::Inner(right)))))
            });
            (old, sibling)
        }
    }
}

fn remove<K: Ord + Clone + Borrow<Q>, V: Clone, Q: Ord + ?Sized>(
    node: &mut Arc<Node<K, V>>,
    key: &Q,
) -> Option<V> {
    match changed(node) {
        Kind::Leaf(entries) => {
            let at = entries.binary_search_by(|(k, _)| k.borrow().cmp(key)).ok()?;
            Some(entries.remove(at).1)
        }
        Kind::Inner(children) => {
            let at = child_at(children, key);
            let child = &mut children.get_mut(at)?.1;
            let old = remove(child, key);
            match child.len() {
                0 => {
                    children.remove(at);
                }
                few if few < MIN => join(children, at),
                _ => {}
            }
            old
        }
    }
}

/// Joins the child with a neighbour, if both together are not much.
fn join<K: Clone, V: Clone>(children: &mut Vec<Child<K, V>>, at: usize) {
    let left = if at + 1 < children.len() { at } else { at.saturating_sub(1) };
    let both = children.get(left..left + 2).map(|pair| pair[0].1.len() + pair[1].1.len());
    if both.is_none_or(|both| both > MAX - MIN) {
        return;
    }
    let (lowest, right) = children.remove(left + 1);
    match (changed(&mut children[left].1), Arc::unwrap_or_clone(right).kind) {
        (Kind::Leaf(entries), Kind::Leaf(more)) => entries.extend(more),
        (Kind::Inner(children), Kind::Inner(mut more)) => {
            // As the first of its node it needed no key that is not above its own.
            if let Some(first) = more.first_mut() {
                first.0 = lowest;
            }
            children.extend(more);
        }
        // All leaves are equally deep.
        _ => debug_assert!(false, "neighbours are of one kind"),
    }
}

impl<K, V> Shelf<K, V> {
    /// How many entries there are.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// Whether both are one and the same: what one shows, the other does.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (&self.root, &other.root) {
            (Some(own), Some(other)) => Arc::ptr_eq(own, other),
            (own, other) => own.is_none() && other.is_none(),
        }
    }

    /// What stands under `key`.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let mut node = self.root.as_ref()?;
        loop {
            match &node.kind {
                Kind::Leaf(entries) => {
                    let at = entries.binary_search_by(|(k, _)| k.borrow().cmp(key)).ok()?;
                    return entries.get(at).map(|(_, value)| value);
                }
                Kind::Inner(children) => node = &children.get(child_at(children, key))?.1,
            }
        }
    }

    /// Whether there is such an entry.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }

    /// All runs of entries, in order.
    pub fn leaves(&self) -> Leaves<'_, K, V> {
        let mut leaves = Leaves { next: None, above: Vec::new() };
        if let Some(root) = &self.root {
            leaves.descend(root);
        }
        leaves
    }

    /// All entries, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.leaves().flat_map(|leaf| leaf.entries.iter().map(|(key, value)| (key, value)))
    }

    /// All keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    /// All values, in the order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// The lowest key and its value.
    #[must_use]
    pub fn first(&self) -> Option<(&K, &V)> {
        self.iter().next()
    }

    /// The sum over all entries, kept in `slot` of every node.
    pub fn sum<S: Default + Send + Sync + 'static>(
        &self,
        slot: usize,
        of_entry: &impl Fn(&mut S, &V),
        add: &impl Fn(&mut S, &S),
    ) -> Arc<S> {
        self.root.as_ref().map_or_else(Arc::default, |root| sum(root, slot, of_entry, add))
    }
}

fn sum<K, V, S: Default + Send + Sync + 'static>(
    node: &Node<K, V>,
    slot: usize,
    of_entry: &impl Fn(&mut S, &V),
    add: &impl Fn(&mut S, &S),
) -> Arc<S> {
    node.cells.get_or(slot, || {
        let mut all = S::default();
        match &node.kind {
            Kind::Leaf(entries) => {
                for (_, value) in entries {
                    of_entry(&mut all, value);
                }
            }
            Kind::Inner(children) => {
                for (_, child) in children {
                    add(&mut all, &sum(child, slot, of_entry, add));
                }
            }
        }
        all
    })
}

/// See [`Shelf::leaves`].
#[derive(Debug)]
pub struct Leaves<'s, K, V> {
    next: Option<Leaf<'s, K, V>>,
    above: Vec<slice::Iter<'s, Child<K, V>>>,
}

impl<'s, K, V> Leaves<'s, K, V> {
    fn descend(&mut self, mut node: &'s Node<K, V>) {
        loop {
            match &node.kind {
                Kind::Leaf(entries) => {
                    let (cells, earlier) = (&node.cells, &node.earlier);
                    self.next = Some(Leaf { entries, cells, earlier });
                    return;
                }
                Kind::Inner(children) => {
                    let mut rest = children.iter();
                    let Some((_, first)) = rest.next() else { return };
                    self.above.push(rest);
                    node = first;
                }
            }
        }
    }
}

impl<'s, K, V> Iterator for Leaves<'s, K, V> {
    type Item = Leaf<'s, K, V>;

    fn next(&mut self) -> Option<Self::Item> {
        let leaf = self.next.take()?;
        while let Some(above) = self.above.last_mut() {
            if let Some((_, node)) = above.next() {
                self.descend(node);
                break;
            }
            self.above.pop();
        }
        Some(leaf)
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Shelf<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: PartialEq, V: PartialEq> PartialEq for Shelf<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.size == other.size && self.iter().eq(other.iter())
    }
}

impl<K: Borrow<Q>, Q: Ord + ?Sized, V> std::ops::Index<&Q> for Shelf<K, V> {
    type Output = V;

    /// # Panics
    /// If there is no such entry.
    #[expect(clippy::expect_used, reason = "as all maps do it")]
    fn index(&self, key: &Q) -> &V {
        self.get(key).expect("there is such an entry")
    }
}

impl<K: Ord + Clone, V: Clone> FromIterator<(K, V)> for Shelf<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut shelf = Self::default();
        for (key, value) in entries {
            shelf.insert_mut(key, value);
        }
        shelf
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const SUM: usize = 0;

    fn total(shelf: &Shelf<u16, u32>) -> u32 {
        *shelf.sum(SUM, &|sum: &mut u32, value| *sum = sum.wrapping_add(*value), &|sum, part| {
            *sum = sum.wrapping_add(*part);
        })
    }

    fn check(shelf: &Shelf<u16, u32>, model: &BTreeMap<u16, u32>) {
        assert_eq!(shelf.size(), model.len());
        assert!(shelf.iter().eq(model.iter()));
        assert_eq!(shelf.first(), model.first_key_value());
        assert_eq!(total(shelf), model.values().fold(0u32, |sum, v| sum.wrapping_add(*v)));
        let runs: Vec<usize> = shelf.leaves().map(|leaf| leaf.entries.len()).collect();
        assert!(runs.iter().all(|run| (1..=MAX).contains(run)), "{runs:?}");
    }

    proptest! {
        #[test]
        fn it_is_a_map_and_a_clone_never_changes(
            steps in prop::collection::vec((0u8..4, 0u16..300, any::<u32>()), 0..2000),
        ) {
            let (mut shelf, mut model) = (Shelf::default(), BTreeMap::new());
            let mut kept = None;
            for (n, (what, key, value)) in steps.into_iter().enumerate() {
                match what {
                    0 | 1 => prop_assert_eq!(shelf.insert_mut(key, value), model.insert(key, value)),
                    2 => prop_assert_eq!(shelf.remove_mut(&key), model.remove(&key)),
                    _ => {
                        let (own, other) = (shelf.get_mut(&key), model.get_mut(&key));
                        prop_assert_eq!(own.is_some(), other.is_some());
                        if let (Some(own), Some(other)) = (own, other) {
                            (*own, *other) = (value, value);
                        }
                    }
                }
                prop_assert_eq!(shelf.get(&key), model.get(&key));
                if n % 100 == 0 {
                    check(&shelf, &model);
                    if let Some((shelf, model)) = kept.replace((shelf.clone(), model.clone())) {
                        check(&shelf, &model);
                    }
                }
            }
            check(&shelf, &model);
        }
    }

    #[test]
    fn what_grows_at_its_end_and_shrinks_at_its_beginning_stays_dense() {
        let mut shelf = Shelf::default();
        for n in 0..100_000u32 {
            shelf.insert_mut(n, n);
            if n >= 10_000 {
                shelf.remove_mut(&(n - 10_000));
            }
        }
        assert_eq!(shelf.size(), 10_000);
        let leaves = shelf.leaves().count();
        assert!(leaves <= 10_000 / MAX + 2, "{leaves}");
        assert!(shelf.keys().copied().eq(90_000..100_000));
    }

    #[test]
    fn a_change_makes_only_its_leaf_anew() {
        let mut shelf: Shelf<u32, u32> = (0..10_000).map(|n| (n, n)).collect();
        let made = std::cell::Cell::new(0);
        let read = |shelf: &Shelf<u32, u32>| {
            made.set(0);
            for leaf in shelf.leaves() {
                leaf.cells.get_or(1, || made.set(made.get() + 1));
            }
            made.get()
        };
        let before = shelf.clone();
        assert!(read(&shelf) > 300);
        assert_eq!(read(&shelf), 0);
        *shelf.get_mut(&5000).unwrap() += 1;
        assert!(!shelf.is_same(&before));
        assert_eq!(read(&shelf), 1);
        assert_eq!((read(&before), before.get(&5000)), (0, Some(&5000)));
        // What was made before is there for the next reader, once.
        shelf.leaves().for_each(|leaf| drop(leaf.cells.get_or(2, || leaf.entries.len())));
        *shelf.get_mut(&5).unwrap() += 1;
        let first = shelf.leaves().next().unwrap();
        assert_eq!(first.earlier.take::<()>(0), None);
        assert!(first.earlier.take::<usize>(2).is_some());
        assert_eq!(first.earlier.take::<usize>(2), None);
        // It is given up after many changes.
        for (changes, kept) in [(60, true), (80, false)] {
            shelf.leaves().for_each(|leaf| drop(leaf.cells.get_or(2, || leaf.entries.len())));
            (0..changes).for_each(|_| *shelf.get_mut(&5).unwrap() += 1);
            let first = shelf.leaves().next().unwrap();
            assert_eq!(first.earlier.take::<usize>(2).is_some(), kept, "{changes}");
        }
        // What is not there changes nothing.
        let before = shelf.clone();
        assert_eq!((shelf.remove_mut(&20_000), shelf.get_mut(&20_000)), (None, None));
        assert!(shelf.is_same(&before));
    }
}
