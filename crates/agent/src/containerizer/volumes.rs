//! Persistent volumes in sandboxes: links to the volumes' directories, which are given to the
//! sandbox's user.
//!
//! The sandbox is its user's, who may put anything anywhere in it, at any time. So each directory
//! on the way is opened without following links, and what is made is made in the open directory.

use std::io;
use std::path::{Component, Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid, fchown, fstat, mkdirat, openat, readlinkat,
    statat, symlinkat, unlinkat,
};

/// A persistent volume as a container sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VolumeLink {
    /// Where it appears: a path in the sandbox.
    pub container_path: String,
    /// Its directory.
    pub directory: PathBuf,
    /// Whether several containers may use it at once: then it stays its first user's.
    pub shared: bool,
}

/// Makes `volumes` appear in `sandbox`.
///
/// # Errors
///
/// If a volume cannot be put where it should appear, or is not there.
pub(super) fn appear(sandbox: &Path, volumes: &[VolumeLink]) -> io::Result<()> {
    if volumes.is_empty() {
        return Ok(());
    }
    let sandbox = open_directory(CWD, sandbox)?;
    let owner = fstat(&sandbox)?;
    let (uid, gid) = (Uid::from_raw(owner.st_uid), Gid::from_raw(owner.st_gid));
    for volume in volumes {
        let named = |error: io::Error| {
            let text = format!("volume at '{}': {error}", volume.container_path);
            io::Error::new(error.kind(), text)
        };
        give(volume, uid, gid).map_err(named)?;
        link(&sandbox, volume, uid, gid).map_err(named)?;
    }
    Ok(())
}

fn open_directory(at: impl rustix::fd::AsFd, path: impl rustix::path::Arg) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(at, path, flags, Mode::empty())?)
}

fn give(volume: &VolumeLink, uid: Uid, gid: Gid) -> io::Result<()> {
    let directory = open_directory(CWD, &volume.directory)?;
    let now = fstat(&directory)?;
    let ours = rustix::process::geteuid().as_raw() == now.st_uid;
    if (now.st_uid, now.st_gid) != (uid.as_raw(), gid.as_raw()) && (ours || !volume.shared) {
        fchown(&directory, Some(uid), Some(gid))?;
    }
    Ok(())
}

