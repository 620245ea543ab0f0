//! The first stage: a container's ancestor, which lets nothing survive.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Pid, WaitOptions};

use crate::exit::Exit;
use crate::{Start, descriptors, enter, tree};

/// The hidden command of this program under which the stages of this crate run.
pub const COMMAND: &str = "container-init";

/// How long to wait for killed processes before looking again.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// A command that runs this stage from the image of this program at `program`. A [`Start`] on
/// its standard input lets it begin; if that ends before, so does the stage. Its standard output
/// and error become the container's.
#[must_use]
pub fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg0("alcazar").arg(COMMAND).env_clear().stdin(Stdio::piped());
    command
}

/// Runs this stage, or the one that `arguments` name. To be called when the program is called
/// with [`COMMAND`]; `arguments` are those that follow it.
///
/// To be called first thing: the process must have one thread.
#[must_use]
pub fn main(arguments: &[OsString]) -> ExitCode {
    match arguments.split_first() {
        Some((stage, rest)) if stage == enter::ARGUMENT => enter::main(rest),
        Some((stage, _)) => {
            let _ = writeln!(io::stderr(), "Unknown stage '{}'", stage.to_string_lossy());
            ExitCode::FAILURE
        }
        None => match supervise() {
            Ok(exit) => end_as(exit),
            Err(error) => {
                // Standard error may be gone; the exit code tells as well.
                let _ = writeln!(io::stderr(), "Failed to start the container: {error}");
                ExitCode::FAILURE
            }
        },
    }
}

fn supervise() -> io::Result<Exit> {
    descriptors::close_all_at_exec()?;
    // What arrives below is secret in part: no other process of this user may look.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    rustix::process::setsid()?;
    let us = rustix::process::getpid();
    rustix::process::set_child_subreaper(Some(us))?;
    let start = Start::read_from(&mut io::stdin().lock())?;
    let null = std::fs::File::open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;

    let signals = Signals::block()?;
    let mut child = enter::command().spawn()?;
    let main = Pid::from_child(&child);
    if let Some(mut stdin) = child.stdin.take() {
        // A child that ended early says why by its exit status.
        if let Err(error) = start.write_to(&mut stdin)
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            return Err(error);
        }
    }
    drop(start);

    let mut ended = None;
    let mut complained = false;
    loop {
        let none_left = reap(main, &mut ended)?;
        if none_left {
            return ended.ok_or_else(|| io::Error::other("lost the process of the container"));
        }
        let ending = ended.is_some() || signals.asked_to_end();
        if ending
            && let Err(error) = tree::kill_descendants(us)
            && !std::mem::replace(&mut complained, true)
        {
            let _ = writeln!(io::stderr(), "Failed to kill what is left: {error}");
        }
        signals.wait(ending.then_some(LOOK_AGAIN))?;
    }
}

/// Reaps all children that have ended, notes the status of `main`, and returns whether there are
/// no children left.
fn reap(main: Pid, ended: &mut Option<Exit>) -> io::Result<bool> {
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid == main => {
                *ended = Exit::from_wait_status(status.as_raw()).or(*ended);
            }
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => return Ok(false),
            Err(Errno::CHILD) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Ends this process as the program of the container ended.
fn end_as(exit: Exit) -> ExitCode {
    if let Exit::Signal { number, .. } = exit
        && let Ok(signal) = Signal::try_from(number)
        && SigSet::empty().thread_set_mask().is_ok()
    {
        // If this process does not end by it, the code below says the same.
        let _ = nix::sys::signal::raise(signal);
    }
    ExitCode::from(exit.shell_code())
}

/// The signals that the stage waits for instead of being interrupted by them.
struct Signals {
    file: SignalFd,
    asked: std::cell::Cell<bool>,
}

impl Signals {
    fn block() -> io::Result<Self> {
        let mut set = SigSet::empty();
        for signal in
            [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGHUP]
        {
            set.add(signal);
        }
        set.thread_block()?;
        let file = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Self { file, asked: std::cell::Cell::new(false) })
    }

    /// Whether a signal asked this process to end, and the container with it.
    fn asked_to_end(&self) -> bool {
        self.asked.get()
    }

    /// Waits for the next signal.
    fn wait(&self, at_most: Option<Duration>) -> io::Result<()> {
        let timeout = at_most
            .map(|duration| Timespec::try_from(duration).map_err(io::Error::other))
            .transpose()?;
        match poll(&mut [PollFd::new(&self.file, PollFlags::IN)], timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        while let Some(signal) = self.file.read_signal()? {
            if i32::try_from(signal.ssi_signo) != Ok(Signal::SIGCHLD as i32) {
                self.asked.set(true);
            }
        }
        Ok(())
    }
}
