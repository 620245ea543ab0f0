//! The processes of the one task.

use std::io;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions};

use super::TaskCommand;
use launch::exit::Exit;
use launch::{enter, tree};

/// How long to wait for the end of what the task left behind after it was killed. What is still
/// there then runs as somebody else; the container's ancestor will deal with it.
const LEFTOVERS_TIMEOUT: Duration = Duration::from_secs(5);

/// The task's process, its descendants, and the orphans among them, of which this process is the
/// reaper.
#[derive(Debug, Default)]
pub(super) struct Children {
    main: Option<Pid>,
    ended: Option<(Exit, Instant)>,
    reported: bool,
}

impl Children {
    /// Makes this process the reaper of all its descendants.
    pub(super) fn adopt() -> io::Result<Self> {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        Ok(Self::default())
    }

    /// Starts the task.
    pub(super) fn start(&mut self, command: &TaskCommand) -> io::Result<()> {
        let mut child = enter::command().spawn()?;
        self.main = Some(Pid::from_child(&child));
        let written = match child.stdin.take() {
            Some(mut stdin) => command.start().write_to(&mut stdin),
            None => Ok(()),
        };
        match written {
            // A child that ended early says why by its exit status.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                child.kill()?;
                Err(error)
            }
            _ => Ok(()),
        }
    }

    /// Sends `signal` to everything that runs. What runs as somebody else by now cannot be
    /// reached; that is said on standard error.
    pub(super) fn signal(&self, signal: Signal) {
        let us = rustix::process::getpid();
        let sent = match signal {
            Signal::KILL => tree::kill_descendants(us),
            _ => tree::signal_descendants(us, signal),
        };
        if let Err(error) = sent {
            super::driver::complain(&format!("Failed to signal what the task started: {error}"));
        }
    }

    /// Whether [`Self::reap`] is to be called again soon, whatever happens.
    pub(super) fn are_ending(&self) -> bool {
        self.ended.is_some() && !self.reported
    }

    /// To be called when a child may have ended. Gives the end of the task, once, when nothing
    /// of it runs any more.
    pub(super) fn reap(&mut self) -> io::Result<Option<Exit>> {
        let none_left = self.reap_all()?;
        let Some((exit, at)) = self.ended else { return Ok(None) };
        if self.reported {
            return Ok(None);
        }
        if !none_left && at.elapsed() < LEFTOVERS_TIMEOUT {
            self.signal(Signal::KILL);
            return Ok(None);
        }
        self.reported = true;
        Ok(Some(exit))
    }

    fn reap_all(&mut self) -> io::Result<bool> {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if Some(pid) == self.main => {
                    if let Some(exit) = Exit::from_wait_status(status.as_raw()) {
                        self.ended = Some((exit, Instant::now()));
                    }
                }
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) => return Ok(false),
                Err(Errno::CHILD) => return Ok(true),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
