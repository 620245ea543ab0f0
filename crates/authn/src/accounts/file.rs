//! Credential files: the original's JSON (`authentication.md` §10), and what it lacks.
//!
//! ```json
//! {"credentials": [
//!   {"principal": "ops", "secret": "…", "kinds": ["operator"]},
//!   {"principal": "a-1", "scram-sha-256": "4096:…$…:…", "kinds": ["agent"],
//!    "previous": {"scram-sha-256": "…"}}
//! ]}
//! ```
//!
//! An entry may hold its secret or what was made of it, and during a rotation those of before as
//! well. An agent's file is one such entry, with the secret itself.

use std::fmt;

use model::identity::Kind;
use model::principal::Kinds;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::derive::{VerifierText, check_argon2id};
use super::{Account, Accounts, Credential, ScramVerifier, StoredSecret};
use crate::secret::Secret;

/// How a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// As the original does: what it does not know it does not see, an entry without secret has an
    /// empty one, and an entry that does not say for what kinds of component it is counts for all.
    Mesos,
    /// As our own commands do: every entry says all that there is to say, and nothing else.
    Own,
}

/// A credential file, entry by entry as it was written.
#[derive(Clone, Debug, Default)]
pub struct CredentialFile {
    /// The entries. Of several with the same principal the last one counts.
    pub entries: Vec<Entry>,
    /// What else stands beside them: the original does not see it.
    others: Map<String, Value>,
}

/// One entry.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The name; matched byte by byte.
    pub principal: String,
    /// As what kinds of component its bearer may speak; `None` if the file does not say.
    pub kinds: Option<Kinds>,
    /// What there is of the secret.
    pub stored: Stored,
    /// What there is of the secret of before, which is valid until the rotation is finished.
    pub previous: Option<Stored>,
    others: Map<String, Value>,
}

/// What there is of one secret: of each kind at most one.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    /// All of it.
    pub secret: Option<Secret>,
    /// What SCRAM-SHA-256 needs.
    pub scram: Option<ScramVerifier>,
    /// An argon2id hash in PHC form.
    pub argon2id: Option<String>,
}

/// What is wrong with a file. Secrets are never part of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// There is nothing in it.
    #[error("it is empty, and must contain at least one credential")]
    Empty,
    /// It is not JSON.
    #[error("it is not JSON: line {line}, column {column}{}", if *.of_old { OF_OLD } else { "" })]
    Json {
        /// From 1.
        line: usize,
        /// From 1; 0 at the end of a line.
        column: usize,
        /// Whether it looks like the text that the original once took.
        of_old: bool,
    },
    /// Its outermost parts are not those of such a file.
    #[error("{0}")]
    Shape(&'static str),
    /// A key that means nothing.
    #[error("{place}: unknown key `{key}`{}", did_you_mean(.suggestion))]
    UnknownKey {
        /// Which entry.
        place: Place,
        /// The key.
        key: String,
        /// What may have been meant.
        suggestion: Option<&'static str>,
    },
    /// An entry that cannot be used.
    #[error("{place}: {what}")]
    Entry {
        /// Which entry.
        place: Place,
        /// What is wrong with it.
        what: String,
    },
}

const OF_OLD: &str = " (the form `principal secret`, one on each line, is no longer taken: write \
                      {\"credentials\":[{\"principal\":\"…\",\"secret\":\"…\"}]})";

fn did_you_mean(suggestion: &Option<&'static str>) -> String {
    suggestion.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default()
}

/// Which part of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The whole.
    File,
    /// An entry: its number, from 1, and its principal if it has one.
    Entry(usize, Option<String>),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => f.write_str("the file"),
            Self::Entry(number, None) => write!(f, "entry {number}"),
            Self::Entry(number, Some(principal)) => {
                write!(f, "entry {number} (\"{}\")", principal.escape_debug())
            }
        }
    }
}

