//! The body of a response.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead, ReadBuf};

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
}

impl Body {
    /// A body that is there.
    #[must_use]
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        Self::Full(Some(bytes.into()).filter(|b| !b.is_empty()))
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
    File(#[from] std::io::Error),
}

/// The rest of a file, `left` bytes, in pieces of at most [`PIECE_BYTES`].
#[derive(Debug)]
pub struct FileBody {
    file: tokio::fs::File,
    left: u64,
}

/// How much of a file is in memory at a time.
pub const PIECE_BYTES: usize = 64 * 1024;

impl FileBody {
    /// The next `length` bytes of `file`.
    #[must_use]
    pub fn new(file: std::fs::File, length: u64) -> Self {
        Self { file: tokio::fs::File::from_std(file), left: length }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let size = usize::try_from(self.left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        let mut piece = BytesMut::zeroed(size);
        let mut buffer = ReadBuf::new(&mut piece);
        match Pin::new(&mut self.file).poll_read(cx, &mut buffer) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(e)) => Poll::Ready(Some(Err(e.into()))),
            Poll::Ready(Ok(())) => {
                let read = buffer.filled().len();
                if read == 0 {
                    let end = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
                    return Poll::Ready(Some(Err(end.into())));
                }
                piece.truncate(read);
                self.left -= read as u64;
                Poll::Ready(Some(Ok(piece.freeze())))
            }
        }
    }
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
        };
        piece.map(|p| p.map(|p| p.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(bytes) => bytes.is_none(),
            Self::Records(_) => false,
            Self::File(file) => file.left == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Self::Records(_) => SizeHint::default(),
            Self::File(file) => SizeHint::with_exact(file.left),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use std::io::{Seek, Write};

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
}
