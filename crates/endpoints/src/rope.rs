//! Long bodies in pieces that other bodies share.
//!
//! A body of many megabytes is made of pieces that were rendered once and are kept with what they
//! show. Put together they are a [`Rope`]: nothing is copied but what is small. Each piece can be
//! compressed by itself, once, so that the compressed form of a body too costs what has changed:
//! the deflated pieces, each ended at a byte's boundary and none looking back on another, follow
//! one another as one stream between the head and the tail of gzip.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress, Status};

/// Some bytes, and their compressed form once it was wanted.
#[derive(Debug, Default)]
pub struct Piece {
    bytes: Bytes,
    packed: OnceLock<Option<Packed>>,
}

#[derive(Debug)]
struct Packed {
    bytes: Bytes,
    crc: Crc,
}

impl Piece {
    /// A piece of these bytes.
    #[must_use]
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), packed: OnceLock::new() }
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    fn packed(&self) -> Option<&Packed> {
        self.packed.get_or_init(|| deflate(&self.bytes)).as_ref()
    }
}

/// `bytes` deflated, with nothing of it held back.
fn deflate(bytes: &[u8]) -> Option<Packed> {
    let mut crc = Crc::new();
    crc.update(bytes);
    let mut out = Vec::with_capacity(bytes.len() / 4 + 64);
    let mut deflater = Compress::new(Compression::fast(), false);
    loop {
        let read = usize::try_from(deflater.total_in()).ok()?;
        let flush = FlushCompress::Sync;
        let status = deflater.compress_vec(bytes.get(read..)?, &mut out, flush).ok()?;
        let done = deflater.total_in() == bytes.len() as u64 && out.len() < out.capacity();
        if done {
            break;
        }
        if status == Status::BufError && out.len() < out.capacity() {
            return None;
        }
        out.reserve(out.capacity().max(1024));
    }
    Some(Packed { bytes: out.into(), crc })
}

/// Pieces smaller than this are copied together.
const SMALL: usize = 4 * 1024;
/// How much of what is small becomes one piece.
const GATHERED: usize = 64 * 1024;

/// Many bytes in pieces.
#[derive(Clone, Debug, Default)]
pub struct Rope {
    pieces: Vec<Arc<Piece>>,
    len: usize,
}

impl Rope {
    /// How many bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The pieces in order.
    #[must_use]
    pub fn pieces(&self) -> &[Arc<Piece>] {
        &self.pieces
    }

    /// The bytes, piece by piece.
    pub fn iter(&self) -> impl Iterator<Item = Bytes> + '_ {
        self.pieces.iter().map(|piece| piece.bytes.clone())
    }

    /// All bytes at once.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        match self.pieces.as_slice() {
            [only] => only.bytes.clone(),
            pieces => {
                let mut all = Vec::with_capacity(self.len);
                for piece in pieces {
                    all.extend_from_slice(&piece.bytes);
                }
                all.into()
            }
        }
    }

    /// The compressed form, made now as far as that was not done before: for a thread that may
    /// take its time. `None` if it cannot be made, which does not happen.
    #[must_use]
    pub fn gzip(&self) -> Option<Rope> {
        // No name, no time, an unknown system, quickly made.
        const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 0xff];
        // An empty last block with fixed codes.
        const LAST: [u8; 2] = [3, 0];
        let mut rope = Weaver::default();
        rope.text(&HEAD);
        let mut crc = Crc::new();
        for piece in &self.pieces {
            let packed = piece.packed()?;
            crc.combine(&packed.crc);
            rope.bytes(packed.bytes.clone());
        }
        rope.text(&LAST);
        rope.text(&crc.sum().to_le_bytes());
        rope.text(&crc.amount().to_le_bytes());
        Some(rope.finish())
    }
}

impl From<Vec<u8>> for Rope {
    fn from(bytes: Vec<u8>) -> Self {
        let mut rope = Weaver::default();
        rope.bytes(bytes.into());
        rope.finish()
    }
}

/// Makes a rope.
#[derive(Debug, Default)]
pub struct Weaver {
    rope: Rope,
    small: Vec<u8>,
}

