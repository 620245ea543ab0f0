//! The body of a response.

use std::fs::File;
use std::io::{Error, ErrorKind, IoSliceMut};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use rustix::io::{ReadWriteFlags, preadv2, retry_on_intr};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::rope::{Piece, Rope};
use crate::stream::{Ended, Records};

/// What a response carries.
#[derive(Debug)]
pub enum Body {
    /// All of it at once, possibly nothing. `None` when it was taken.
    Full(Option<Bytes>),
    /// Records until the stream ends, one per chunk.
    Records(Records),
    /// A file, read while it is sent.
    File(FileBody),
    /// What is there in pieces.
    Rope(RopeBody),
}

impl Body {
    /// A body that is there.
    #[must_use]
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        Self::Full(Some(bytes.into()).filter(|b| !b.is_empty()))
    }

    /// How many bytes it has, if that is known now; a file's length is told apart.
    pub(crate) fn known_length(&self) -> Option<u64> {
        match self {
            Self::Full(bytes) => Some(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Rope(rope) => Some(rope.left as u64),
            Self::Records(_) | Self::File(_) => None,
        }
    }

    /// No body.
    #[must_use]
    pub fn empty() -> Self {
        Self::Full(None)
    }
}

/// Why a body ends before its end: the connection is closed, so that the reader knows.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The subscriber was cut off.
    #[error(transparent)]
    Stream(#[from] Ended),
    /// The file could not be read, or is shorter than it was.
    #[error("the file could not be read to its end: {0}")]
    File(#[from] Error),
}

/// The rest of a body in pieces.
#[derive(Debug)]
pub struct RopeBody {
    pieces: std::vec::IntoIter<Arc<Piece>>,
    left: usize,
}

impl RopeBody {
    /// All of `rope`.
    #[must_use]
    pub fn new(rope: &Rope) -> Self {
        Self { pieces: rope.pieces().to_vec().into_iter(), left: rope.len() }
    }

    fn next(&mut self) -> Option<Bytes> {
        let piece = self.pieces.next()?.bytes().clone();
        self.left -= piece.len();
        Some(piece)
    }
}

/// The rest of a file, `left` bytes, in pieces of at most [`PIECE_BYTES`].
///
/// What the kernel has in memory is read at once, which takes less than to hand the work over to
/// another thread; only what it must fetch from somewhere is read there.
#[derive(Debug)]
pub struct FileBody {
    file: Arc<File>,
    left: u64,
    reading: Option<JoinHandle<std::io::Result<BytesMut>>>,
}

/// How much of a file is in memory at a time.
pub const PIECE_BYTES: usize = 64 * 1024;

impl FileBody {
    /// The next `length` bytes of `file`.
    #[must_use]
    pub fn new(file: File, length: u64) -> Self {
        Self { file: Arc::new(file), left: length, reading: None }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let size = usize::try_from(self.left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        let read = match &mut self.reading {
            Some(reading) => {
                let done = ready!(Pin::new(reading).poll(cx));
                self.reading = None;
                // An error means that it panicked, or that the runtime ends.
                done.unwrap_or_else(|e| Err(Error::other(e)))
            }
            None => match read(&self.file, size, ReadWriteFlags::NOWAIT) {
                Ok(piece) => Ok(piece),
                // Also where the file system cannot say. What really fails fails there again.
                Err(_) => {
                    let file = Arc::clone(&self.file);
                    let fetch = move || read(&file, size, ReadWriteFlags::empty());
                    self.reading = Some(spawn_blocking(fetch));
                    return self.poll_piece(cx);
                }
            },
        };
        Poll::Ready(Some(match read {
            Ok(piece) if piece.is_empty() => Err(Error::from(ErrorKind::UnexpectedEof).into()),
            Ok(piece) => {
                self.left -= piece.len() as u64;
                Ok(piece.freeze())
            }
            Err(error) => Err(error.into()),
        }))
    }
}

/// Reads at most `size` bytes from where the last read of `file` ended.
fn read(file: &File, size: usize, how: ReadWriteFlags) -> std::io::Result<BytesMut> {
    const WHERE_IT_STANDS: u64 = u64::MAX;
    let mut piece = BytesMut::zeroed(size);
    let mut into = [IoSliceMut::new(&mut piece)];
    let read = retry_on_intr(|| preadv2(file, &mut into, WHERE_IT_STANDS, how))?;
    piece.truncate(read);
    Ok(piece)
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let piece = match self.get_mut() {
            Self::Full(bytes) => Poll::Ready(bytes.take().map(Ok)),
            Self::Records(records) => {
                records.poll_record(cx).map(|r| r.map(|r| r.map_err(BodyError::from)))
            }
            Self::File(file) => file.poll_piece(cx),
            Self::Rope(rope) => Poll::Ready(rope.next().map(Ok)),
        };
        piece.map(|p| p.map(|p| p.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(bytes) => bytes.is_none(),
            Self::Records(_) => false,
            Self::File(file) => file.left == 0,
            Self::Rope(rope) => rope.left == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Self::Records(_) => SizeHint::default(),
            Self::File(file) => SizeHint::with_exact(file.left),
            Self::Rope(rope) => SizeHint::with_exact(rope.left as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use std::io::{Seek, Write};
    use std::pin::pin;

    #[tokio::test]
    async fn a_file_is_sent_in_pieces_and_a_shrunk_one_is_an_error() {
        let content: Vec<u8> = (0..200_000u32).map(|n| (n % 251) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&content).unwrap();
        file.rewind().unwrap();
        let body = Body::File(FileBody::new(file.try_clone().unwrap(), 200_000));
        assert_eq!(body.collect().await.unwrap().to_bytes(), content);

        file.rewind().unwrap();
        let body = Body::File(FileBody::new(file, 200_001));
        assert!(matches!(body.collect().await, Err(BodyError::File(_))));
    }

    #[tokio::test]
    async fn what_is_not_there_yet_is_waited_for_on_another_thread() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let file = File::from(std::os::fd::OwnedFd::from(reader));
        let mut body = pin!(Body::File(FileBody::new(file, 5)).collect());
        let first = body.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop()));
        assert!(first.is_pending());
        writer.write_all(b"hello").unwrap();
        assert_eq!(body.await.unwrap().to_bytes(), "hello");
    }
}
