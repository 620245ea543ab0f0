//! Where a cluster of this machine keeps its things, and what lies where in it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// The directory of one cluster. The path is absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StateDir(PathBuf);

impl StateDir {
    /// What was asked for, or the default of this user.
    pub(crate) fn resolve(given: Option<&Path>) -> anyhow::Result<Self> {
        match given {
            Some(path) if path.as_os_str().is_empty() => bail!("--state-dir is empty"),
            Some(path) => std::path::absolute(path)
                .map(Self)
                .with_context(|| format!("cannot make {} absolute", path.display())),
            None => Self::default_for(
                rustix::process::geteuid().is_root(),
                std::env::var_os("XDG_STATE_HOME"),
                std::env::var_os("HOME"),
            ),
        }
    }

    /// `/var/lib/alcazar` for root, else below the user's state directory (XDG).
    fn default_for(
        root: bool,
        xdg_state_home: Option<OsString>,
        home: Option<OsString>,
    ) -> anyhow::Result<Self> {
        if root {
            return Ok(Self(PathBuf::from("/var/lib/alcazar")));
        }
        // The XDG specification: a relative path is to be ignored.
        if let Some(dir) = xdg_state_home.map(PathBuf::from).filter(|d| d.is_absolute()) {
            return Ok(Self(dir.join("alcazar")));
        }
        match home.map(PathBuf::from).filter(|d| d.is_absolute()) {
            Some(home) => Ok(Self(home.join(".local/state/alcazar"))),
            None => bail!("HOME is not set: say where the cluster's state is with --state-dir"),
        }
    }

    /// Whether it is the directory that commands use when told nothing.
    pub(crate) fn is_default(&self) -> bool {
        std::env::var_os("ALCAZAR_STATE_DIR").is_none()
            && Self::resolve(None).is_ok_and(|default| default == *self)
    }

    /// The directory itself.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// What client commands need to know; world-readable.
    pub(crate) fn cluster_file(&self) -> PathBuf {
        self.0.join("cluster.json")
    }

    /// Held by the one `up` that runs here.
    pub(crate) fn lock_file(&self) -> PathBuf {
        self.0.join("up.lock")
    }

    /// CA, certificates and keys.
    pub(crate) fn pki(&self) -> PathBuf {
        self.0.join("pki")
    }

    /// What the daemons wrote to stderr.
    pub(crate) fn log_file(&self, daemon: &str) -> PathBuf {
        self.0.join("logs").join(format!("{daemon}.log"))
    }

    /// Where a daemon writes down who came in and who was refused.
    pub(crate) fn audit_file(&self, daemon: &str) -> PathBuf {
        self.0.join("logs").join(format!("{daemon}.audit.log"))
    }

    /// The `work_dir` of a daemon.
    pub(crate) fn work_dir(&self, daemon: &str) -> PathBuf {
        self.0.join(daemon)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_follows_user_and_xdg() {
        let dir = |root, xdg: Option<&str>, home: Option<&str>| {
            StateDir::default_for(root, xdg.map(Into::into), home.map(Into::into))
                .map(|d| d.path().to_str().unwrap().to_owned())
        };
        assert_eq!(dir(true, Some("/x"), Some("/h")).unwrap(), "/var/lib/alcazar");
        assert_eq!(dir(false, Some("/x"), Some("/h")).unwrap(), "/x/alcazar");
        assert_eq!(dir(false, Some("x"), Some("/h")).unwrap(), "/h/.local/state/alcazar");
        assert_eq!(dir(false, None, Some("/h")).unwrap(), "/h/.local/state/alcazar");
        assert!(dir(false, None, None).is_err());
        assert!(dir(false, None, Some("")).is_err());
    }

    #[test]
    fn what_was_asked_for_becomes_absolute() {
        let dir = StateDir::resolve(Some(Path::new("a/b"))).unwrap();
        assert!(dir.path().is_absolute() && dir.path().ends_with("a/b"));
        assert!(StateDir::resolve(Some(Path::new(""))).is_err());
    }
}
