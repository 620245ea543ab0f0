//! Files that are whole or not there.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readers {
    /// Its owner.
    Owner,
    /// Everybody.
    Everybody,
}

impl Readers {
    fn mode(self) -> u32 {
        match self {
            Self::Owner => 0o600,
            Self::Everybody => 0o644,
        }
    }
}

/// Replaces `path` by a file with `content`, at once and durably: whoever opens it finds the old
/// content or the new.
pub(crate) fn replace(path: &Path, content: &[u8], readers: Readers) -> io::Result<()> {
    let (temporary, result) = write_beside(path, content, readers)?;
    let result = result.and_then(|()| fs::rename(&temporary, path));
    if result.is_err() {
        // Already failing for a better reason.
        let _ = fs::remove_file(&temporary);
    }
    result.and_then(|()| sync_parent(path))
}

/// Writes a new file; fails if there is one.
pub(crate) fn create(path: &Path, content: &[u8], readers: Readers) -> io::Result<()> {
    let mut file = open_new(path, readers)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Makes a directory, and those above it, that only its owner may enter.
pub(crate) fn create_private_directory(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent)?;
    }
    DirBuilder::new().mode(0o700).create(path)
}

/// Makes what happened in the directory of `path` durable.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

/// The permission bits of `path` that let others than its owner in.
pub(crate) fn exposure(path: &Path) -> io::Result<u32> {
    Ok(fs::metadata(path)?.mode() & 0o077)
}

fn write_beside(
    path: &Path,
    content: &[u8],
    readers: Readers,
) -> io::Result<(PathBuf, io::Result<()>)> {
    let mut name = path.file_name().map(ToOwned::to_owned).unwrap_or_default();
    name.push(format!(".new-{}", std::process::id()));
    let temporary = path.with_file_name(name);
    // Left behind by a process of the same id that died here.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let result = create(&temporary, content, readers);
    Ok((temporary, result))
}

fn open_new(path: &Path, readers: Readers) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(readers.mode()).open(path)?;
    Ok(file)
}
