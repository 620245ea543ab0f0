//! The audit trail in a file of its own.
//!
//! Lines are appended by a thread, so that nobody waits for the disk; what waits for the thread is
//! bounded. A line that cannot be kept is counted, and how many there were is the next line that
//! can.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use authn::audit::{AuditTrail, Decision};
use transport::seldom;
use wire::json;

use super::line;

/// How many decisions wait to be written, at most.
const WAITING: usize = 16 * 1024;
/// How many bytes are written at once, about.
const BATCH: usize = 64 * 1024;

/// The file cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot append to the audit trail {}: {source}", path.display())]
pub struct AuditError {
    path: PathBuf,
    source: io::Error,
}

/// A file to which each decision is appended as one line of JSON. Nobody but its owner can read it
/// if it is made here. When it was renamed or removed, as programs that rotate logs do, the next
/// line begins a new one.
#[derive(Debug)]
pub struct AuditFile {
    queue: Mutex<Option<SyncSender<Decision>>>,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    reopen: AtomicBool,
    written: AtomicU64,
    lost: AtomicU64,
}

impl AuditFile {
    /// Appends to the file at `path`, and makes it if it is not there.
    pub fn open(path: &Path) -> Result<Arc<Self>, AuditError> {
        let failed = |source| AuditError { path: path.to_owned(), source };
        let file = open(path).map_err(failed)?;
        let shared = Arc::new(Shared::default());
        let (queue, decisions) = sync_channel(WAITING);
        let writer = Writer { path: path.to_owned(), file, shared: Arc::clone(&shared), told: 0 };
        let thread = std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || writer.run(&decisions))
            .map_err(failed)?;
        let (queue, thread) = (Mutex::new(Some(queue)), Mutex::new(Some(thread)));
        Ok(Arc::new(Self { queue, shared, thread }))
    }

    /// Opens the file again before the next line, as SIGHUP asks.
    pub fn reopen(&self) {
        self.shared.reopen.store(true, Ordering::Relaxed);
    }

    /// How many decisions were written, and how many could not be.
    #[must_use]
    pub fn totals(&self) -> (u64, u64) {
        let Shared { written, lost, .. } = &*self.shared;
        (written.load(Ordering::Relaxed), lost.load(Ordering::Relaxed))
    }

    /// Writes what waits and ends. Decisions after that are lost.
    pub fn close(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the thread of the audit trail panicked");
        }
    }
}

impl Drop for AuditFile {
    fn drop(&mut self) {
        self.close();
    }
}

impl AuditTrail for AuditFile {
    fn append(&self, decision: &Decision) {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = queue.as_ref().is_some_and(|queue| queue.try_send(decision.clone()).is_ok());
        drop(queue);
        if !taken {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
            seldom!(error, "the audit trail is not written as fast as decisions are made");
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// What the thread owns.
struct Writer {
    path: PathBuf,
    file: File,
    shared: Arc<Shared>,
    /// Of how many lost decisions the file tells.
    told: u64,
}

impl Writer {
    fn run(mut self, decisions: &Receiver<Decision>) {
        let mut batch = Vec::with_capacity(BATCH);
        while let Ok(first) = decisions.recv() {
            batch.clear();
            let mut count = 0;
            let mut next = Some(first);
            while let Some(decision) = next {
                line::write(&decision, &mut batch);
                count += 1;
                next = if batch.len() < BATCH { decisions.try_recv().ok() } else { None };
            }
            if let Err(error) = self.write(&mut batch) {
                self.shared.lost.fetch_add(count, Ordering::Relaxed);
                let path = self.path.display();
                seldom!(error, %error, "cannot write to the audit trail {path}");
            } else {
                self.shared.written.fetch_add(count, Ordering::Relaxed);
            }
        }
    }

    fn write(&mut self, batch: &mut Vec<u8>) -> io::Result<()> {
        if self.shared.reopen.swap(false, Ordering::Relaxed) || self.is_elsewhere()? {
            self.file = open(&self.path)?;
        }
        let lost = self.shared.lost.load(Ordering::Relaxed);
        if lost > self.told {
            json::object(batch, |o| {
                o.field("lost", lost - self.told);
            });
            batch.push(b'\n');
        }
        self.file.write_all(batch)?;
        self.told = lost;
        Ok(())
    }

    /// Whether what is at the path is not the file that is open.
    fn is_elsewhere(&self) -> io::Result<bool> {
        match std::fs::metadata(&self.path) {
            Ok(there) => {
                let own = self.file.metadata()?;
                Ok((there.dev(), there.ino()) != (own.dev(), own.ino()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod authn_audit_file;