fn link(sandbox: &OwnedFd, volume: &VolumeLink, uid: Uid, gid: Gid) -> io::Result<()> {
    let invalid = || {
        let text = "the path of a volume must lie in the sandbox";
        io::Error::new(io::ErrorKind::InvalidInput, text)
    };
    let mut parts = Vec::new();
    for part in Path::new(&volume.container_path).components() {
        match part {
            Component::Normal(part) => parts.push(part),
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::ParentDir => {
                return Err(invalid());
            }
        }
    }
    let name = parts.pop().ok_or_else(invalid)?;
    let mut at = sandbox.try_clone()?;
    for part in parts {
        match mkdirat(&at, part, Mode::from_raw_mode(0o750)) {
            Ok(()) => {
                at = open_directory(&at, part)?;
                fchown(&at, Some(uid), Some(gid))?;
            }
            Err(rustix::io::Errno::EXIST) => at = open_directory(&at, part)?,
            Err(error) => return Err(error.into()),
        }
    }
    match statat(&at, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(rustix::io::Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
        Ok(found) if FileType::from_raw_mode(found.st_mode) == FileType::Symlink => {
            let target = readlinkat(&at, name, Vec::new())?;
            if Path::new(std::ffi::OsStr::new(&*target.to_string_lossy())) == volume.directory {
                return Ok(());
            }
            // Of a volume that an earlier task had here, or the user's own doing.
            unlinkat(&at, name, AtFlags::empty())?;
        }
        Ok(_) => {
            let text = "something else is there already";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
    }
    Ok(symlinkat(&volume.directory, &at, name)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    struct Place {
        sandbox: PathBuf,
        volume: VolumeLink,
        root: tempfile::TempDir,
    }

    fn place(container_path: &str) -> Place {
        let root = tempfile::tempdir().unwrap();
        let (sandbox, directory) = (root.path().join("sandbox"), root.path().join("volume"));
        std::fs::create_dir(&sandbox).unwrap();
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(directory.join("data"), "kept").unwrap();
        let container_path = container_path.to_owned();
        let volume = VolumeLink { container_path, directory, shared: false };
        Place { sandbox, volume, root }
    }

    fn read(place: &Place, path: &str) -> io::Result<String> {
        std::fs::read_to_string(place.sandbox.join(path))
    }

    #[test]
    fn a_volume_appears_where_it_should_and_stays_there() {
        for path in ["data", "a/b/c", "./x"] {
            let place = place(path);
            for _ in 0..2 {
                appear(&place.sandbox, std::slice::from_ref(&place.volume)).unwrap();
                assert_eq!(read(&place, &format!("{path}/data")).unwrap(), "kept");
            }
        }
    }

    #[test]
    fn another_volume_takes_the_place_of_one_before() {
        let place = place("data");
        appear(&place.sandbox, std::slice::from_ref(&place.volume)).unwrap();
        let other = place.root.path().join("other");
        std::fs::create_dir(&other).unwrap();
        std::fs::write(other.join("data"), "other").unwrap();
        let other = VolumeLink { directory: other, ..place.volume.clone() };
        appear(&place.sandbox, &[other]).unwrap();
        assert_eq!(read(&place, "data/data").unwrap(), "other");
        assert_eq!(std::fs::read_to_string(place.volume.directory.join("data")).unwrap(), "kept");
    }

    /// The attack: a path, or a link that a task put into its sandbox, leads elsewhere.
    #[test]
    fn nothing_is_made_outside_of_the_sandbox() {
        for path in ["/etc/x", "../x", "a/../../x", "", "."] {
            let place = place(path);
            assert!(appear(&place.sandbox, std::slice::from_ref(&place.volume)).is_err(), "{path}");
        }
        let place = place("way/data");
        let outside = place.root.path().join("outside");
        std::fs::create_dir(&outside).unwrap();
        std::os::unix::fs::symlink(&outside, place.sandbox.join("way")).unwrap();
        assert!(appear(&place.sandbox, std::slice::from_ref(&place.volume)).is_err());
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    }

    #[test]
    fn what_is_there_already_is_not_replaced_and_what_is_not_there_is_an_error() {
        let place = place("data");
        std::fs::write(place.sandbox.join("data"), "mine").unwrap();
        let error = appear(&place.sandbox, std::slice::from_ref(&place.volume)).unwrap_err();
        assert!(error.to_string().contains("'data'"), "{error}");
        assert_eq!(read(&place, "data").unwrap(), "mine");
        let gone = VolumeLink { directory: place.root.path().join("gone"), ..place.volume };
        assert!(appear(&place.sandbox, &[gone]).is_err());
    }

    #[test]
    fn a_volume_is_given_to_the_user_and_a_shared_one_only_once() {
        if !testkit::is_root() {
            testkit::skipped("only root can give a directory away");
            return;
        }
        let place = place("data");
        let owner = || place.volume.directory.metadata().unwrap().uid();
        let give_sandbox = |uid| std::os::unix::fs::chown(&place.sandbox, Some(uid), Some(uid));
        let shared = VolumeLink { shared: true, ..place.volume.clone() };
        give_sandbox(1234).unwrap();
        appear(&place.sandbox, std::slice::from_ref(&shared)).unwrap();
        assert_eq!(owner(), 1234);
        give_sandbox(2345).unwrap();
        appear(&place.sandbox, &[shared]).unwrap();
        assert_eq!(owner(), 1234);
        appear(&place.sandbox, std::slice::from_ref(&place.volume)).unwrap();
        assert_eq!(owner(), 2345);
    }
}
