//! The first process of a container: our `container-init`, seen from the agent.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{Child, Stdio};
use std::sync::Arc;

use launch::exit::Exit;
use launch::image::Image;
use launch::tree::{self, Process};
use launch::{Start, init};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A first process that waits for its [`Start`]. If this is dropped, it ends by itself and
/// nothing was started; [`Waiting::abandon`] leaves no trace of it either.
#[derive(Debug)]
pub(super) struct Waiting {
    child: Child,
    first: Arc<FirstProcess>,
}

/// A first process, ours or that of an earlier run of the agent.
#[derive(Debug)]
pub(super) struct FirstProcess {
    process: Process,
    pidfd: AsyncFd<OwnedFd>,
}

impl Waiting {
    /// Starts one from `image`. Its output is the container's.
    pub(super) fn spawn(image: &Image, stdout: impl Into<Stdio>, stderr: File) -> io::Result<Self> {
        let mut child = init::command(&image.path()).stdout(stdout).stderr(stderr).spawn()?;
        // It is not reaped before `FirstProcess::ended`, so that the number stays its own.
        let pid = Pid::from_child(&child);
        let process = Process::read(pid).and_then(|p| p.ok_or_else(|| Errno::SRCH.into()));
        match process.and_then(FirstProcess::new) {
            Ok(first) => Ok(Self { child, first: Arc::new(first) }),
            Err(error) => {
                reap(&mut child);
                Err(error)
            }
        }
    }

    /// The process, as it will be once it has begun.
    pub(super) fn first(&self) -> &Arc<FirstProcess> {
        &self.first
    }

    pub(super) fn process(&self) -> &Process {
        &self.first.process
    }

    /// Its standard output, if that is a pipe.
    pub(super) fn take_stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// Tells it what to start. Waits until it has read. If it cannot be told, nothing of it is
    /// left.
    pub(super) fn begin(mut self, start: &Start) -> io::Result<Arc<FirstProcess>> {
        if let Some(mut stdin) = self.child.stdin.take() {
            match start.write_to(&mut stdin) {
                // If it ended early, it says why in the container's output.
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                    reap(&mut self.child);
                    return Err(error);
                }
                _ => {}
            }
        }
        Ok(self.first)
    }

    /// Gives it up: waits until it has ended, which has started nothing.
    pub(super) fn abandon(mut self) {
        reap(&mut self.child);
    }
}

/// Ends a first process that was not told what to start, and so has started nothing.
fn reap(child: &mut Child) {
    let ended = child.kill().and_then(|()| child.wait());
    if let Err(error) = ended {
        tracing::error!(%error, "cannot end a container that was not begun");
    }
}

impl FirstProcess {
    /// Takes a process that runs. Must be called inside the runtime.
    pub(super) fn new(process: Process) -> io::Result<Self> {
        let pidfd = pidfd_open(process.pid, PidfdFlags::empty())?;
        // Whatever has the number now: is it still the same process?
        if Process::read(process.pid)?.is_none_or(|now| now.started != process.started) {
            return Err(Errno::SRCH.into());
        }
        #[expect(
            deprecated,
            reason = "its successor is unsafe, for types whose descriptor changes; `OwnedFd`'s does not"
        )]
        let pidfd = AsyncFd::with_interest(pidfd, Interest::READABLE)?;
        Ok(Self { process, pidfd })
    }

    pub(super) fn process(&self) -> Process {
        self.process
    }

    pub(super) fn pid(&self) -> Pid {
        self.process.pid
    }

    /// Waits for its end and reaps it. `None` if its status is not known, since it was started
    /// by an earlier run of the agent.
    pub(super) async fn ended(&self) -> io::Result<Option<Exit>> {
        self.pidfd.readable().await?.retain_ready();
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let status = match waitid(WaitId::PidFd(self.pidfd.as_fd()), options) {
            Ok(status) => status,
            Err(Errno::CHILD) => None,
            Err(error) => return Err(error.into()),
        };
        Ok(status.and_then(|status| match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => u8::try_from(code).ok().map(Exit::Code),
            (None, Some(number)) => Some(Exit::Signal { number, core_dumped: status.dumped() }),
            (None, None) => None,
        }))
    }

    /// Asks it to kill everything in the container and to end.
    pub(super) fn ask_to_end(&self) -> io::Result<()> {
        match pidfd_send_signal(self.pidfd.get_ref(), Signal::TERM) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Kills everything in the container, and if nothing of it is left the first process too.
    /// For one that does not do what it is asked.
    pub(super) fn kill(&self) -> io::Result<()> {
        if tree::kill_descendants(self.process.pid)? == 0 {
            self.process.signal(Signal::KILL)?;
        }
        Ok(())
    }
}