const PRINCIPAL: &str = "principal";
const SECRET: &str = "secret";
const KINDS: &str = "kinds";
const SCRAM: &str = "scram-sha-256";
const ARGON2ID: &str = "argon2id";
const PREVIOUS: &str = "previous";
const CREDENTIALS: &str = "credentials";
const ENTRY_KEYS: [&str; 6] = [PRINCIPAL, SECRET, KINDS, SCRAM, ARGON2ID, PREVIOUS];
const STORED_KEYS: [&str; 3] = [SECRET, SCRAM, ARGON2ID];

/// A reason not to be content with a file that can be used; the program goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remark {
    /// No entry at all: nobody can authenticate.
    Nobody,
    /// Several entries have this principal.
    Duplicate(String),
    /// Its secret is empty: it works for HTTP Basic and for nothing else.
    EmptySecret(String),
    /// It holds the secret itself.
    Plaintext(String),
    /// It does not say for what kinds of component it is.
    WithoutKinds(String),
    /// Two secrets are valid: a rotation is not finished.
    Rotating(String),
}

impl Remark {
    /// What is said about that principal (or about the file), without a name.
    #[must_use]
    pub fn what(&self) -> &'static str {
        match self {
            Self::Nobody => "there is no credential in it: nobody can authenticate",
            Self::Duplicate(_) => "stands there more than once: the last entry counts",
            Self::EmptySecret(_) => {
                "has an empty secret, with which anybody can authenticate over HTTP"
            }
            Self::Plaintext(_) => "stands there with its secret, which whoever reads it has",
            Self::WithoutKinds(_) => {
                "says nothing about kinds, so that it counts for every kind of component"
            }
            Self::Rotating(_) => "has two valid secrets: its rotation is not finished",
        }
    }

    /// Whom it is about.
    #[must_use]
    pub fn principal(&self) -> Option<&str> {
        match self {
            Self::Nobody => None,
            Self::Duplicate(name)
            | Self::EmptySecret(name)
            | Self::Plaintext(name)
            | Self::WithoutKinds(name)
            | Self::Rotating(name) => Some(name),
        }
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(principal) = self.principal() {
            write!(f, "\"{}\" ", principal.escape_debug())?;
        }
        f.write_str(self.what())
    }
}

impl CredentialFile {
    /// Reads a file with a list of credentials.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn parse(text: &[u8], rules: Rules) -> Result<Self, FileError> {
        let Value::Object(mut object) = json(text)? else {
            return Err(FileError::Shape("it is no JSON object with a list `credentials`"));
        };
        let list = match object.remove(CREDENTIALS) {
            Some(Value::Array(list)) => list,
            None | Some(Value::Null) if rules == Rules::Mesos => Vec::new(),
            _ => return Err(FileError::Shape("it has no list `credentials`")),
        };
        unknown_keys(&object, &[CREDENTIALS], &Place::File, rules)?;
        let entries = list.into_iter().zip(1..).map(|(value, number)| entry(value, number, rules));
        Ok(Self { entries: entries.collect::<Result<_, _>>()?, others: object })
    }

    /// Who is known by it.
    #[must_use]
    pub fn accounts(&self) -> Accounts {
        self.entries.iter().map(Entry::account).collect()
    }

    /// The entry that counts for `principal`.
    #[must_use]
    pub fn get(&self, principal: &str) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| entry.principal == principal)
    }

    /// The entry that counts for `principal`, to change it.
    pub fn get_mut(&mut self, principal: &str) -> Option<&mut Entry> {
        self.entries.iter_mut().rev().find(|entry| entry.principal == principal)
    }

    /// What gives reason not to be content, in the order of the entries.
    #[must_use]
    pub fn remarks(&self) -> Vec<Remark> {
        if self.entries.is_empty() {
            return vec![Remark::Nobody];
        }
        let mut seen = std::collections::BTreeSet::new();
        let mut remarks = Vec::new();
        for entry in &self.entries {
            let name = || entry.principal.clone();
            if !seen.insert(&entry.principal) {
                remarks.push(Remark::Duplicate(name()));
            }
            let all = [Some(&entry.stored), entry.previous.as_ref()];
            let secrets = || all.iter().flatten().filter_map(|stored| stored.secret.as_ref());
            if entry.stored.is_nothing() || secrets().any(Secret::is_empty) {
                remarks.push(Remark::EmptySecret(name()));
            } else if secrets().next().is_some() {
                remarks.push(Remark::Plaintext(name()));
            }
            if entry.kinds.is_none() {
                remarks.push(Remark::WithoutKinds(name()));
            }
            if entry.previous.is_some() {
                remarks.push(Remark::Rotating(name()));
            }
        }
        remarks
    }

    /// The text of the file: one entry on a line.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new("{\"credentials\": [".to_owned());
        for (n, entry) in self.entries.iter().enumerate() {
            text.push_str(if n == 0 { "\n  " } else { ",\n  " });
            entry.write(&mut text);
        }
        if !self.entries.is_empty() {
            text.push('\n');
        }
        text.push(']');
        for (key, value) in &self.others {
            text.push_str(", ");
            member(&mut text, key, &value.to_string());
        }
        text.push_str("}\n");
        text
    }
}

