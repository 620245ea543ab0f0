//! Directories of persistent volumes. Making and removing them can be repeated: the agent does it
//! again if it does not know whether it came to an end.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use super::file;
use crate::engine::inventory::VolumeDirectory;

/// Users of tasks pass through the directories above a volume.
const MODE: u32 = 0o755;

/// Makes a volume's directory, durably.
pub(super) fn create(volume: &VolumeDirectory) -> io::Result<()> {
    if volume.is_mount {
        // Its file system is there, or the agent's configuration names the wrong place.
        return if volume.path.is_dir() {
            Ok(())
        } else {
            Err(io::Error::new(io::ErrorKind::NotFound, "the root of the mount is no directory"))
        };
    }
    make(&volume.path)
}

fn make(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make(parent)?;
    }
    match fs::DirBuilder::new().mode(MODE).create(path) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        Err(e) => return Err(e),
    }
    file::sync_parent(path)
}

/// Removes a volume's directory and all that is in it, durably; the root of a mount is emptied.
pub(super) fn remove(volume: &VolumeDirectory) -> io::Result<()> {
    if !volume.is_mount {
        return remove_directory(&volume.path);
    }
    for entry in fs::read_dir(&volume.path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    fs::File::open(&volume.path)?.sync_all()
}

/// Removes a directory and all that is in it; one that is not there is removed already. Links in
/// it are removed and not followed.
pub(super) fn remove_directory(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Ok(()) => file::sync_parent(path),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
    }
}
