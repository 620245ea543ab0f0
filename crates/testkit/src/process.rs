//! Real processes, stopped by their process id, with output that tests can wait for.

use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, kill_process, pidfd_open, pidfd_send_signal, waitpid,
};

/// How long a fixture waits for something that has no reason to take long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running program. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Process {
    /// Starts `command` with its output kept line by line, standard error too.
    ///
    /// # Panics
    /// If the program cannot be started.
    pub fn start(mut command: Command) -> Self {
        let name = PathBuf::from(command.get_program())
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let (sender, lines) = channel();
        keep_lines(child.stdout.take().expect("piped"), sender.clone());
        keep_lines(child.stderr.take().expect("piped"), sender);
        Self { name, child, lines, seen: Vec::new() }
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line that holds `text` and returns it.
    ///
    /// # Panics
    /// If the program ends, or [`PATIENCE`] runs out, before such a line.
    pub fn wait_for_line(&mut self, text: &str) -> String {
        if let Some(line) = self.seen.iter().find(|line| line.contains(text)) {
            return line.clone();
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    panic!(
                        "{}: no line with `{text}` in time:\n{}",
                        self.name,
                        self.seen.join("\n")
                    )
                }
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("{}: ended without `{text}`:\n{}", self.name, self.seen.join("\n"))
                }
            }
        }
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// If the process is not there any more.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a running process");
    }

    /// Stops the program where it is and returns once it has stopped.
    ///
    /// # Panics
    /// If it ends instead.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
        let pid = Pid::from_child(&self.child);
        let (_, status) =
            waitpid(Some(pid), WaitOptions::UNTRACED).expect("our child").expect("waited for");
        assert!(status.stopped(), "{} ended instead of stopping: {status:?}", self.name);
    }

    /// Lets a stopped program go on.
    ///
    /// # Panics
    /// If the process is not there any more.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Waits until the program has ended and returns how, and everything it printed.
    ///
    /// # Panics
    /// If [`PATIENCE`] runs out.
    pub fn wait(mut self) -> (ExitStatus, Vec<String>) {
        let deadline = Instant::now() + PATIENCE;
        // Its output ends when the program (and whatever shares its output) has ended.
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("{}: did not end in time:\n{}", self.name, self.seen.join("\n"))
                }
            }
        }
        let status = self.child.wait().expect("a child can be waited for");
        (status, std::mem::take(&mut self.seen))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // Nothing can be done about a failure here, and none is possible for a running child.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            self.seen.extend(self.lines.try_iter());
            eprintln!("--- output of {} ---\n{}", self.name, self.seen.join("\n"));
        }
    }
}

/// A process that need not be our child, held such that its id cannot come to mean another one.
#[derive(Debug)]
pub struct Watched {
    id: u32,
    descriptor: OwnedFd,
}

impl Watched {
    /// Watches a running process.
    ///
    /// # Panics
    /// If there is none with this id.
    #[must_use]
    pub fn new(id: u32) -> Self {
        let pid = i32::try_from(id).ok().and_then(Pid::from_raw).expect("a process id");
        let descriptor = pidfd_open(pid, PidfdFlags::empty())
            .unwrap_or_else(|e| panic!("there is no process {id}: {e}"));
        Self { id, descriptor }
    }

    /// Kills the process and returns once it has ended.
    ///
    /// # Panics
    /// If it had ended before, or does not end.
    pub fn kill(&self) {
        pidfd_send_signal(&self.descriptor, Signal::KILL).expect("a running process");
        self.wait();
    }

    /// Waits until the process has ended, whether or not its parent has taken note.
    ///
    /// # Panics
    /// If [`PATIENCE`] runs out.
    pub fn wait(&self) {
        // A pidfd becomes readable when its process has ended.
        let mut polled = [PollFd::new(&self.descriptor, PollFlags::IN)];
        let patience = Timespec::try_from(PATIENCE).expect("a short time");
        let ready = poll(&mut polled, Some(&patience)).expect("poll");
        assert_eq!(ready, 1, "process {} did not end in time", self.id);
    }
}

/// Asks again and again until there is an answer, and returns it; `what` says what is awaited.
///
/// # Panics
/// If [`PATIENCE`] runs out.
#[track_caller]
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn keep_lines(stream: impl Read + Send + 'static, into: Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines() {
            let Ok(line) = line else { break };
            if into.send(line).is_err() {
                break;
            }
        }
    });
}
