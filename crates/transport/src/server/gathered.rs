//! Pieces of a body that are written together.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// Pieces one after the other.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pieces: VecDeque<Bytes>,
    remaining: usize,
}

impl Gathered {
    /// Appends a piece.
    pub(super) fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.remaining += piece.len();
            self.pieces.push_back(piece);
        }
    }
}

impl Buf for Gathered {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |piece| piece)
    }

    fn chunks_vectored<'a>(&'a self, dst: &mut [IoSlice<'a>]) -> usize {
        let places = dst.iter_mut().zip(&self.pieces);
        places.map(|(place, piece)| *place = IoSlice::new(piece)).count()
    }

    /// # Panics
    /// If there are fewer than `count` bytes, as [`Buf`] says.
    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.remaining, "{count} of {} bytes", self.remaining);
        self.remaining -= count;
        while let Some(first) = self.pieces.front_mut().filter(|_| count > 0) {
            if count < first.len() {
                first.advance(count);
                return;
            }
            count -= first.len();
            self.pieces.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_read_as_one() {
        let mut gathered = Gathered::default();
        for piece in ["one", "", "two", "three"] {
            gathered.push(Bytes::from_static(piece.as_bytes()));
        }
        let mut slices = [IoSlice::new(&[]); 8];
        assert_eq!(gathered.chunks_vectored(&mut slices), 3);
        assert_eq!(&*slices[1], b"two");
        assert_eq!(gathered.chunks_vectored(&mut slices[..2]), 2);
        gathered.advance(4);
        assert_eq!((gathered.remaining(), gathered.chunk()), (7, &b"wo"[..]));
        assert_eq!(gathered.copy_to_bytes(7), "wothree");
        assert!(!gathered.has_remaining() && gathered.chunk().is_empty());
    }
}
