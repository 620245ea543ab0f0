//! From variables and flags to values of their types.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::{PolicyError, PolicyErrors};
use crate::nearest::nearest;
use crate::notice::Notice;
use crate::settings::{Flag, Naming, Said, VARIABLES, ValueKind, Variable};

/// The prefix of all variables.
const PREFIX: &str = "LIBPROCESS_SSL_";
/// The prefix of old, shared with other software.
const OLD_PREFIX: &str = "SSL_";

/// A type that the value of a variable may have.
pub(crate) trait Value: Sized {
    const KIND: ValueKind;

    /// Reads the value, or says what was expected.
    fn parse(reading: &mut Reading<'_>, raw: &Raw) -> Result<Self, PolicyError>;
}

/// A setting as it was written.
#[derive(Debug)]
pub(crate) struct Raw {
    variable: String,
    value: String,
    /// Given as `<prefix>no-<name>`.
    negated: bool,
}

impl Raw {
    fn wrong(&self, value: &str, expected: &'static str) -> PolicyError {
        let variable = self.variable.clone();
        PolicyError::Value { variable, value: value.to_owned(), expected }
    }

    /// Whether both say the same, in whatever words.
    fn agrees(&self, other: &Self, kind: ValueKind) -> bool {
        let meaning = |raw: &Self| match (kind, raw.negated, raw.value.as_str()) {
            (ValueKind::Bool, true, "") | (ValueKind::Bool, false, "0") => "false".to_owned(),
            (ValueKind::Bool, false, "" | "1") => "true".to_owned(),
            (_, _, value) => value.to_owned(),
        };
        meaning(self) == meaning(other)
    }
}

/// One of several ways in which a setting may be given; what sorts first counts.
#[derive(Debug)]
struct Candidate {
    old_prefix: bool,
    documented: bool,
    raw: Raw,
}

pub(crate) struct Reading<'a> {
    read_file: &'a dyn Fn(&Path) -> Result<String, String>,
    said: BTreeMap<&'static str, Raw>,
    errors: Vec<PolicyError>,
    notices: Vec<Notice>,
}

impl<'a> Reading<'a> {
    pub(crate) fn new(read_file: &'a dyn Fn(&Path) -> Result<String, String>) -> Self {
        Self { read_file, said: BTreeMap::new(), errors: Vec::new(), notices: Vec::new() }
    }

    /// For each name what counts: new prefix before old, the name that is read by the original
    /// before the one that is only documented, lower case before upper.
    pub(crate) fn collect(
        &mut self,
        naming: Naming,
        environment: impl IntoIterator<Item = (String, String)>,
    ) {
        let mut candidates: BTreeMap<&'static str, Vec<Candidate>> = BTreeMap::new();
        let mut old_names = Vec::new();
        for (variable, value) in environment {
            let (rest, old) = match variable.strip_prefix(PREFIX) {
                Some(rest) => (rest, false),
                None => match variable.strip_prefix(OLD_PREFIX) {
                    Some(rest) => (rest, true),
                    None => continue,
                },
            };
            let upper = rest.to_ascii_uppercase();
            let known = find(&upper).map(|(v, documented)| (v, documented, false)).or_else(|| {
                let (v, documented) = find(upper.strip_prefix("NO-")?)?;
                (v.kind == ValueKind::Bool).then_some((v, documented, true))
            });
            match known {
                Some((found, ..)) if found.ours && old => {}
                Some((found, documented, negated)) => {
                    if documented {
                        let (variable, instead) = (variable.clone(), found.full);
                        self.notices.push(Notice::Deprecated { variable, instead });
                    }
                    if old {
                        old_names.push(found.name);
                    }
                    let raw = Raw { variable, value, negated };
                    let candidate = Candidate { old_prefix: old, documented, raw };
                    candidates.entry(found.name).or_default().push(candidate);
                }
                // Other software owns the rest of the old prefix.
                None if old => {}
                None => self.unknown(naming, variable, &upper),
            }
        }
        // An ordinary `SSL_CERT_FILE` is OpenSSL's own variable and names roots: worth a word only
        // if somebody configures us, and not the certificate by its new name.
        let configured = candidates.contains_key("ENABLED") || candidates.contains_key("KEY_FILE");
        if old_names == ["CERT_FILE"]
            && let Some(found) = candidates.get_mut("CERT_FILE")
        {
            let astray = configured && found.iter().all(|candidate| candidate.old_prefix);
            found.retain(|candidate| {
                if candidate.old_prefix && astray {
                    self.notices.push(Notice::Ignored {
                        variable: candidate.raw.variable.clone(),
                        reason: "alone it is OpenSSL's variable for trusted roots and never our \
                                 own certificate; that is `LIBPROCESS_SSL_CERT_FILE`",
                    });
                }
                !candidate.old_prefix
            });
        }
        for (name, found) in candidates {
            if let Some(raw) = self.choose(name, found) {
                self.said.insert(name, raw);
            }
        }
    }

