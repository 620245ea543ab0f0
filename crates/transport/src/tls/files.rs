//! Reading what a policy names.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{MemfdFlags, memfd_create};

/// No certificate, key, bundle or list is longer.
const MOST: u64 = 64 * 1024 * 1024;

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system says no.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is longer than any such file.
    #[error("it is longer than {MOST} bytes")]
    TooLong,
}

/// Reads a whole file. The buffer is never grown, so that no copy of a key is left behind.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, ReadError> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    if length > MOST {
        return Err(ReadError::TooLong);
    }
    // A pipe has no length; what comes out of it is short.
    let room = usize::try_from(length).unwrap_or_default().max(64 * 1024) + 1;
    let mut bytes = Vec::with_capacity(room);
    file.take(MOST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST { Err(ReadError::TooLong) } else { Ok(bytes) }
}

/// A file that exists in memory only, for functions of the TLS library that take nothing but a
/// path. It is gone when this is dropped.
pub(super) struct MemoryFile {
    path: PathBuf,
    _file: File,
}

impl MemoryFile {
    pub(super) fn new(bytes: &[u8]) -> io::Result<Self> {
        let descriptor: OwnedFd = memfd_create("tls", MemfdFlags::CLOEXEC)?;
        let mut file = File::from(descriptor);
        io::Write::write_all(&mut file, bytes)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        Ok(Self { path, _file: file })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}