impl Weaver {
    /// Appends a few bytes.
    pub fn text(&mut self, bytes: &[u8]) {
        self.small.extend_from_slice(bytes);
        if self.small.len() >= GATHERED {
            self.gather();
        }
    }

    /// Appends bytes that are not kept elsewhere.
    pub fn bytes(&mut self, bytes: Bytes) {
        if bytes.len() < SMALL {
            self.text(&bytes);
        } else {
            self.put(Arc::new(Piece::new(bytes)));
        }
    }

    /// Appends a piece that others may share.
    pub fn piece(&mut self, piece: &Arc<Piece>) {
        if piece.bytes.len() < SMALL {
            self.text(&piece.bytes);
        } else {
            self.put(Arc::clone(piece));
        }
    }

    /// Appends what another rope is made of.
    pub fn rope(&mut self, rope: &Rope) {
        for piece in &rope.pieces {
            self.piece(piece);
        }
    }

    /// How many bytes it is by now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rope.len + self.small.len()
    }

    /// Whether nothing was appended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What was appended.
    #[must_use]
    pub fn finish(mut self) -> Rope {
        self.gather();
        self.rope
    }

    fn put(&mut self, piece: Arc<Piece>) {
        self.gather();
        self.rope.len += piece.bytes.len();
        self.rope.pieces.push(piece);
    }

    fn gather(&mut self) {
        if !self.small.is_empty() {
            let bytes = std::mem::take(&mut self.small);
            self.rope.len += bytes.len();
            self.rope.pieces.push(Arc::new(Piece::new(bytes)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn text(n: usize) -> Vec<u8> {
        (0..n).flat_map(|n| format!("{{\"id\":{}}},", n * 7919 % 1000).into_bytes()).collect()
    }

    #[test]
    fn what_is_small_is_copied_together_and_what_is_large_is_shared() {
        let large = Arc::new(Piece::new(text(1000)));
        let mut rope = Weaver::default();
        rope.text(b"[");
        rope.piece(&large);
        for _ in 0..100 {
            rope.text(b"x");
        }
        rope.bytes(text(2000).into());
        rope.text(b"]");
        let len = rope.len();
        let rope = rope.finish();
        assert_eq!((rope.len(), rope.pieces().len()), (len, 5));
        assert!(Arc::ptr_eq(&rope.pieces()[1], &large));
        let all = [&b"["[..], &text(1000), &[b'x'; 100], &text(2000), b"]"].concat();
        assert_eq!(rope.to_bytes(), all);
        let mut twice = Weaver::default();
        twice.rope(&rope);
        twice.rope(&rope);
        assert_eq!(twice.finish().to_bytes(), [&all[..], &all].concat());
    }

    #[test]
    fn compressed_pieces_are_one_stream() {
        for pieces in [vec![], vec![0], vec![1], vec![1000, 3, 100_000, 0, 500]] {
            let mut rope = Weaver::default();
            let mut plain = Vec::new();
            for n in pieces {
                rope.bytes(text(n).into());
                plain.extend(text(n));
            }
            let rope = rope.finish();
            let packed = rope.gzip().unwrap();
            assert!(plain.len() < 1000 || packed.len() < plain.len() / 3, "{}", packed.len());
            let bytes = packed.to_bytes();
            // One member and nothing behind it.
            let mut reader = flate2::bufread::GzDecoder::new(&bytes[..]);
            let mut read = Vec::new();
            reader.read_to_end(&mut read).unwrap();
            assert_eq!(read, plain);
            assert!(reader.into_inner().is_empty());
            // What was compressed stays so.
            assert_eq!(rope.gzip().unwrap().to_bytes(), bytes);
        }
    }

    #[test]
    fn what_does_not_compress_is_packed_all_the_same() {
        let mut state = 1u64;
        let mut noise = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        let plain: Vec<u8> = (0..300_000).map(|_| noise()).collect();
        let packed = Rope::from(plain.clone()).gzip().unwrap().to_bytes();
        let mut read = Vec::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut read).unwrap();
        assert_eq!(read, plain);
    }
}
