//! Entries under small numbers, so that sets of them are bits.

/// A place for entries; a freed number is given again, the one freed last first.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    entries: Vec<Option<T>>,
    free: Vec<u32>,
    /// Numbers without entry that sets may still hold.
    retired: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), free: Vec::new(), retired: Vec::new() }
    }
}

impl<T> Slab<T> {
    pub(crate) fn insert(&mut self, entry: T) -> u32 {
        if let Some(no) = self.free.pop() {
            self.entries[no as usize] = Some(entry);
            no
        } else {
            self.entries.push(Some(entry));
            // Four billion entries do not fit into memory.
            (self.entries.len() - 1) as u32
        }
    }

    pub(crate) fn remove(&mut self, no: u32) -> Option<T> {
        let entry = self.entries.get_mut(no as usize)?.take()?;
        self.free.push(no);
        Some(entry)
    }

    /// Removes an entry whose number is in sets: it is not given again before they are cleared of
    /// it, see [`retired`](Self::retired).
    pub(crate) fn retire(&mut self, no: u32) -> Option<T> {
        let entry = self.entries.get_mut(no as usize)?.take()?;
        self.retired.push(no);
        Some(entry)
    }

    /// The numbers to clear sets of before [`reuse_retired`](Self::reuse_retired).
    pub(crate) fn retired(&self) -> &[u32] {
        &self.retired
    }

    /// Whether so many numbers are retired that clearing sets of them is worth it: a part of all
    /// numbers, so that each costs its part of the work only.
    pub(crate) fn has_many_retired(&self) -> bool {
        self.retired.len() >= 4 && self.retired.len() >= self.entries.len() / 4
    }

    /// No set holds a retired number any more.
    pub(crate) fn reuse_retired(&mut self) {
        self.free.append(&mut self.retired);
    }

    /// Takes an entry in hand; its number stays its own until it is [`put`](Self::put) back.
    pub(crate) fn take(&mut self, no: u32) -> Option<T> {
        self.entries.get_mut(no as usize)?.take()
    }

    pub(crate) fn put(&mut self, no: u32, entry: T) {
        self.entries[no as usize] = Some(entry);
    }

    pub(crate) fn get(&self, no: u32) -> Option<&T> {
        self.entries.get(no as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, no: u32) -> Option<&mut T> {
        self.entries.get_mut(no as usize)?.as_mut()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.entries.iter().enumerate().filter_map(|(no, entry)| Some((no as u32, entry.as_ref()?)))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut T)> {
        self.entries
            .iter_mut()
            .enumerate()
            .filter_map(|(no, entry)| Some((no as u32, entry.as_mut()?)))
    }
}
