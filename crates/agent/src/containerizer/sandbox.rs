//! Sandboxes: the directories that containers work in.

use std::fs::{DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use launch::User;
use rustix::fs::{CWD, Gid, Mode, OFlags, Uid, fchmod, fchown, openat};

use super::LaunchError;

/// Of the sandbox itself: for its user, and readable for the user's group.
const SANDBOX_MODE: Mode = Mode::from_raw_mode(0o750);

/// Of the directories above it: everybody may pass, since users of containers have to.
const PARENT_MODE: u32 = 0o755;

/// Of the files that hold a container's output.
const OUTPUT_MODE: Mode = Mode::from_raw_mode(0o640);

/// A sandbox that was just made.
#[derive(Debug)]
pub(super) struct Sandbox {
    /// Its file `stdout`, open for appending.
    pub(super) stdout: File,
    /// Its file `stderr`, open for appending.
    pub(super) stderr: File,
}

/// A directory above a sandbox through which its user cannot pass.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "user {uid} cannot pass through '{}' (mode {mode:03o}, owner {owner}): make it traversable, \
     for example with `chmod o+x`, or choose another directory",
    directory.display()
)]
pub struct Impassable {
    /// The directory.
    pub directory: PathBuf,
    /// Its permission bits.
    pub mode: u32,
    /// The uid of its owner.
    pub owner: u32,
    /// The uid that has to pass.
    pub uid: u32,
}

/// Checks that `user` can reach what lies in `directory`: that it may pass through it and
/// everything above it. `directory` must exist and be absolute.
///
/// It looks at permission bits, not at access lists, which can only forbid what the bits allow
/// for others, or allow what they forbid.
///
/// # Errors
/// The outermost directory that cannot be passed, as an error of kind `PermissionDenied`.
pub fn check_passable(directory: &Path, user: &User) -> io::Result<()> {
    let directory = directory.canonicalize()?;
    let mut above: Vec<_> = directory.ancestors().collect();
    above.reverse();
    for directory in above {
        let metadata = directory.metadata()?;
        let mode = metadata.mode() & 0o777;
        let may = if user.uid == 0 {
            true
        } else if metadata.uid() == user.uid {
            mode & 0o100 != 0
        } else if metadata.gid() == user.gid || user.groups.contains(&metadata.gid()) {
            mode & 0o010 != 0
        } else {
            mode & 0o001 != 0
        };
        if !may {
            let impassable = Impassable {
                directory: directory.to_owned(),
                mode,
                owner: metadata.uid(),
                uid: user.uid,
            };
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, impassable));
        }
    }
    Ok(())
}

impl Sandbox {
    /// Makes the sandbox at `path` for `user` (`None`: the agent's own), its parents as needed,
    /// and points the link `latest` beside it to it.
    pub(super) fn create(path: &Path, user: Option<&User>) -> Result<Self, LaunchError> {
        let failed = |source| LaunchError::Sandbox { path: path.to_owned(), source };
        Self::try_create(path, user).map_err(failed)
    }

    fn try_create(path: &Path, user: Option<&User>) -> io::Result<Self> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::Error::other("it is no path in a directory"));
        };
        make_parents(parent)?;
        if let Some(user) = user {
            check_passable(parent, user)?;
        }
        // Until all is in its place it belongs to the agent alone.
        DirBuilder::new().mode(0o700).create(path)?;
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = openat(CWD, path, flags, Mode::empty())?;
        let output = |name: &str| -> io::Result<File> {
            let flags = OFlags::CREATE
                | OFlags::EXCL
                | OFlags::APPEND
                | OFlags::WRONLY
                | OFlags::NOFOLLOW
                | OFlags::CLOEXEC;
            let file = openat(&directory, name, flags, OUTPUT_MODE)?;
            give(&file, user)?;
            fchmod(&file, OUTPUT_MODE)?;
            Ok(file.into())
        };
        let sandbox = Self { stdout: output("stdout")?, stderr: output("stderr")? };
        give(&directory, user)?;
        fchmod(&directory, SANDBOX_MODE)?;
        point_latest(parent, Path::new(name))?;
        Ok(sandbox)
    }
}