impl Entry {
    /// An entry for somebody new.
    #[must_use]
    pub fn new(principal: impl Into<String>, kinds: Option<Kinds>, stored: Stored) -> Self {
        Self { principal: principal.into(), kinds, stored, previous: None, others: Map::new() }
    }

    /// Reads an agent's file: one entry with the secret itself.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn parse_single(text: &[u8], rules: Rules) -> Result<Self, FileError> {
        let value = json(text)?;
        if !value.is_object() {
            return Err(FileError::Shape("it is no JSON object with `principal` and `secret`"));
        }
        if value.get(CREDENTIALS).is_some() {
            return Err(FileError::Shape(
                "it is a list `credentials`; wanted is one entry, with `principal` and `secret`",
            ));
        }
        // Of what kind its bearer is, the other end knows.
        let entry = entry_of(value, 1, rules, false)?;
        if entry.stored.secret.is_none() && !entry.stored.is_nothing() {
            let what = "has no secret itself, which is what authenticating takes".to_owned();
            return Err(entry_error(1, Some(&entry.principal), what));
        }
        Ok(entry)
    }

    /// What a client authenticates with.
    #[must_use]
    pub fn credential(&self) -> Credential {
        let secret = self.stored.secret.clone().unwrap_or_else(|| Secret::new(Vec::new()));
        Credential { principal: self.principal.clone(), secret }
    }

    /// The account of the entry.
    #[must_use]
    pub fn account(&self) -> Account {
        let mut secrets = self.stored.secrets();
        if secrets.is_empty() {
            secrets.push(StoredSecret::Plain(Secret::new(Vec::new())));
        }
        secrets.extend(self.previous.iter().flat_map(Stored::secrets));
        Account { principal: self.principal.clone(), kinds: self.kinds, secrets }
    }

    /// The text of an agent's file.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::new());
        self.write(&mut text);
        text.push('\n');
        text
    }

    fn write(&self, text: &mut String) {
        text.push('{');
        member(text, PRINCIPAL, &quoted(&self.principal));
        self.stored.write(text, ", ");
        if let Some(kinds) = self.kinds {
            let words: Vec<_> =
                kinds.iter().map(|kind| quoted(kind.as_str()).to_string()).collect();
            text.push_str(", ");
            member(text, KINDS, &format!("[{}]", words.join(", ")));
        }
        if let Some(previous) = &self.previous {
            let mut inner = Zeroizing::new("{".to_owned());
            previous.write(&mut inner, "");
            inner.push('}');
            text.push_str(", ");
            member(text, PREVIOUS, &inner);
        }
        for (key, value) in &self.others {
            text.push_str(", ");
            member(text, key, &value.to_string());
        }
        text.push('}');
    }
}

