//! A credential file on disk: read, and replaced as a whole by one at a time.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use authn::accounts::file::{CredentialFile, FileError, Rules};
use authn::secret::Secret;
use rustix::fs::{FlockOperation, flock};

use crate::exit::Failure;
use crate::replace::{Owner, replace_as};

/// Far more than the credentials of the largest cluster take.
const MOST: u64 = 64 * 1024 * 1024;

/// A file that nobody else of ours changes meanwhile.
#[derive(Debug)]
pub(super) struct Store {
    /// Where it really is: behind all links.
    path: PathBuf,
    /// The directory, locked: the file itself is replaced.
    _lock: File,
    /// Mode and owner of what is there.
    present: Option<(u32, Owner)>,
    pub(super) file: CredentialFile,
}

/// The content of a file.
pub(super) fn content(path: &Path) -> anyhow::Result<Secret> {
    use std::io::Read as _;
    let cannot = || format!("cannot read {}", path.display());
    let mut file = File::open(path).with_context(cannot)?;
    let length = file.metadata().with_context(cannot)?.len().min(MOST);
    let mut text = Vec::with_capacity(usize::try_from(length).unwrap_or(0) + 1);
    (&mut file).take(MOST + 1).read_to_end(&mut text).with_context(cannot)?;
    if text.len() as u64 > MOST {
        anyhow::bail!("{} has more than {MOST} bytes", path.display());
    }
    Ok(Secret::new(text))
}

/// A file that is only looked at, or is to be changed: what stands in it is read as the original
/// reads it, so that nothing in it is lost.
pub(super) fn parse(path: &Path, text: &Secret) -> anyhow::Result<CredentialFile> {
    CredentialFile::parse(text.expose(), Rules::Mesos).map_err(|error| unusable(path, &error))
}

/// That a file cannot be used.
pub(super) fn unusable(path: &Path, error: &FileError) -> anyhow::Error {
    Failure::Usage(format!("cannot use {}: {error}", path.display())).into()
}

impl Store {
    /// Takes the file; `new`: one that is not there is made when it is written.
    pub(super) fn open(path: &Path, new: bool) -> anyhow::Result<Self> {
        let path = match path.canonicalize() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && new => path.to_owned(),
            found => found.with_context(|| format!("cannot read {}", path.display()))?,
        };
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let cannot = || format!("cannot lock {}", directory.display());
        let lock = File::open(directory).with_context(cannot)?;
        flock(&lock, FlockOperation::LockExclusive).with_context(cannot)?;
        let (file, present) = match std::fs::metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && new => {
                (CredentialFile::default(), None)
            }
            found => {
                let found = found.with_context(|| format!("cannot read {}", path.display()))?;
                let owner = Owner { user: found.uid(), group: found.gid() };
                (parse(&path, &content(&path)?)?, Some((found.mode() & 0o777, owner)))
            }
        };
        Ok(Self { path, _lock: lock, present, file })
    }

    /// Puts what it says now on the disk: with its owner and mode of before, but closed to
    /// others; a new one for its maker alone.
    pub(super) fn write(&self) -> anyhow::Result<()> {
        let (mode, owner) = match self.present {
            None => (0o600, None),
            Some((mode, owner)) => (mode & 0o760 | 0o600, Some(owner)),
        };
        replace_as(&self.path, self.file.to_text().as_bytes(), mode, owner)
    }
}