fn give(file: &impl rustix::fd::AsFd, user: Option<&User>) -> io::Result<()> {
    if let Some(user) = user {
        let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
        fchown(file, Some(uid), Some(gid))?;
    }
    Ok(())
}

/// Makes what is missing of `directory`, whatever the umask.
fn make_parents(directory: &Path) -> io::Result<()> {
    let missing: Vec<_> = directory.ancestors().take_while(|path| !path.exists()).collect();
    for path in missing.into_iter().rev() {
        match DirBuilder::new().mode(PARENT_MODE).create(path) {
            Ok(()) => std::fs::set_permissions(path, Permissions::from_mode(PARENT_MODE))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Points the link `latest` in `directory` to `name` in one step: readers see the old target or
/// the new one. Two launches at once do not disturb each other; the last one wins.
fn point_latest(directory: &Path, name: &Path) -> io::Result<()> {
    let mut temporary = name.as_os_str().to_owned();
    temporary.push("~latest");
    let temporary = directory.join(temporary);
    std::os::unix::fs::symlink(name, &temporary)?;
    std::fs::rename(&temporary, directory.join("latest"))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const NOBODY: User = User { uid: 65_534, gid: 65_534, groups: Vec::new() };

    #[test]
    fn a_sandbox_has_its_output_and_is_the_latest() {
        let root = tempfile::tempdir().unwrap();
        let runs = root.path().join("slaves/S0/executors/e/runs");
        for name in ["first", "second"] {
            let path = runs.join(name);
            let mut sandbox = Sandbox::create(&path, None).unwrap();
            writeln!(sandbox.stdout, "hello").unwrap();
            let latest = std::fs::read_to_string(runs.join("latest/stdout")).unwrap();
            assert_eq!(latest, "hello\n");
            assert_eq!(std::fs::read_link(runs.join("latest")).unwrap(), Path::new(name));
            assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o750);
        }
        let again = Sandbox::create(&runs.join("first"), None).unwrap_err();
        assert!(again.to_string().contains("exists"), "{again}");
    }

    #[test]
    fn a_sandbox_belongs_to_its_user() {
        if !testkit::is_root() {
            testkit::skipped("only root can give a directory away");
            return;
        }
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("runs/c");
        std::fs::set_permissions(root.path(), Permissions::from_mode(0o711)).unwrap();
        Sandbox::create(&path, Some(&NOBODY)).unwrap();
        for path in [path.clone(), path.join("stdout"), path.join("stderr")] {
            let metadata = path.metadata().unwrap();
            assert_eq!((metadata.uid(), metadata.gid()), (65_534, 65_534), "{}", path.display());
            assert_eq!(metadata.mode() & 0o007, 0, "{}", path.display());
        }
    }

    #[test]
    fn a_parent_that_its_user_cannot_pass_is_named() {
        let root = tempfile::tempdir().unwrap();
        let closed = root.path().canonicalize().unwrap().join("closed");
        let deep = closed.join("deep");
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::set_permissions(root.path(), Permissions::from_mode(0o755)).unwrap();
        std::fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
        let error = check_passable(&deep, &NOBODY).unwrap_err().to_string();
        assert!(error.contains(&format!("'{}'", closed.display())), "{error}");
        let owner = closed.metadata().unwrap();
        let owner = User { uid: owner.uid(), gid: owner.gid(), groups: Vec::new() };
        check_passable(&deep, &owner).unwrap();
        let group = User { uid: 4_242, gid: 4_242, groups: vec![owner.gid] };
        std::fs::set_permissions(&closed, Permissions::from_mode(0o701)).unwrap();
        check_passable(&deep, &group).unwrap_err();
        std::fs::set_permissions(&closed, Permissions::from_mode(0o710)).unwrap();
        check_passable(&deep, &group).unwrap();
    }
}