    /// Flags win over variables that say the same and contradict those that do not.
    pub(crate) fn flags(&mut self, flags: impl IntoIterator<Item = Flag>) {
        for Flag { name, value, spelled } in flags {
            let Some((known, _)) = find(&name) else {
                self.errors.push(PolicyError::Unknown { variable: spelled, suggestion: None });
                continue;
            };
            let raw = Raw { variable: spelled, value, negated: false };
            if let Some(variable) = self.said.get(known.name)
                && !variable.agrees(&raw, known.kind)
            {
                self.errors.push(PolicyError::FlagDiffers {
                    flag: raw.variable.clone(),
                    variable: variable.variable.clone(),
                });
            }
            self.said.insert(known.name, raw);
        }
    }

    fn unknown(&mut self, naming: Naming, variable: String, upper: &str) {
        let names = VARIABLES.iter().map(|v| v.name);
        let suggestion = nearest(upper, names).map(|name| format!("{PREFIX}{name}"));
        match naming {
            Naming::Alcazar => self.errors.push(PolicyError::Unknown { variable, suggestion }),
            Naming::Mesos => self.notices.push(Notice::Unknown { variable, suggestion }),
        }
    }

    fn choose(&mut self, name: &str, mut found: Vec<Candidate>) -> Option<Raw> {
        let kind = find(name)?.0.kind;
        found.sort_by(|a, b| {
            (a.old_prefix, a.documented)
                .cmp(&(b.old_prefix, b.documented))
                .then_with(|| b.raw.variable.cmp(&a.raw.variable))
        });
        let mut found = found.into_iter();
        let first = found.next()?;
        for other in found {
            if other.old_prefix == first.old_prefix && other.raw.negated != first.raw.negated {
                self.errors.push(PolicyError::BothForms {
                    variable: first.raw.variable.clone(),
                    other: other.raw.variable,
                });
            } else if !other.raw.agrees(&first.raw, kind) {
                self.notices.push(Notice::Mismatch {
                    used: first.raw.variable.clone(),
                    ignored: other.raw.variable,
                });
            }
        }
        Some(first.raw)
    }

    /// The value of the setting `name`, if it was given and can be read.
    pub(crate) fn take<T: Value>(&mut self, name: &str) -> Option<Said<T>> {
        let raw = self.said.remove(name)?;
        match T::parse(self, &raw) {
            Ok(value) => Some(Said { value, variable: raw.variable }),
            Err(error) => {
                self.errors.push(error);
                None
            }
        }
    }

    pub(crate) fn finish(self) -> Result<Vec<Notice>, PolicyErrors> {
        if self.errors.is_empty() { Ok(self.notices) } else { Err(PolicyErrors(self.errors)) }
    }

    /// The text itself, or the content of the file that it names.
    fn text(&self, raw: &Raw) -> Result<String, PolicyError> {
        let Some(path) = raw.value.strip_prefix("file://") else { return Ok(raw.value.clone()) };
        (self.read_file)(Path::new(path)).map_err(|reason| PolicyError::Unreadable {
            variable: raw.variable.clone(),
            path: PathBuf::from(path),
            reason,
        })
    }
}

impl Value for bool {
    const KIND: ValueKind = ValueKind::Bool;

    fn parse(reading: &mut Reading<'_>, raw: &Raw) -> Result<Self, PolicyError> {
        let text = reading.text(raw)?;
        match (text.as_str(), raw.negated) {
            ("", true) | ("false" | "0", false) => Ok(false),
            ("true" | "1" | "", false) => Ok(true),
            (_, true) => Err(raw.wrong(&text, "nothing")),
            (_, false) => Err(raw.wrong(&text, "true, 1, false or 0")),
        }
    }
}

impl Value for PathBuf {
    const KIND: ValueKind = ValueKind::Path;

    fn parse(_: &mut Reading<'_>, raw: &Raw) -> Result<Self, PolicyError> {
        let path = raw.value.strip_prefix("file://").unwrap_or(&raw.value);
        if path.is_empty() { Err(raw.wrong(&raw.value, "a path")) } else { Ok(path.into()) }
    }
}

impl Value for String {
    const KIND: ValueKind = ValueKind::Text;

    fn parse(reading: &mut Reading<'_>, raw: &Raw) -> Result<Self, PolicyError> {
        reading.text(raw)
    }
}

impl Value for u32 {
    const KIND: ValueKind = ValueKind::Number;

    fn parse(reading: &mut Reading<'_>, raw: &Raw) -> Result<Self, PolicyError> {
        let text = reading.text(raw)?;
        text.parse().map_err(|_| raw.wrong(&text, "a whole number, zero or more"))
    }
}

/// The variable called `upper`, and whether by a name that only the documentation knows.
fn find(upper: &str) -> Option<(&'static Variable, bool)> {
    VARIABLES.iter().find_map(|v| {
        let documented = v.documented.contains(&upper);
        (v.name == upper || documented).then_some((v, documented))
    })
}
