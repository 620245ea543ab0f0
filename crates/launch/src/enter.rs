//! The last stage: becomes the user, then the program.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Pid, Signal};

use crate::image::{THIS_PROGRAM, sealed_bytes};
use crate::{Input, Program, Start, User, descriptors};

/// The argument of [`crate::init::COMMAND`] that asks for this stage; the pid of the process
/// that started it follows.
pub const ARGUMENT: &str = "enter";

/// The code under which shells report that a program was not found.
const NOT_FOUND: u8 = 127;
/// The code under which shells report that a program could not be started.
const NOT_STARTED: u8 = 126;

/// A command that runs this stage from [`THIS_PROGRAM`]; a [`Start`] on its standard input tells
/// it what to become. Its standard output and error are the program's.
#[must_use]
pub fn command() -> Command {
    let mut command = Command::new(THIS_PROGRAM);
    prepare(&mut command);
    command
}

/// The same from an image of this program at `program`.
#[must_use]
pub fn command_from(program: &Path) -> Command {
    let mut command = Command::new(program);
    prepare(&mut command);
    command
}

fn prepare(command: &mut Command) {
    let us = rustix::process::getpid().as_raw_nonzero().to_string();
    command.arg0("alcazar").args([crate::init::COMMAND, ARGUMENT, &us]);
    command.env_clear().stdin(std::process::Stdio::piped());
}

/// Runs the stage. Returns only if the program could not be started, after saying so on standard
/// error.
pub(crate) fn main(arguments: &[OsString]) -> ExitCode {
    let failed = |what: &str, error: &dyn std::fmt::Display, code| {
        // Standard error may be gone; the exit code tells as well.
        let _ = writeln!(io::stderr(), "Failed to {what}: {error}");
        ExitCode::from(code)
    };
    let parent = match arguments {
        [pid] => pid.to_str().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw),
        _ => None,
    };
    let Some(parent) = parent else {
        return failed("start", &"expected the pid of the starting process", NOT_STARTED);
    };
    // What arrives below is secret in part: no other process of this user may look.
    if let Err(error) = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        return failed("hide its memory", &error, NOT_STARTED);
    }
    if let Err(error) = descriptors::close_all_at_exec() {
        return failed("close inherited descriptors", &error, NOT_STARTED);
    }
    let start = match Start::read_from(&mut io::stdin().lock()) {
        Ok(start) => start,
        Err(error) => return failed("learn what to start", &error, NOT_STARTED),
    };
    if let Err((what, error)) = become_ready(&start, parent) {
        return failed(what, &error, NOT_STARTED);
    }
    let error = become_program(start);
    let (program, error) = error;
    let code = match error.kind() {
        io::ErrorKind::NotFound => NOT_FOUND,
        _ => NOT_STARTED,
    };
    failed(&format!("execute '{program}'"), &error, code)
}

/// Everything before the program, in an order that matters: privileges are dropped before
/// anything is touched that the user names.
fn become_ready(start: &Start, parent: Pid) -> Result<(), (&'static str, io::Error)> {
    let step = |what: &'static str| move |error: Errno| (what, io::Error::from(error));
    rustix::process::setsid().map_err(step("start a session"))?;
    if let Some(user) = &start.user {
        become_user(user).map_err(|error| ("become the user of the container", error))?;
    }
    if !start.may_gain_privileges {
        rustix::thread::set_no_new_privs(true).map_err(step("give up new privileges"))?;
    }
    // The stage before waits for signals instead of being interrupted; the program is to have
    // its own way with them.
    nix::sys::signal::SigSet::empty()
        .thread_set_mask()
        .map_err(|error| ("unblock signals", error.into()))?;
    rustix::process::umask(Mode::from_bits_truncate(0o022));
    // The kernel forgets this when the user changes: it comes after.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(step("be tied to the parent's life"))?;
    if rustix::process::getppid() != Some(parent) {
        let gone = io::Error::other("the process that started it has ended");
        return Err(("start", gone));
    }
    std::env::set_current_dir(&start.directory)
        .map_err(|error| ("enter the working directory", error))?;
    let input = match &start.input {
        Input::Null => File::open("/dev/null"),
        Input::Bytes(bytes) => sealed_bytes(bytes),
    }
    .map_err(|error| ("prepare standard input", error))?;
    rustix::stdio::dup2_stdin(&input).map_err(step("prepare standard input"))
}

fn become_user(user: &User) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    let groups: Vec<Gid> = user.groups.iter().copied().map(Gid::from_raw).collect();
    setgroups(&groups)?;
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)?;
    Ok(())
}

fn become_program(start: Start) -> (String, io::Error) {
    let mut command = match &start.program {
        Program::Ourselves => Command::new(THIS_PROGRAM),
        Program::Named(name) => Command::new(name),
    };
    if let Some((name, arguments)) = start.arguments.split_first() {
        command.arg0(name).args(arguments);
    }
    command.env_clear().envs(&start.environment);
    let error = command.exec();
    (command.get_program().to_string_lossy().into_owned(), error)
}
