//! What readers have made of an entity, kept with it.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, OnceLock};

type Slot = OnceLock<Arc<dyn Any + Send + Sync>>;

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
