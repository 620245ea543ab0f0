//! Files that are replaced as a whole: whoever reads finds the old content or the new.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::Context as _;
use rand::RngExt as _;

/// To whom a file belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) user: u32,
    pub(crate) group: u32,
}

/// Puts `content` at `path`, with the mode `mode` whatever the umask, and returns when it is on
/// the disk.
pub(crate) fn replace(path: &Path, content: &[u8], mode: u32) -> anyhow::Result<()> {
    replace_as(path, content, mode, None)
}

/// The same for a file that belongs to somebody.
pub(crate) fn replace_as(
    path: &Path,
    content: &[u8],
    mode: u32,
    owner: Option<Owner>,
) -> anyhow::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let name = path.file_name().with_context(|| format!("'{}' is no file", path.display()))?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{:016x}", rand::rng().random::<u64>()));
    let temporary = directory.join(temporary);
    let write = || -> std::io::Result<()> {
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(content)?;
        if let Some(Owner { user, group }) = owner {
            let is = file.metadata()?;
            if (is.uid(), is.gid()) != (user, group) {
                std::os::unix::fs::fchown(&file, Some(user), Some(group))?;
            }
        }
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        File::open(directory)?.sync_all()
    };
    write()
        .inspect_err(|_| {
            // If it was made at all. What was wrong is reported.
            let _ = std::fs::remove_file(&temporary);
        })
        .with_context(|| format!("cannot write '{}'", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_with_its_mode_and_nothing_is_left_behind() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("f");
        std::fs::write(&path, "old").unwrap();
        replace(&path, b"new", 0o600).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::create_dir(temp.path().join("d")).unwrap();
        replace(&temp.path().join("d"), b"x", 0o600).unwrap_err();
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 2);
    }
}
