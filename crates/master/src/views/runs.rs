//! The texts of entities that stand side by side, made anew only for those that have changed.

use std::sync::{Arc, Weak};

use endpoints::rope::Piece;

use crate::engine::collections::Leaf;

/// The texts of a run of entities one after the other, and of which each is.
struct Run<T> {
    piece: Arc<Piece>,
    /// Each entity, known by its place in memory, which nothing else can take while it is here, and
    /// where its text ends.
    parts: Vec<(Weak<T>, usize)>,
}

impl<T> Run<T> {
    /// The text of this very entity, unchanged.
    fn text_of(&self, entity: &Arc<T>) -> Option<&[u8]> {
        let same = |(other, _): &(Weak<T>, usize)| other.as_ptr() == Arc::as_ptr(entity);
        let at = self.parts.iter().position(same)?;
        let begin = at.checked_sub(1).map_or(0, |before| self.parts[before].1);
        self.piece.bytes().get(begin..self.parts[at].1)
    }
}

/// The texts of all entities of `leaf`, kept in `slot`. `render` appends the text of one, which
/// depends on that one alone.
pub(super) fn run_of<K, T: Send + Sync + 'static>(
    leaf: &Leaf<'_, K, Arc<T>>,
    slot: usize,
    render: impl Fn(&T, &mut Vec<u8>),
) -> Arc<Piece> {
    let run = leaf.cells.get_or(slot, || {
        let earlier: Option<Arc<Run<T>>> = leaf.earlier.take(slot);
        let expected = earlier.as_ref().map_or(0, |earlier| earlier.piece.bytes().len());
        let mut text = Vec::with_capacity(expected + expected / 8);
        let mut parts = Vec::with_capacity(leaf.entries.len());
        for (_, entity) in leaf.entries {
            match earlier.as_ref().and_then(|earlier| earlier.text_of(entity)) {
                Some(unchanged) => text.extend_from_slice(unchanged),
                None => render(entity, &mut text),
            }
            parts.push((Arc::downgrade(entity), text.len()));
        }
        Run { piece: Arc::new(Piece::new(text)), parts }
    });
    Arc::clone(&run.piece)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::engine::collections::Shelf;

    #[test]
    fn only_what_has_changed_is_made_anew() {
        let mut shelf: Shelf<u32, Arc<u32>> = (0..20).map(|n| (n, Arc::new(n))).collect();
        let made = Cell::new(0);
        let text = |shelf: &Shelf<u32, Arc<u32>>| {
            made.set(0);
            let mut all = Vec::new();
            for leaf in shelf.leaves() {
                let piece = run_of(&leaf, 0, |n, text| {
                    made.set(made.get() + 1);
                    text.extend(format!("{n},").bytes());
                });
                all.extend_from_slice(piece.bytes());
            }
            (String::from_utf8(all).unwrap(), made.get())
        };
        let all = |values: &[u32]| values.iter().map(|n| format!("{n},")).collect::<String>();
        let mut values: Vec<u32> = (0..20).collect();
        assert_eq!(text(&shelf), (all(&values), 20));
        for shared in [true, false] {
            let snapshot = shared.then(|| shelf.clone());
            *Arc::make_mut(shelf.get_mut(&7).unwrap()) += 100;
            values[7] += 100;
            assert_eq!(text(&shelf), (all(&values), 1), "shared: {shared}");
            drop(snapshot);
        }
        shelf.remove_mut(&0);
        shelf.insert_mut(20, Arc::new(20));
        values.remove(0);
        values.push(20);
        assert_eq!(text(&shelf), (all(&values), 1));
        // Changed twice before anybody looks.
        for _ in 0..2 {
            *Arc::make_mut(shelf.get_mut(&3).unwrap()) += 1;
        }
        values[2] += 2;
        assert_eq!(text(&shelf), (all(&values), 1));
    }
}