impl Stored {
    /// The secret itself.
    #[must_use]
    pub fn plain(secret: Secret) -> Self {
        Self { secret: Some(secret), ..Self::default() }
    }

    /// Whether there is none of the three.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.secret.is_none() && self.scram.is_none() && self.argon2id.is_none()
    }

    /// What there is, for those who verify.
    #[must_use]
    pub fn secrets(&self) -> Vec<StoredSecret> {
        let plain = self.secret.clone().map(StoredSecret::Plain);
        let scram = self.scram.clone().map(StoredSecret::Scram);
        let argon2id = self.argon2id.clone().map(StoredSecret::Argon2id);
        [plain, scram, argon2id].into_iter().flatten().collect()
    }

    fn write(&self, text: &mut String, mut before: &'static str) {
        let mut push = |key: &str, value: &str| {
            text.push_str(before);
            before = ", ";
            member(text, key, value);
        };
        if let Some(secret) = &self.secret {
            // Files are text: a secret that is none never came out of one.
            push(SECRET, &quoted(&String::from_utf8_lossy(secret.expose())));
        }
        if let Some(scram) = &self.scram {
            push(SCRAM, &quoted(&VerifierText(scram).to_string()));
        }
        if let Some(argon2id) = &self.argon2id {
            push(ARGON2ID, &quoted(argon2id));
        }
    }
}

fn quoted(text: &str) -> Zeroizing<String> {
    // A JSON string, whatever is in it.
    Zeroizing::new(Value::from(text).to_string())
}

fn member(text: &mut String, key: &str, value: &str) {
    text.push_str(&quoted(key));
    text.push_str(": ");
    text.push_str(value);
}

fn json(text: &[u8]) -> Result<Value, FileError> {
    if text.iter().all(u8::is_ascii_whitespace) {
        return Err(FileError::Empty);
    }
    serde_json::from_slice(text).map_err(|error| {
        let first = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let words = first.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).count();
        let of_old = words == 2 && !first.iter().any(|byte| b"{}[]\":,".contains(byte));
        FileError::Json { line: error.line(), column: error.column(), of_old }
    })
}

fn entry(value: Value, number: usize, rules: Rules) -> Result<Entry, FileError> {
    entry_of(value, number, rules, true)
}

fn entry_error(number: usize, principal: Option<&str>, what: impl Into<String>) -> FileError {
    let place = Place::Entry(number, principal.map(ToOwned::to_owned));
    FileError::Entry { place, what: what.into() }
}

