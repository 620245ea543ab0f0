//! Where secrets come from: a prompt without echo, a pipe, a file, or nowhere.

use std::fs::{File, OpenOptions};
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use authn::secret::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngExt as _;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::Source;
use crate::credential;
use crate::printer::printable;

/// The longest line that somebody types.
const LONGEST: usize = 4096;

/// A new secret of `principal`.
pub(super) fn new(source: &Source, principal: &str) -> anyhow::Result<Secret> {
    if source.generate {
        return Ok(generated());
    }
    known(source.from.as_deref(), principal, true)
}

/// A secret that somebody knows; `twice`: where it is typed, it is typed again.
pub(super) fn known(from: Option<&Path>, principal: &str, twice: bool) -> anyhow::Result<Secret> {
    match from {
        Some(file) => credential::read(file),
        None if !std::io::stdin().is_terminal() => credential::read(Path::new("-")),
        None => {
            let principal = printable(principal);
            let secret = prompt(&format!("Secret of {principal}: "))?;
            if twice && prompt("Once more: ")? != secret {
                bail!("the two are not the same");
            }
            Ok(secret)
        }
    }
}

/// 256 bits, without a character that anything would have to escape.
fn generated() -> Secret {
    let bytes = Zeroizing::new(rand::rng().random::<[u8; 32]>());
    Secret::new(URL_SAFE_NO_PAD.encode(bytes.as_slice()).into_bytes())
}

/// The terminal, which shows nothing of what is typed until this is dropped.
struct Silent {
    terminal: File,
    before: Termios,
}

impl Silent {
    fn new() -> anyhow::Result<Self> {
        let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty");
        let terminal = terminal.context("there is no terminal to ask for the secret")?;
        let before = tcgetattr(&terminal).context("cannot make the terminal silent")?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        silent.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(&terminal, OptionalActions::Flush, &silent)
            .context("cannot make the terminal silent")?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // Nothing can be done about a terminal that is gone.
        let _ = tcsetattr(&self.terminal, OptionalActions::Flush, &self.before);
    }
}

fn prompt(text: &str) -> anyhow::Result<Secret> {
    let mut silent = Silent::new()?;
    silent.terminal.write_all(text.as_bytes()).context("cannot ask for the secret")?;
    let mut line = Zeroizing::new(Vec::with_capacity(LONGEST));
    let mut byte = [0];
    loop {
        let read = silent.terminal.read(&mut byte).context("cannot read the secret")?;
        if read == 0 || byte[0] == b'\n' {
            break;
        }
        if line.len() >= LONGEST {
            bail!("the secret is longer than {LONGEST} bytes");
        }
        line.push(byte[0]);
    }
    if line.is_empty() {
        bail!("the secret is empty");
    }
    if std::str::from_utf8(&line).is_err() {
        bail!("the secret is not UTF-8");
    }
    Ok(Secret::new(std::mem::take(&mut *line)))
}

#[cfg(test)]
mod authn_secrets {
    use super::*;

    #[test]
    fn generated_secrets_are_long_differ_and_fit_into_any_scheme() {
        let (one, other) = (generated(), generated());
        assert_eq!(one.expose().len(), 43);
        assert_ne!(one, other);
        let fits = |b: &u8| b.is_ascii_alphanumeric() || b"-_".contains(b);
        assert!(one.expose().iter().all(fits));
    }
}
