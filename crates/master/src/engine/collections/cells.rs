//! What readers have made of an entity, kept with it.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

type Made = Arc<dyn Any + Send + Sync>;
type Slot = OnceLock<Made>;

/// Room beside something that never changes for what was made of it: once for all readers, freed
/// with it.
///
/// An entity that a snapshot shares is copied before it is changed, and a copy has empty cells: so
/// what is in them is always about what stands beside them.
#[derive(Default)]
pub struct Cells(OnceLock<Box<[Slot; Self::SLOTS]>>);

impl Cells {
    /// How many slots there are. What each is for is up to the readers.
    pub const SLOTS: usize = 6;

    /// In the slots below stands what can be of use after a change, see [`Earlier`].
    pub const USEFUL_LATER: usize = 3;

    /// What is in `slot`, made now or before. A slot is always used with the same type.
    pub fn get_or<T: Send + Sync + 'static>(&self, slot: usize, make: impl Fn() -> T) -> Arc<T> {
        let Some(slot) = self.0.get_or_init(Box::default).get(slot) else {
            debug_assert!(false, "there is no slot {slot}");
            return Arc::new(make());
        };
        let kept = slot.get_or_init(|| Arc::new(make()));
        Arc::clone(kept).downcast().unwrap_or_else(|_| {
            debug_assert!(false, "a slot is used with two types");
            Arc::new(make())
        })
    }

    /// Forgets all, because what stands beside it changes.
    pub(super) fn clear(&mut self) {
        self.0.take();
    }
}

/// What readers made of an entity before it changed, for those who can use most of it again.
///
/// It is there until it is taken, so of each slot there is at most one, the last that was made; or
/// until there were so many changes that little of it is right.
#[derive(Debug, Default)]
pub struct Earlier(Mutex<Past>);

#[derive(Clone, Debug, Default)]
struct Past {
    made: Vec<(usize, Made)>,
    /// Changes since the last of them was made.
    changes: u32,
}

impl Earlier {
    /// Keeps what `cells` hold, because what stands beside them changes.
    pub(super) fn keep(&mut self, cells: &Cells) {
        const MOST_CHANGES: u32 = 64;
        let past = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        past.changes += 1;
        let slots = cells.0.get().into_iter().flat_map(|slots| slots.iter());
        for (slot, made) in slots.enumerate().take(Cells::USEFUL_LATER) {
            if let Some(made) = made.get() {
                past.made.retain(|(other, _)| *other != slot);
                past.made.push((slot, Arc::clone(made)));
                past.changes = 0;
            }
        }
        if past.changes > MOST_CHANGES || past.made.is_empty() {
            *past = Past::default();
        }
    }

    /// What was last made for `slot`, if nobody has taken it.
    pub fn take<T: Send + Sync + 'static>(&self, slot: usize) -> Option<Arc<T>> {
        let made = &mut self.lock().made;
        let at = made.iter().position(|(other, _)| *other == slot)?;
        made.swap_remove(at).1.downcast().ok()
    }

    fn lock(&self) -> MutexGuard<'_, Past> {
        // Whole at any moment.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clone for Earlier {
    fn clone(&self) -> Self {
        Self(Mutex::new(self.lock().clone()))
    }
}

/// A copy is made to be changed.
impl Clone for Cells {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl fmt::Debug for Cells {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cells")
    }
}
