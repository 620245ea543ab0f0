//! Files that are read again while a daemon runs.

use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use authn::secret::Secret;
use endpoints::audit::AuditFile;
use endpoints::tls::Cause;
use tokio::time::sleep;

/// How often files are looked at.
const INTERVAL: Duration = Duration::from_secs(2);
/// A file that has just changed is left alone for so long: it may not be complete.
const SETTLE: Duration = Duration::from_millis(300);

/// The content, what there is to say about it, and what puts it in the place of the old.
type Reread = (Secret, Vec<String>, Box<dyn FnOnce()>);
/// What reads a file into its place.
type Rereading = dyn Fn(&Path) -> anyhow::Result<Reread> + Send + Sync;

/// A file, and what it is read into.
pub(crate) struct WatchedFile {
    path: PathBuf,
    /// What is in use; what is the same is not read into anything.
    used: Mutex<Secret>,
    seen: Mutex<Option<Stamp>>,
    reread: Box<Rereading>,
}

impl fmt::Debug for WatchedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WatchedFile").field(&self.path).finish()
    }
}

/// What changes when a file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    changed: (i64, i64),
    modified: (i64, i64),
}

fn stamp(path: &Path) -> Option<Stamp> {
    let of = std::fs::metadata(path).ok()?;
    Some(Stamp {
        inode: of.ino(),
        size: of.size(),
        changed: (of.ctime(), of.ctime_nsec()),
        modified: (of.mtime(), of.mtime_nsec()),
    })
}

impl WatchedFile {
    /// The file at `path`, of which `used` is in use.
    pub(crate) fn new(
        path: &Path,
        used: Secret,
        reread: impl Fn(&Path) -> anyhow::Result<Reread> + Send + Sync + 'static,
    ) -> Self {
        Self {
            path: path.to_owned(),
            used: Mutex::new(used),
            seen: Mutex::new(None),
            reread: Box::new(reread),
        }
    }

    /// Whether it may have changed since the last time that somebody asked.
    fn has_changed(&self) -> bool {
        let now = stamp(&self.path);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *seen, now) != now
    }

    /// Reads it again. What cannot be used changes nothing.
    fn read_again(&self, cause: Cause) {
        let path = self.path.display();
        // Held throughout: one reading after the other.
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        match (self.reread)(&self.path) {
            Ok((text, _, _)) if text == *used => {
                if cause != Cause::Change {
                    tracing::info!(%cause, "'{path}' is the same");
                }
            }
            Ok((text, notices, replace)) => {
                replace();
                *used = text;
                tracing::info!(%cause, "what '{path}' says counts from now on");
                for notice in notices {
                    tracing::warn!("{notice}");
                }
            }
            Err(error) => {
                tracing::error!(
                    %cause,
                    "what '{path}' said before still counts: {error:#}"
                );
            }
        }
    }
}

/// All such files of a daemon.
pub(crate) struct WatchedFiles {
    files: Vec<WatchedFile>,
    /// The audit trail, which is opened again with them.
    audit: Option<Arc<AuditFile>>,
    /// Done whenever they were read again.
    after: Box<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for WatchedFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.files.fmt(f)
    }
}

impl WatchedFiles {
    pub(crate) fn new(
        files: Vec<WatchedFile>,
        audit: Option<Arc<AuditFile>>,
        after: impl Fn() + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { files, audit, after: Box::new(after) })
    }

    /// Whether there is none, and no audit trail either.
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.audit.is_none()
    }

    /// Writes what of the audit trail is still to be written.
    pub(crate) fn close(&self) {
        if let Some(audit) = &self.audit {
            audit.close();
        }
    }

    /// Reads all of them again; what came of it is in the log.
    pub(crate) async fn reload(self: Arc<Self>, cause: Cause) {
        if let Some(audit) = &self.audit {
            audit.reopen();
        }
        blocking(move || {
            for file in &self.files {
                file.has_changed();
                file.read_again(cause);
            }
            (self.after)();
        })
        .await;
    }

    /// Reads those again that change, for as long as the daemon runs.
    pub(crate) async fn watch(self: Arc<Self>) {
        if self.files.is_empty() {
            return std::future::pending().await;
        }
        loop {
            let looking = Arc::clone(&self);
            let changed = blocking(move || {
                let changed =
                    looking.files.iter().enumerate().filter(|(_, file)| file.has_changed());
                changed.map(|(n, _)| n).collect::<Vec<_>>()
            });
            let changed = changed.await.unwrap_or_default();
            if !changed.is_empty() {
                sleep(SETTLE).await;
                let reading = Arc::clone(&self);
                blocking(move || {
                    for file in changed.into_iter().filter_map(|n| reading.files.get(n)) {
                        file.read_again(Cause::Change);
                    }
                    (reading.after)();
                })
                .await;
            }
            sleep(INTERVAL).await;
        }
    }
}

/// Runs what reads from disks where it may take long.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Some(done),
        Err(error) => {
            tracing::error!(%error, "files could not be read again");
            None
        }
    }
}

#[cfg(test)]
mod authn_reload {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn a_file_is_read_into_its_place_when_it_says_something_else_that_can_be_used() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "1").unwrap();
        let value = Arc::new(AtomicUsize::new(1));
        let replaced = Arc::new(AtomicUsize::new(0));
        let (into, times) = (Arc::clone(&value), Arc::clone(&replaced));
        let watched = WatchedFile::new(file.path(), Secret::from("1"), move |path| {
            let text = std::fs::read_to_string(path)?;
            let number = text.parse()?;
            let (into, times) = (Arc::clone(&into), Arc::clone(&times));
            Ok((
                Secret::from(&*text),
                Vec::new(),
                Box::new(move || {
                    into.store(number, Ordering::Relaxed);
                    times.fetch_add(1, Ordering::Relaxed);
                }),
            ))
        });
        assert!(watched.has_changed(), "nobody has looked yet");
        assert!(!watched.has_changed());
        for (text, expected, times) in [("1", 1, 0), ("22", 22, 1), ("x", 22, 1), ("3", 3, 2)] {
            std::fs::write(file.path(), text).unwrap();
            watched.read_again(Cause::Change);
            assert_eq!(value.load(Ordering::Relaxed), expected, "{text}");
            assert_eq!(replaced.load(Ordering::Relaxed), times, "{text}");
        }
        std::fs::write(file.path(), "longer").unwrap();
        assert!(watched.has_changed());
        std::fs::remove_file(file.path()).unwrap();
        watched.read_again(Cause::Signal);
        assert_eq!(value.load(Ordering::Relaxed), 3, "what is gone changes nothing");
    }
}
