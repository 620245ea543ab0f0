//! A long answer that several callers may get.

use std::hash::{DefaultHasher, Hasher};
use std::sync::OnceLock;

use crate::rope::Rope;

/// A body, its compressed form once that was wanted, and the mark by which a caller recognizes it.
#[derive(Debug)]
pub struct Document {
    rope: Rope,
    packed: OnceLock<Option<Rope>>,
    mark: Option<String>,
}

impl Document {
    /// A body without a mark.
    #[must_use]
    pub fn new(rope: Rope) -> Self {
        Self { rope, packed: OnceLock::new(), mark: None }
    }

    /// The same with a mark, which no other content may ever have: printable ASCII without quotes.
    #[must_use]
    pub fn marked(self, mark: String) -> Self {
        Self { mark: Some(mark), ..self }
    }

    /// The same with a mark made of the content.
    #[must_use]
    pub fn marked_by_content(self) -> Self {
        let (mut low, mut high) = (DefaultHasher::new(), DefaultHasher::new());
        high.write_u8(1);
        for piece in self.rope.pieces() {
            low.write(piece.bytes());
            high.write(piece.bytes());
        }
        let mark = format!("{:016x}{:016x}", high.finish(), low.finish());
        self.marked(mark)
    }

    /// The body.
    #[must_use]
    pub fn rope(&self) -> &Rope {
        &self.rope
    }

    /// The compressed body, made now if it was not before: takes its time. `None` if there is none.
    #[must_use]
    pub fn packed(&self) -> Option<&Rope> {
        self.packed.get_or_init(|| self.rope.gzip()).as_ref()
    }

    /// Whether the compressed body has been made.
    #[must_use]
    pub fn is_packed(&self) -> bool {
        self.packed.get().is_some()
    }

    /// The mark.
    #[must_use]
    pub fn mark(&self) -> Option<&str> {
        self.mark.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_of_a_content_is_its_own() {
        let mark = |text: &str| {
            let document = Document::new(Rope::from(text.as_bytes().to_vec()));
            document.marked_by_content().mark().unwrap().to_owned()
        };
        assert_eq!(mark("a"), mark("a"));
        assert_ne!(mark("a"), mark("b"));
        assert_eq!(mark("").len(), 32);
    }
}
