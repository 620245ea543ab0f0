//! The body of a request, read as far as the handler wants it.

use std::io::Read as _;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::sync::{Notify, mpsc};

use super::memory::{MemoryShare, NoMemory, PeerMemory};

/// The body of a request. Pieces are read from the connection when they are asked for; a body
/// that is dropped is not read.
#[derive(Debug)]
pub struct Body {
    pieces: mpsc::Receiver<Result<Bytes, BodyError>>,
    wanted: Arc<Notify>,
    memory: PeerMemory,
    finished: bool,
}

/// Why a body is not complete.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The connection ended, or what was sent is not a body.
    #[error("the body ended before its end: {0}")]
    Incomplete(String),
    /// The server holds as many bytes of bodies as it may, in all or of this peer.
    #[error("too many requests at once")]
    Memory,
    /// It is longer than it may be.
    #[error("the body is longer than {0} bytes")]
    TooLarge(usize),
}

impl From<NoMemory> for BodyError {
    fn from(NoMemory: NoMemory) -> Self {
        Self::Memory
    }
}

impl Body {
    pub(super) fn new(
        pieces: mpsc::Receiver<Result<Bytes, BodyError>>,
        wanted: Arc<Notify>,
        memory: PeerMemory,
    ) -> Self {
        Self { pieces, wanted, memory, finished: false }
    }

    /// A body that is already here; for tests of handlers.
    #[must_use]
    pub fn full(bytes: Bytes) -> Self {
        let (pieces, receiver) = mpsc::channel(1);
        if !bytes.is_empty() {
            // The channel is empty and open: there is room for one piece.
            let sent = pieces.try_send(Ok(bytes));
            debug_assert!(sent.is_ok());
        }
        Self::new(receiver, Arc::default(), PeerMemory::unbounded())
    }

    /// The next piece, never empty; `None` at the end. After an error there is nothing more.
    pub async fn next(&mut self) -> Option<Result<Bytes, BodyError>> {
        if self.finished {
            return None;
        }
        self.wanted.notify_one();
        let piece = self.pieces.recv().await;
        self.finished = !matches!(piece, Some(Ok(_)));
        piece
    }

    /// The whole body if it is not longer than `most` bytes, with the memory it takes.
    pub async fn collect(mut self, most: usize) -> Result<(Bytes, MemoryShare), BodyError> {
        let mut whole = Gathered::default();
        while let Some(piece) = self.next().await {
            let piece = piece?;
            if whole.len() + piece.len() > most {
                return Err(BodyError::TooLarge(most));
            }
            whole.add(piece, &self.memory).await?;
        }
        Ok(whole.into_parts())
    }
}

/// A body that is being put together, within the memory that its peer may take.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    first: Bytes,
    all: BytesMut,
    memory: MemoryShare,
}

impl Gathered {
    pub(super) fn len(&self) -> usize {
        if self.all.is_empty() { self.first.len() } else { self.all.len() }
    }

    pub(super) async fn add(&mut self, piece: Bytes, memory: &PeerMemory) -> Result<(), BodyError> {
        memory.take(piece.len(), &mut self.memory).await?;
        // Most bodies arrive in one piece, which is then not copied.
        if self.len() == 0 {
            self.first = piece;
            return Ok(());
        }
        if self.all.is_empty() {
            self.all.extend_from_slice(&self.first);
        }
        self.all.extend_from_slice(&piece);
        Ok(())
    }

    pub(super) fn into_parts(self) -> (Bytes, MemoryShare) {
        let bytes = if self.all.is_empty() { self.first } else { self.all.freeze() };
        (bytes, self.memory)
    }
}

/// Why a compressed body has no contents.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InflateError {
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error("the body cannot be decompressed")]
    Compression,
}

/// Decompresses a body, which must not become longer than `most` bytes.
pub(super) async fn inflate(
    compressed: Gathered,
    most: u64,
    memory: &PeerMemory,
) -> Result<Gathered, InflateError> {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let (compressed, _memory) = compressed.into_parts();
    let mut decoder = flate2::read::GzDecoder::new(&compressed[..]);
    let mut inflated = Gathered::default();
    loop {
        let mut piece = BytesMut::zeroed(INFLATED_AT_ONCE);
        let length = decoder.read(&mut piece).map_err(|_| InflateError::Compression)?;
        if length == 0 {
            return Ok(inflated);
        }
        if inflated.len() + length > most {
            return Err(BodyError::TooLarge(most).into());
        }
        piece.truncate(length);
        inflated.add(piece.freeze(), memory).await?;
    }
}

const INFLATED_AT_ONCE: usize = 64 * 1024;
