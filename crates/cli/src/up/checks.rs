//! What `up` makes sure of before it starts anything. Each failure is one line that says what to
//! do about it.

use std::ffi::CString;
use std::fs::{DirBuilder, Permissions};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use nix::unistd::{Gid, Uid, User};

use crate::lock::{Attempt, Lock, try_lock};
use crate::state_dir::StateDir;

/// Makes the directory with this mode. One that is there already is left as it is, and must be
/// ours alone to write in; a link to one counts as that.
pub(crate) fn make_dir(path: &Path, mode: u32) -> anyhow::Result<()> {
    let real = match path.canonicalize() {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return make_new(path, mode),
        real => real.with_context(|| format!("cannot read {}", path.display()))?,
    };
    is_ours_alone(&real)
}

/// Makes a directory, and those above it that are missing, which everybody may go through.
fn make_new(path: &Path, mode: u32) -> anyhow::Result<()> {
    let above = path.parent().filter(|above| !above.exists());
    above.map_or(Ok(()), |above| make_new(above, 0o755))?;
    let cannot = || format!("cannot create {}", path.display());
    DirBuilder::new().mode(0o700).create(path).with_context(cannot)?;
    // Not when it is made: the umask would have its say.
    std::fs::set_permissions(path, Permissions::from_mode(mode))
        .with_context(|| format!("cannot set the permissions of {}", path.display()))
}

/// Nobody else may put anything into the directory, or change it.
fn is_ours_alone(path: &Path) -> anyhow::Result<()> {
    let shown = path.display();
    let meta = std::fs::metadata(path).with_context(|| format!("cannot read {shown}"))?;
    if !meta.is_dir() {
        bail!("{shown} is no directory: use another --state-dir")
    }
    if meta.uid() != Uid::effective().as_raw() {
        bail!("{shown} belongs to another user: use a --state-dir of your own")
    }
    if meta.mode() & 0o022 != 0 {
        bail!("others may write in {shown}: use another --state-dir, or close it (chmod go-w)")
    }
    Ok(())
}

/// Takes the state directory for this `up` alone.
pub(crate) fn take_state_dir(dir: &StateDir) -> anyhow::Result<Lock> {
    make_dir(dir.path(), 0o755)?;
    match try_lock(&dir.lock_file())? {
        Attempt::Held(lock) => Ok(lock),
        Attempt::Taken { holder, .. } => {
            let holder = holder.map_or_else(String::new, |pid| format!(" (process {pid})"));
            bail!(
                "an `alcazar up`{holder} already runs in {}: stop it, or use another --state-dir",
                dir.path().display()
            )
        }
    }
}

/// The port is free on the address, right now.
pub(crate) fn port_is_free(ip: IpAddr, port: u16) -> anyhow::Result<()> {
    match TcpListener::bind(SocketAddr::new(ip, port)) {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => {
            bail!("port {port} is in use: choose others with --port")
        }
        Err(e) => Err(e).with_context(|| format!("cannot listen on {ip}:{port}")),
    }
}

/// A user and the groups it belongs to.
#[derive(Clone, Debug)]
pub(crate) struct TaskUser {
    pub(crate) name: String,
    uid: Uid,
    groups: Vec<Gid>,
}

impl TaskUser {
    /// Looks the user up.
    pub(crate) fn named(name: &str) -> anyhow::Result<Self> {
        let user = User::from_name(name)
            .with_context(|| format!("cannot look up the user `{name}`"))?
            .with_context(|| format!("there is no user `{name}`"))?;
        Self::from(user)
    }

    /// The user that this program runs as.
    pub(crate) fn ours() -> anyhow::Result<Self> {
        let uid = Uid::effective();
        let user = User::from_uid(uid)
            .with_context(|| format!("cannot look up user {uid}"))?
            .with_context(|| format!("user {uid} has no name"))?;
        Self::from(user)
    }

    fn from(user: User) -> anyhow::Result<Self> {
        let name = CString::new(user.name.clone()).context("a user name holds a NUL byte")?;
        let groups = nix::unistd::getgrouplist(&name, user.gid)
            .with_context(|| format!("cannot look up the groups of `{}`", user.name))?;
        Ok(Self { name: user.name, uid: user.uid, groups })
    }

    /// Whether tasks of this user may do everything on this machine.
    pub(crate) fn is_root(&self) -> bool {
        self.uid.is_root()
    }

    /// Whether the mode bits let this user go through a directory.
    fn may_enter(&self, mode: u32, owner: u32, group: u32) -> bool {
        if self.uid.is_root() {
            true
        } else if owner == self.uid.as_raw() {
            mode & 0o100 != 0
        } else if self.groups.contains(&Gid::from_raw(group)) {
            mode & 0o010 != 0
        } else {
            mode & 0o001 != 0
        }
    }

