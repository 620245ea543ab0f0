//! The passphrase of an encrypted key. It is never printed and erased when it is not needed any
//! more.

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tls_policy::PassphraseSource;
use zeroize::Zeroizing;

/// A passphrase.
pub(super) type Passphrase = Zeroizing<Vec<u8>>;

/// Longer ones are an error.
const MOST: usize = 1024;
/// How long a command may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// Why there is no passphrase.
#[derive(Debug, thiserror::Error)]
pub enum PassphraseError {
    /// The command failed.
    #[error("the command for the passphrase ended with {0}")]
    Command(std::process::ExitStatus),
    /// The command took too long and was killed.
    #[error("the command for the passphrase gave none within {0:?}")]
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

/// Runs the command in a process group of its own, so that all of it can be killed. What it says
/// on standard error goes where ours goes.
fn from_command(command: &str, deadline: Duration) -> Result<Passphrase, PassphraseError> {
    let failed = |error| PassphraseError::Read("its command".to_owned(), error);
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let output = child.stdout.take();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let Some(mut output) = output else { return };
        // Nobody waits any more: it took too long.
        let _ = sender.send(first_line(&mut output));
        // What else it writes must not end it before it says whether it succeeded.
        let _ = io::copy(&mut output, &mut io::sink());
    });
    let line = receiver.recv_timeout(deadline);
    let kill = |child: &mut std::process::Child| {
        if let Some(group) = group {
            // An error means that it has ended by itself.
            let _ = kill_process_group(group, Signal::KILL);
        }
        child.wait().map_err(failed)
    };
    match line {
        Ok(Ok(Ok(line))) => {
            let status = wait_or_kill(&mut child, kill)?;
            if status.success() { Ok(line) } else { Err(PassphraseError::Command(status)) }
        }
        Ok(Ok(Err(error))) => {
            let status = wait_or_kill(&mut child, kill)?;
            Err(if status.success() { error } else { PassphraseError::Command(status) })
        }
        Ok(Err(error)) => {
            kill(&mut child)?;
            Err(failed(error))
        }
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
            kill(&mut child)?;
            Err(PassphraseError::Deadline(deadline))
        }
    }
}

/// Waits a little for a command that has said its line, to learn whether it succeeded.
fn wait_or_kill(
    child: &mut std::process::Child,
    kill: impl Fn(&mut std::process::Child) -> Result<std::process::ExitStatus, PassphraseError>,
) -> Result<std::process::ExitStatus, PassphraseError> {
    const STEP: Duration = Duration::from_millis(5);
    for _ in 0..400 {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) => std::thread::sleep(STEP),
            Err(_) => break,
        }
    }
    kill(child)
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
    }
}
