//! Entries under small numbers, so that sets of them are bits.

/// A place for entries; a freed number is given again, the one freed last first.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    entries: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), free: Vec::new() }
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
