//! The passphrase of an encrypted key. It is never printed and erased when it is not needed any
//! more.

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tls_policy::PassphraseSource;
use zeroize::Zeroizing;

/// A passphrase.
pub(super) type Passphrase = Zeroizing<Vec<u8>>;

/// Longer ones are an error.
const MOST: usize = 1024;
/// How long a command may take until it has ended.
const DEADLINE: Duration = Duration::from_secs(30);

/// Why there is no passphrase.
#[derive(Debug, thiserror::Error)]
pub enum PassphraseError {
    /// The command failed.
    #[error("the command for the passphrase ended with {0}")]
    Command(std::process::ExitStatus),
    /// The command took too long and was killed.
    #[error("the command for the passphrase did not end within {0:?}")]
    Deadline(Duration),
    /// The first line is empty.
    #[error("the passphrase is empty")]
    Empty,
    /// systemd gave this program no credentials.
    #[error("the passphrase is the systemd credential `{0}`, but CREDENTIALS_DIRECTORY is not set")]
    NoCredentials(String),
    /// A name of a credential that is no name of a file.
    #[error("`{0}` cannot be the name of a credential")]
    CredentialName(String),
    /// It cannot be read.
    #[error("cannot read the passphrase from {0}")]
    Read(String, #[source] io::Error),
    /// It is longer than any passphrase.
    #[error("the passphrase is longer than {MOST} bytes")]
    TooLong,
}

/// Gets the passphrase. `credentials` is the directory that systemd names. Blocks.
pub(super) fn passphrase(
    source: &PassphraseSource,
    credentials: Option<PathBuf>,
) -> Result<Passphrase, PassphraseError> {
    match source {
        PassphraseSource::File(path) => from_file(path),
        PassphraseSource::Credential(name) => {
            let plain = !name.is_empty() && !name.contains('/') && name != "." && name != "..";
            if !plain {
                return Err(PassphraseError::CredentialName(name.clone()));
            }
            let missing = || PassphraseError::NoCredentials(name.clone());
            from_file(&credentials.ok_or_else(missing)?.join(name))
        }
        PassphraseSource::Command(command) => from_command(command, DEADLINE),
    }
}

fn from_file(path: &Path) -> Result<Passphrase, PassphraseError> {
    let failed = |error| PassphraseError::Read(path.display().to_string(), error);
    first_line(std::fs::File::open(path).map_err(failed)?).map_err(failed)?
}

/// Reads the first line without its end; the rest is not read.
fn first_line(mut from: impl Read) -> io::Result<Result<Passphrase, PassphraseError>> {
    // Never grown: growing would leave copies behind.
    let mut line = Zeroizing::new(Vec::with_capacity(MOST + 1));
    let mut byte = Zeroizing::new([0_u8]);
    while line.len() <= MOST {
        match from.read(&mut byte[..]) {
            Ok(0) => break,
            Ok(_) if byte[0] == b'\n' => break,
            Ok(_) => line.push(byte[0]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    if line.len() > MOST {
        return Ok(Err(PassphraseError::TooLong));
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(if line.is_empty() { Err(PassphraseError::Empty) } else { Ok(line) })
}

/// Runs the command in a process group of its own, of which nothing is left when this returns. What
/// it says on standard error goes where ours goes.
fn from_command(command: &str, deadline: Duration) -> Result<Passphrase, PassphraseError> {
    let failed = |error| PassphraseError::Read("its command".to_owned(), error);
    let until = Instant::now() + deadline;
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let said = child.stdout.take().zip(pid).map(|(output, pid)| -> io::Result<_> {
        let mut output = Output { from: output, until };
        let line = first_line(&mut output)?;
        output.until_end_of(pid)?;
        Ok(line)
    });
    // What it left in the background goes, too. It has not been waited for yet, so that its number
    // is still its own. An error means that nothing is left.
    if let Some(pid) = pid {
        let _ = kill_process_group(pid, Signal::KILL);
    }
    let status = child.wait().map_err(failed)?;
    match said.unwrap_or_else(|| Err(io::ErrorKind::BrokenPipe.into())) {
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            Err(PassphraseError::Deadline(deadline))
        }
        Err(error) => Err(failed(error)),
        Ok(_) if !status.success() => Err(PassphraseError::Command(status)),
        Ok(line) => line,
    }
}

/// What a command says, as long as it may take. After that reading is an error, `TimedOut`.
struct Output {
    from: ChildStdout,
    until: Instant,
}

impl Output {
    /// Waits until the process has ended, and leaves it to be waited for. What else it writes is
    /// discarded: it must not be ended by that before it says whether it succeeded.
    fn until_end_of(mut self, pid: Pid) -> io::Result<()> {
        const STEP: Duration = Duration::from_millis(5);
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        let mut discarded = Zeroizing::new([0; 1024]);
        let mut open = true;
        loop {
            match waitid(WaitId::Pid(pid), ended) {
                Ok(Some(_)) => return Ok(()),
                Ok(None) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            if Instant::now() >= self.until {
                return Err(io::ErrorKind::TimedOut.into());
            }
            if !open {
                std::thread::sleep(STEP);
            } else if self.is_readable(STEP)? {
                open = self.from.read(&mut discarded[..])? > 0;
            }
        }
    }

    fn is_readable(&self, within: Duration) -> io::Result<bool> {
        let within = Timespec::try_from(within).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&self.from, PollFlags::IN)], Some(&within)) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl Read for Output {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let left = self.until.saturating_duration_since(Instant::now());
            if self.is_readable(left)? {
                return self.from.read(buffer);
            }
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(text: &str) -> Result<Passphrase, PassphraseError> {
        passphrase(&PassphraseSource::Command(text.to_owned()), None)
    }

    #[test]
    fn tls_passphrases_come_from_files_commands_and_credentials() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, "hunter 2\r\nsecond line\n").unwrap();
        let from_file = passphrase(&PassphraseSource::File(file.clone()), None).unwrap();
        assert_eq!(&from_file[..], b"hunter 2");
        let credential = PassphraseSource::Credential("secret".to_owned());
        let found = passphrase(&credential, Some(folder.path().to_owned())).unwrap();
        assert_eq!(&found[..], b"hunter 2");
        assert!(matches!(passphrase(&credential, None), Err(PassphraseError::NoCredentials(_))));
        let outside = PassphraseSource::Credential("../secret".to_owned());
        let outside = passphrase(&outside, Some(folder.path().join("x")));
        assert!(matches!(outside, Err(PassphraseError::CredentialName(_))));
        // Standard input is empty: a command that asks gets nothing.
        assert_eq!(&command("cat; echo from-a-command; echo more").unwrap()[..], b"from-a-command");
    }

    #[test]
    fn tls_passphrases_that_are_none_are_errors_and_a_slow_command_is_killed() {
        assert!(matches!(command("true"), Err(PassphraseError::Empty)));
        assert!(matches!(command("echo half; exit 3"), Err(PassphraseError::Command(_))));
        assert!(matches!(command("exit 3"), Err(PassphraseError::Command(_))));
        assert!(matches!(command("head -c 5000 /dev/zero"), Err(PassphraseError::TooLong)));
        let slow = from_command("sleep 600 & wait", Duration::from_millis(50));
        assert!(matches!(slow, Err(PassphraseError::Deadline(_))));
        // Having said something is not having succeeded.
        let slow = from_command("echo said; exec sleep 600", Duration::from_millis(50));
        assert!(matches!(slow, Err(PassphraseError::Deadline(_))));
        let slow = from_command("echo said; exec >&-; exec sleep 600", Duration::from_millis(50));
        assert!(matches!(slow, Err(PassphraseError::Deadline(_))));
        let endless = from_command("echo said; exec yes", Duration::from_millis(50));
        assert!(matches!(endless, Err(PassphraseError::Deadline(_))));
    }

    #[test]
    fn tls_nothing_is_left_of_a_command_for_a_passphrase_although_it_succeeded() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).unwrap();
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK;
        let reader = rustix::fs::open(&fifo, flags, rustix::fs::Mode::empty()).unwrap();
        let text = format!("exec 9>'{}'; sleep 600 & echo said", fifo.display());
        assert_eq!(&command(&text).unwrap()[..], b"said");
        // Ends when nobody holds the other side any more.
        let patience = Timespec { tv_sec: 20, tv_nsec: 0 };
        let mut fds = [PollFd::new(&reader, PollFlags::IN)];
        assert_eq!(poll(&mut fds, Some(&patience)).unwrap(), 1);
        assert_eq!(fds[0].revents(), PollFlags::HUP);
    }
}
