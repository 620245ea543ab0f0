//! One holder per directory: an advisory lock (flock) on a file in it, held as long as the
//! process lives, however it ends.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use rustix::fs::{FlockOperation, flock};

/// The lock, held until dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// What an attempt came to.
#[derive(Debug)]
pub(crate) enum Attempt {
    /// It is ours.
    Held(Lock),
    /// Somebody else holds it: the process id that it wrote, if it is readable.
    Taken { holder: Option<u32>, waiting: Waiting },
}

/// A lock that somebody else holds.
#[derive(Debug)]
pub(crate) struct Waiting(File);

/// Tries to take the lock at `path`, creating the file if need be.
pub(crate) fn try_lock(path: &Path) -> anyhow::Result<Attempt> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        // Whoever may open it may hold it.
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {
            sign(&mut file).with_context(|| format!("cannot write {}", path.display()))?;
            Ok(Attempt::Held(Lock { _file: file }))
        }
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut text = String::new();
            let holder = (&file)
                .take(32)
                .read_to_string(&mut text)
                .ok()
                .and_then(|_| text.trim().parse().ok());
            Ok(Attempt::Taken { holder, waiting: Waiting(file) })
        }
        Err(e) => Err(e).with_context(|| format!("cannot lock {}", path.display())),
    }
}

impl Waiting {
    /// Waits until the holder is gone. Blocks the thread.
    pub(crate) fn wait(mut self) -> anyhow::Result<Lock> {
        loop {
            match flock(&self.0, FlockOperation::LockExclusive) {
                Ok(()) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
        sign(&mut self.0)?;
        Ok(Lock { _file: self.0 })
    }
}

/// Writes our process id into the file, for the message of the next who tries.
fn sign(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_one_is_told_who_the_first_one_is() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("lock");
        let Attempt::Held(first) = try_lock(&path).unwrap() else { panic!("not held") };
        let Attempt::Taken { holder, waiting } = try_lock(&path).unwrap() else {
            panic!("held twice")
        };
        assert_eq!(holder, Some(std::process::id()));
        let waiter = std::thread::spawn(move || waiting.wait());
        drop(first);
        let second = waiter.join().unwrap().unwrap();
        assert!(matches!(try_lock(&path).unwrap(), Attempt::Taken { .. }));
        drop(second);
        assert!(matches!(try_lock(&path).unwrap(), Attempt::Held(_)));
    }
}