    /// Whether this user can go through every directory down to `dir`. Its tasks have their
    /// sandboxes below.
    pub(crate) fn can_reach(&self, dir: &Path) -> anyhow::Result<()> {
        let real = dir.canonicalize().with_context(|| format!("cannot read {}", dir.display()))?;
        let mut ancestors: Vec<&Path> = real.ancestors().collect();
        ancestors.reverse();
        for path in ancestors {
            let meta = std::fs::metadata(path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            if !self.may_enter(meta.mode(), meta.uid(), meta.gid()) {
                bail!(
                    "tasks run as `{}`, who cannot enter {}: use a --state-dir outside of it, \
                     or make it passable (chmod o+x)",
                    self.name,
                    path.display()
                )
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(uid: u32, groups: &[u32]) -> TaskUser {
        TaskUser {
            name: "u".into(),
            uid: Uid::from_raw(uid),
            groups: groups.iter().map(|g| Gid::from_raw(*g)).collect(),
        }
    }

    #[test]
    fn the_bits_that_count_are_those_of_owner_else_group_else_others() {
        let u = user(1000, &[100]);
        let table = [
            (0o700, 1000, 0, true),
            (0o077, 1000, 100, false),
            (0o070, 0, 100, true),
            (0o701, 0, 100, false),
            (0o701, 0, 0, true),
            (0o700, 0, 0, false),
        ];
        for (mode, owner, group, expected) in table {
            assert_eq!(u.may_enter(mode, owner, group), expected, "{mode:o} {owner}:{group}");
        }
        assert!(user(0, &[]).may_enter(0, 1, 1));
    }

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn only_what_was_made_here_gets_a_mode() {
        let temp = tempfile::tempdir().unwrap();
        set_mode(temp.path(), 0o700);
        let made = temp.path().join("a/b");
        make_dir(&made, 0o711).unwrap();
        assert_eq!((mode(&made), mode(&temp.path().join("a"))), (0o711, 0o755));
        assert_eq!(mode(temp.path()), 0o700, "it was there before");
        for before in [0o700, 0o751] {
            set_mode(&made, before);
            make_dir(&made, 0o755).unwrap();
            assert_eq!(mode(&made), before);
        }
        let link = temp.path().join("link");
        std::os::unix::fs::symlink(&made, &link).unwrap();
        for open in [0o1777, 0o770, 0o702] {
            set_mode(&made, open);
            for path in [&made, &link] {
                let error = make_dir(path, 0o755).unwrap_err().to_string();
                assert!(error.starts_with("others may write in "), "{error}");
                assert!(error.contains("a/b"), "{error}");
            }
            assert_eq!(mode(&made), open);
        }
    }

    #[test]
    fn a_directory_of_somebody_else_and_what_is_none_are_refused() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = make_dir(&file, 0o755).unwrap_err().to_string();
        assert!(error.contains("is no directory"), "{error}");
        // Root's, unless root runs this: then it gives one away.
        let other = if Uid::effective().is_root() {
            nix::unistd::chown(temp.path(), Some(Uid::from_raw(4_000_000)), None).unwrap();
            temp.path()
        } else {
            Path::new("/usr")
        };
        let error = make_dir(other, 0o755).unwrap_err().to_string();
        assert!(error.contains("belongs to another user"), "{error}");
    }

    #[test]
    fn a_closed_parent_is_named() {
        let temp = tempfile::tempdir().unwrap();
        let closed = temp.path().join("closed");
        let inside = closed.join("state");
        make_dir(&inside, 0o755).unwrap();
        set_mode(&closed, 0o700);
        set_mode(temp.path(), 0o755);
        // Nobody here: the id belongs to no user of the machine that runs the test.
        let error = user(4_000_000, &[]).can_reach(&inside).unwrap_err().to_string();
        let name = closed.canonicalize().unwrap();
        assert!(error.contains(&format!("cannot enter {}:", name.display())), "{error}");
        user(0, &[]).can_reach(&inside).unwrap();
    }

    #[test]
    fn a_second_up_is_refused_by_one_line() {
        let temp = tempfile::tempdir().unwrap();
        let dir = StateDir::resolve(Some(temp.path())).unwrap();
        let _held = take_state_dir(&dir).unwrap();
        let error = take_state_dir(&dir).unwrap_err().to_string();
        assert!(error.starts_with("an `alcazar up` (process "), "{error}");
        assert!(!error.contains('\n'));
    }

    #[test]
    fn a_port_in_use_names_the_flag() {
        let ip: IpAddr = [127, 0, 0, 1].into();
        let listener = TcpListener::bind((ip, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let error = port_is_free(ip, port).unwrap_err().to_string();
        assert_eq!(error, format!("port {port} is in use: choose others with --port"));
    }
}
