//! What the containerizer writes down about each container's first process, so that a later run
//! of the agent finds it again and takes no other process for it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use launch::tree::Process;
use model::id::ContainerId;
use rustix::process::Pid;

/// A process, unmistakable as long as the machine runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) pid: Pid,
    /// See [`Process::started`].
    started: u64,
    /// Pids and times mean nothing after the machine started again.
    boot: String,
}

impl Record {
    /// The record of a process of ours that runs.
    pub(super) fn of(process: &Process) -> io::Result<Self> {
        Ok(Self { pid: process.pid, started: process.started, boot: boot_id()? })
    }

    /// The process, if it is still there.
    pub(super) fn find(&self) -> io::Result<Option<Process>> {
        if self.boot != boot_id()? {
            return Ok(None);
        }
        let now = Process::read(self.pid)?;
        Ok(now.filter(|process| process.started == self.started && !process.ended))
    }

    fn to_text(&self) -> String {
        format!("{} {} {}\n", self.pid.as_raw_nonzero(), self.started, self.boot)
    }

    fn from_text(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        Some(Self {
            pid: Pid::from_raw(words.next()?.parse().ok()?)?,
            started: words.next()?.parse().ok()?,
            boot: words.next()?.to_owned(),
        })
    }
}

fn boot_id() -> io::Result<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok(text.trim().to_owned())
}

/// The directory of records, one file for each container.
#[derive(Debug)]
pub(super) struct Records(PathBuf);

impl Records {
    /// Makes the directory if needed; it belongs to the agent alone.
    pub(super) fn open(runtime_dir: &Path) -> io::Result<Self> {
        let directory = runtime_dir.join("containers");
        DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        Ok(Self(directory))
    }

    pub(super) fn write(&self, container: &ContainerId, record: &Record) -> io::Result<()> {
        write_durably(&self.0.join(container.as_str()), record.to_text().as_bytes())
    }

    /// `None` if there is none, or one that says nothing.
    pub(super) fn read(&self, container: &ContainerId) -> io::Result<Option<Record>> {
        match std::fs::read_to_string(self.0.join(container.as_str())) {
            Ok(text) => Ok(Record::from_text(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn remove(&self, container: &ContainerId) -> io::Result<()> {
        match std::fs::remove_file(self.0.join(container.as_str())) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// All containers that have a record. What else lies in the directory is removed: it was
    /// being written when the agent died, before the container's program ran.
    pub(super) fn all(&self) -> io::Result<Vec<ContainerId>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.0)? {
            let entry = entry?;
            let id = entry.file_name().to_str().and_then(|name| ContainerId::new(name).ok());
            match id.filter(|id| !id.as_str().ends_with(TEMPORARY)) {
                Some(id) => found.push(id),
                None => std::fs::remove_file(entry.path())?,
            }
        }
        Ok(found)
    }
}

/// How the name of a file ends that is still being written. No id of a container, all of which
/// this agent makes, ends so.
const TEMPORARY: &str = "~new";

/// Writes a file so that after a crash of the machine it is there whole or not at all.
pub(super) fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let parent = path.parent().ok_or_else(|| io::Error::other("it is no path in a directory"))?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(TEMPORARY);
    let temporary = parent.join(name);
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    File::open(parent)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us() -> Record {
        let us = Process::read(rustix::process::getpid()).unwrap().unwrap();
        Record::of(&us).unwrap()
    }

    #[test]
    fn a_process_is_found_by_its_record() {
        let directory = tempfile::tempdir().unwrap();
        let records = Records::open(directory.path()).unwrap();
        let id = ContainerId::new("c").unwrap();
        assert_eq!(records.read(&id).unwrap(), None);
        records.write(&id, &us()).unwrap();
        let read = records.read(&id).unwrap().unwrap();
        assert_eq!(read, us());
        assert_eq!(read.find().unwrap().map(|p| p.pid), Some(rustix::process::getpid()));
        assert_eq!(records.all().unwrap(), std::slice::from_ref(&id));
        records.remove(&id).unwrap();
        records.remove(&id).unwrap();
        assert_eq!(records.all().unwrap(), []);
    }

    #[test]
    fn another_process_with_the_same_number_is_not_taken_for_it() {
        let later = Record { started: us().started + 1, ..us() };
        assert_eq!(later.find().unwrap(), None);
        let before = Record { boot: "another".into(), ..us() };
        assert_eq!(before.find().unwrap(), None);
    }

    #[test]
    fn what_was_not_written_whole_is_swept_away() {
        let directory = tempfile::tempdir().unwrap();
        let records = Records::open(directory.path()).unwrap();
        std::fs::write(directory.path().join("containers/c~new"), "12").unwrap();
        assert_eq!(records.all().unwrap(), []);
        assert!(!directory.path().join("containers/c~new").exists());
        let id = ContainerId::new("c").unwrap();
        std::fs::write(directory.path().join("containers/c"), "garbage").unwrap();
        assert_eq!(records.read(&id).unwrap(), None);
    }
}
