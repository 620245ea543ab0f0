//! What is left of a container whose first process was killed.
//!
//! As long as a first process lives it is the ancestor of everything in its container. Killed
//! from outside, it takes the executor and its task with it, but not their children. Those are
//! known by their environment, which names the sandbox, and no other container has that one.

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use launch::tree::{self, Process};
use rustix::process::{Pid, Signal};

/// The variables whose value is the sandbox.
const NAMES: [&str; 2] = ["MESOS_SANDBOX", "MESOS_DIRECTORY"];

/// Rounds in which new processes are looked for; each kills all that the one before found.
const MAX_ROUNDS: usize = 64;

/// Kills everything whose environment names `sandbox`, and what is beneath it. Returns how many
/// processes there were.
pub(super) fn sweep(sandbox: &Path) -> io::Result<usize> {
    let marks = NAMES.map(|name| [name.as_bytes(), b"=", sandbox.as_os_str().as_bytes()].concat());
    let mut killed = 0;
    for _ in 0..MAX_ROUNDS {
        let found = marked(&marks)?;
        if found.is_empty() {
            return Ok(killed);
        }
        for process in found {
            tree::kill_descendants(process.pid)?;
            killed += usize::from(process.signal(Signal::KILL)?);
        }
    }
    Err(io::Error::other("new processes appear faster than they can be killed"))
}

fn marked(marks: &[Vec<u8>]) -> io::Result<Vec<Process>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let pid = name.to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        let Some(pid) = pid else { continue };
        // The process first: should its number change hands, the signal will not be sent.
        let Ok(Some(process)) = Process::read(pid) else { continue };
        // What cannot be read belongs to another user, or has ended.
        let Ok(environment) = std::fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero()))
        else {
            continue;
        };
        let mut variables = environment.split(|byte| *byte == 0);
        if !process.ended && variables.any(|variable| marks.iter().any(|mark| mark == variable)) {
            found.push(process);
        }
    }
    Ok(found)
}
