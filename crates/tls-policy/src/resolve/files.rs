//! Which files are read, and how often.

use std::path::PathBuf;
use std::time::Duration;

use super::Resolving;
use crate::error::PolicyError;
use crate::policy::{MaterialPair, MaterialPaths, PassphraseSource, RELOAD_INTERVAL};

const CERT_FILE: &str = "LIBPROCESS_SSL_CERT_FILE";
const KEY_FILE: &str = "LIBPROCESS_SSL_KEY_FILE";

/// The shortest and the longest time between two looks at the files.
const RELOAD_BOUNDS: (Duration, Duration) =
    (Duration::from_secs(1), Duration::from_secs(24 * 60 * 60));

impl Resolving<'_> {
    pub(super) fn materials(&mut self) -> Option<MaterialPaths> {
        let s = self.settings;
        if s.key_file.is_none() {
            self.errors.push(PolicyError::Missing { variable: KEY_FILE });
        }
        if s.cert_file.is_none() {
            self.errors.push(PolicyError::Missing { variable: CERT_FILE });
        }
        let more = self.more_materials();
        let first = MaterialPair::new(&s.cert_file.as_ref()?.value, &s.key_file.as_ref()?.value);
        Some(self.locked(first, more))
    }

    /// The pair with what unlocks its key, and the other one beside it.
    pub(super) fn locked(
        &mut self,
        first: MaterialPair,
        more: Option<MaterialPair>,
    ) -> MaterialPaths {
        let passphrase = self.passphrase();
        let mut pairs: Vec<_> = [Some(first), more].into_iter().flatten().collect();
        for pair in &mut pairs {
            pair.passphrase.clone_from(&passphrase);
        }
        MaterialPaths { pairs }
    }

    pub(super) fn more_materials(&mut self) -> Option<MaterialPair> {
        let s = self.settings;
        let (variable, missing) = match (&s.alt_cert_file, &s.alt_key_file) {
            (None, None) => return None,
            (Some(chain), Some(key)) => return Some(MaterialPair::new(&chain.value, &key.value)),
            (Some(chain), None) => (&chain.variable, "LIBPROCESS_SSL_ALT_KEY_FILE"),
            (None, Some(key)) => (&key.variable, "LIBPROCESS_SSL_ALT_CERT_FILE"),
        };
        self.errors.push(PolicyError::Half { variable: variable.clone(), missing });
        None
    }

    fn passphrase(&mut self) -> Option<PassphraseSource> {
        let s = self.settings;
        let file = (s.key_passphrase_file.as_ref())
            .map(|said| (&said.variable, PassphraseSource::File(said.value.clone())));
        let command = (s.key_passphrase_command.as_ref())
            .map(|said| (&said.variable, PassphraseSource::Command(said.value.clone())));
        let credential = (s.key_passphrase_credential.as_ref())
            .map(|said| (&said.variable, PassphraseSource::Credential(said.value.clone())));
        let mut given = [file, command, credential].into_iter().flatten();
        let (variable, source) = given.next()?;
        for (other, _) in given {
            self.errors.push(PolicyError::Contradiction {
                variable: other.clone(),
                other: variable.clone(),
                reason: "a passphrase comes from one place",
            });
        }
        let empty = match &source {
            PassphraseSource::Command(command) => command.trim().is_empty(),
            // It is a file of one directory, whatever is written.
            PassphraseSource::Credential(name) => {
                name.is_empty() || name.contains('/') || name == "." || name == ".."
            }
            PassphraseSource::File(_) => false,
        };
        if empty {
            let problem = match &source {
                PassphraseSource::Command(_) | PassphraseSource::File(_) => "is empty",
                PassphraseSource::Credential(_) => "is not the name of a credential",
            };
            self.text_error(variable, problem);
        }
        Some(source)
    }

    pub(super) fn revocation(&mut self, verified: bool) -> Option<PathBuf> {
        let said = self.settings.crl_file.as_ref()?;
        if !verified {
            self.errors.push(PolicyError::Contradiction {
                variable: said.variable.clone(),
                other: super::VERIFY_SERVER_CERT.to_owned(),
                reason: "nobody is verified, so nobody's revocation would be noticed",
            });
        }
        Some(said.value.clone())
    }

    /// `Some(None)`: files are looked at only when told.
    pub(super) fn reload(&mut self) -> Option<Option<Duration>> {
        let Some(said) = &self.settings.reload else { return Some(Some(RELOAD_INTERVAL)) };
        match said.value.as_str() {
            "true" | "1" | "" => return Some(Some(RELOAD_INTERVAL)),
            "false" | "0" => return Some(None),
            _ => {}
        }
        let (shortest, longest) = RELOAD_BOUNDS;
        let interval = duration(&said.value).filter(|d| (shortest..=longest).contains(d));
        if interval.is_none() {
            self.errors.push(PolicyError::Value {
                variable: said.variable.clone(),
                value: said.value.clone(),
                expected: "true, false, or how often to look at the files, from 1secs to 24hrs",
            });
        }
        interval.map(Some)
    }
}

/// A whole number and `secs`, `mins` or `hrs`, as durations are written elsewhere.
fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let seconds = match unit {
        "secs" => 1,
        "mins" => 60,
        "hrs" => 60 * 60,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(seconds).map(Duration::from_secs)
}
