//! The processes beneath a process, and how to be rid of them.
//!
//! A process that is the reaper of its descendants (`PR_SET_CHILD_SUBREAPER`) keeps them beneath
//! it whatever they do: a daemon that forks twice and starts a session of its own becomes its
//! child. So as long as the reaper lives, the tree below it is everything that came from it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A process at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number, which the kernel gives to another process some time after this one ended.
    pub pid: Pid,
    /// Its parent; 0 for those that have none.
    pub parent: i32,
    /// When it started, in clock ticks since the machine did. With the pid it is unique as long
    /// as the machine runs.
    pub started: u64,
    /// Whether it has ended and waits to be reaped.
    pub ended: bool,
}

/// Rounds in which [`kill_descendants`] looks for processes that were born while it looked.
const MAX_ROUNDS: usize = 64;

impl Process {
    /// What the kernel says about `pid` now; `None` if there is no such process.
    pub fn read(pid: Pid) -> io::Result<Option<Self>> {
        let path = format!("/proc/{}/stat", pid.as_raw_nonzero());
        match std::fs::read(path) {
            Ok(stat) => Ok(Self::parse(pid, &stat)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            // The process ended between opening and reading.
            Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn parse(pid: Pid, stat: &[u8]) -> Option<Self> {
        // The second field is the program's name in parentheses and may hold anything, further
        // parentheses included; what follows the last one is ours to split.
        let end = stat.iter().rposition(|byte| *byte == b')')?;
        let rest = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next()?;
        let parent = fields.next()?.parse().ok()?;
        // Fields 20 and 22 of the line; state is field 3 and the parent field 4.
        let threads: u32 = fields.nth(15)?.parse().ok()?;
        let started = fields.nth(1)?.parse().ok()?;
        // A first thread that ended while others run on looks like a process that ended.
        let ended = matches!(state, "Z" | "X" | "x") && threads <= 1;
        Some(Self { pid, parent, started, ended })
    }

    /// Sends `signal` to this very process: not to another that has its number by now. Returns
    /// whether the process was still there.
    pub fn signal(&self, signal: Signal) -> io::Result<bool> {
        let pidfd = match pidfd_open(self.pid, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(Errno::SRCH) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        // The descriptor holds on to whatever has the number now; is it still the same one?
        match Self::read(self.pid)? {
            Some(now) if now.started == self.started => {}
            _ => return Ok(false),
        }
        match pidfd_send_signal(pidfd, signal) {
            Ok(()) => Ok(true),
            Err(Errno::SRCH) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// Every process beneath `root`, those that ended and wait to be reaped excepted.
pub fn descendants(root: Pid) -> io::Result<Vec<Process>> {
    let mut children: BTreeMap<i32, Vec<Process>> = BTreeMap::new();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let pid = name.to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        let Some(pid) = pid else { continue };
        // One that cannot be read belongs to somebody whose processes are hidden from us.
        if let Ok(Some(process)) = Process::read(pid) {
            children.entry(process.parent).or_default().push(process);
        }
    }
    let mut found = Vec::new();
    let mut open = vec![root.as_raw_nonzero().get()];
    while let Some(parent) = open.pop() {
        for child in children.remove(&parent).unwrap_or_default() {
            open.push(child.pid.as_raw_nonzero().get());
            if !child.ended {
                found.push(child);
            }
        }
    }
    Ok(found)
}

/// Sends `signal` to every process beneath `root` and returns how many there were.
pub fn signal_descendants(root: Pid, signal: Signal) -> io::Result<usize> {
    let processes = descendants(root)?;
    each(&processes, signal)?;
    Ok(processes.len())
}

/// Kills every process beneath `root` and returns how many there were. They end soon after;
/// whoever is their parent must still reap them.
///
/// They are first stopped, round after round until no new one is found, so that one that forks
/// faster than we look does not escape; then all are killed.
pub fn kill_descendants(root: Pid) -> io::Result<usize> {
    let mut stopped: BTreeSet<(i32, u64)> = BTreeSet::new();
    let mut all = descendants(root)?;
    for _ in 0..MAX_ROUNDS {
        let new: Vec<Process> = all
            .iter()
            .filter(|p| stopped.insert((p.pid.as_raw_nonzero().get(), p.started)))
            .copied()
            .collect();
        if new.is_empty() {
            break;
        }
        each(&new, Signal::STOP)?;
        all = descendants(root)?;
    }
    each(&all, Signal::KILL)?;
    Ok(all.len())
}

/// Signals each of them, also when one cannot be signalled; that is the error then.
fn each(processes: &[Process], signal: Signal) -> io::Result<()> {
    let mut result = Ok(());
    for process in processes {
        if let Err(error) = process.signal(signal) {
            let pid = process.pid.as_raw_nonzero();
            result = Err(io::Error::new(error.kind(), format!("process {pid}: {error}")));
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_with_a_name_of_parentheses_is_read() {
        let pid = Pid::from_raw(42).unwrap();
        let stat = b"42 (a) S 1 (b) Z 7 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 5559 0 0\n";
        let process = Process::parse(pid, stat).unwrap();
        assert_eq!((process.parent, process.started, process.ended), (7, 5559, true));
        assert_eq!(Process::parse(pid, b"42 (a"), None);
        assert_eq!(Process::parse(pid, b"42 (a) S 7"), None);
    }

    #[test]
    fn this_process_is_found_beneath_its_parent() {
        let pid = rustix::process::getpid();
        let us = Process::read(pid).unwrap().unwrap();
        let parent = Pid::from_raw(us.parent).unwrap();
        assert!(descendants(parent).unwrap().contains(&us));
    }

    #[test]
    fn another_process_with_the_same_number_is_not_signalled() {
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let pid = Pid::from_child(&child);
        let real = Process::read(pid).unwrap().unwrap();
        let other = Process { started: real.started + 1, ..real };
        assert!(!other.signal(Signal::KILL).unwrap());
        assert!(child.try_wait().unwrap().is_none());
        assert!(real.signal(Signal::KILL).unwrap());
        child.wait().unwrap();
        assert!(!real.signal(Signal::KILL).unwrap());
    }
}