fn entry_of(
    value: Value,
    number: usize,
    rules: Rules,
    with_kinds: bool,
) -> Result<Entry, FileError> {
    let Value::Object(mut object) = value else {
        return Err(entry_error(number, None, "is no JSON object"));
    };
    let principal = match object.remove(PRINCIPAL) {
        Some(Value::String(principal)) => principal,
        None | Some(Value::Null) => return Err(entry_error(number, None, "has no `principal`")),
        Some(_) => return Err(entry_error(number, None, "has a `principal` that is no string")),
    };
    let wrong = |what: String| entry_error(number, Some(&principal), what);
    if rules == Rules::Own && (principal.is_empty() || principal.contains(char::is_control)) {
        return Err(wrong("has a principal that is empty or holds control characters".to_owned()));
    }
    let kinds = match object.remove(KINDS) {
        None => None,
        Some(value) => Some(kinds(&value).map_err(wrong)?),
    };
    let stored = stored(&mut object).map_err(wrong)?;
    let previous = match object.remove(PREVIOUS) {
        None => None,
        Some(Value::Object(mut before)) => {
            let previous = self::stored(&mut before)
                .map_err(|what| wrong(format!("in `previous`: {what}")))?;
            let place = Place::Entry(number, Some(principal.clone()));
            unknown_keys(&before, &STORED_KEYS, &place, rules)?;
            if previous.is_nothing() || previous.secret.as_ref().is_some_and(Secret::is_empty) {
                return Err(wrong("has nothing in `previous`".to_owned()));
            }
            Some(previous)
        }
        Some(_) => return Err(wrong("has a `previous` that is no JSON object".to_owned())),
    };
    let place = Place::Entry(number, Some(principal.clone()));
    // The original does not see what it does not know. But an entry whose secret is misspelt must
    // not become one with an empty secret.
    let strict = if stored.is_nothing() { Rules::Own } else { rules };
    unknown_keys(&object, &ENTRY_KEYS, &place, strict)?;
    if rules == Rules::Own {
        if stored.is_nothing() || stored.secret.as_ref().is_some_and(Secret::is_empty) {
            return Err(wrong("has no secret, or an empty one".to_owned()));
        }
        if with_kinds && kinds.is_none() {
            let all = Kind::ALL.map(Kind::as_str).join(", ");
            let line = format!(
                "does not say for what it is: add \"kinds\": [\"operator\"], or which of {all} it \
                 may be"
            );
            return Err(wrong(line));
        }
    }
    Ok(Entry { principal, kinds, stored, previous, others: object })
}

/// Takes what is known out of `object`.
fn stored(object: &mut Map<String, Value>) -> Result<Stored, String> {
    let mut text = |key: &str| match object.remove(key) {
        Some(Value::String(text)) => Ok(Some(text)),
        None | Some(Value::Null) => Ok(None),
        Some(_) => Err(format!("has a `{key}` that is no string")),
    };
    let secret = text(SECRET)?.map(|secret| Secret::new(secret.into_bytes()));
    let scram = match text(SCRAM)? {
        None => None,
        Some(text) => Some(text.parse().map_err(|error| format!("its `{SCRAM}` {error}"))?),
    };
    let argon2id = text(ARGON2ID)?;
    if let Some(hash) = &argon2id {
        check_argon2id(hash).map_err(|error| format!("its `{ARGON2ID}` {error}"))?;
    }
    Ok(Stored { secret, scram, argon2id })
}

fn kinds(value: &Value) -> Result<Kinds, String> {
    let wanted = || {
        let all = Kind::ALL.map(|kind| format!("\"{kind}\"")).join(", ");
        format!("has `kinds` that are no list of some of {all}")
    };
    let list = value.as_array().filter(|list| !list.is_empty()).ok_or_else(wanted)?;
    let kind = |value: &Value| value.as_str()?.parse::<Kind>().ok();
    list.iter().map(|value| kind(value).ok_or_else(wanted)).collect()
}

fn unknown_keys(
    object: &Map<String, Value>,
    known: &'static [&'static str],
    place: &Place,
    rules: Rules,
) -> Result<(), FileError> {
    match object.keys().next() {
        Some(key) if rules == Rules::Own => Err(FileError::UnknownKey {
            place: place.clone(),
            key: key.escape_debug().to_string(),
            suggestion: nearest(key, known),
        }),
        _ => Ok(()),
    }
}

/// The one of `known` that `key` differs from by a slip: in case, in hyphens, in a letter or two.
fn nearest(key: &str, known: &'static [&'static str]) -> Option<&'static str> {
    let plain = |text: &str| -> Vec<u8> {
        text.bytes().filter(u8::is_ascii_alphanumeric).map(|b| b.to_ascii_lowercase()).collect()
    };
    let given = plain(key);
    // Longer than any of them with a few slips.
    if given.len() > 32 {
        return None;
    }
    let (distance, near) =
        known.iter().map(|known| (distance(&given, &plain(known)), *known)).min()?;
    (distance <= 2).then_some(near)
}

/// How many letters to insert, remove or replace.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod authn_credential_files;
