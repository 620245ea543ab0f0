//! From arguments and variables to values.
//!
//! The rules of the original, exactly: what counts as a flag, which name wins, what a file
//! stands for. Under our own names hyphens count as underscores, and an argument that is no flag
//! is an error.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::{Failure, Notice, SettingsError};
use crate::row::{Default, Effect, Kind, Place, Program, Restricts, Row, Sensitivity};
use crate::rows::{SECTIONS, flags};
use crate::suggest::nearest;
use crate::value::{Value, parse};

/// Under which name the program was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// `alcazar master`, `alcazar agent`.
    Alcazar,
    /// `mesos-master`, `mesos-agent`, `mesos-execute`.
    Mesos,
}

/// Where settings come from.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// The command line behind the name of the program (and of the command).
    pub arguments: &'a [String],
    /// The environment. Of two variables of one name, nothing good can be said.
    pub environment: &'a [(String, String)],
    /// Reads a text file, or says why it cannot. Its bounds are the bounds of values.
    pub read_file: &'a dyn Fn(&Path) -> Result<String, String>,
}

impl fmt::Debug for Sources<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values may be secrets.
        f.debug_struct("Sources").field("arguments", &self.arguments.len()).finish_non_exhaustive()
    }
}

/// A value that somebody gave.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(crate) value: Value,
    /// The text as it was written, before a file took its place.
    pub(crate) text: String,
    pub(crate) origin: Origin,
}

/// How a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// By this name on the command line.
    Argument(String),
    /// By this variable.
    Variable(String),
}

impl Origin {
    /// The name that was used, without `--` or the prefix, in lower case.
    fn name(&self) -> String {
        match self {
            Self::Argument(name) => name.clone(),
            Self::Variable(variable) => {
                variable.strip_prefix(PREFIX).unwrap_or(variable).to_ascii_lowercase()
            }
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argument(name) => write!(f, "`--{name}`"),
            Self::Variable(variable) => write!(f, "`{variable}`"),
        }
    }
}

/// Everything that was given to a program, checked row by row.
#[derive(Clone, Debug)]
pub(crate) struct Values {
    pub(crate) program: Program,
    pub(crate) naming: Naming,
    pub(crate) given: BTreeMap<&'static str, Given>,
    pub(crate) notices: Vec<Notice>,
    /// Whether a variable switches TLS on.
    pub(crate) tls_in_environment: bool,
}

const PREFIX: &str = "MESOS_";
const LIBPROCESS_PREFIX: &str = "LIBPROCESS_";
const LIBPROCESS_TLS_PREFIX: &str = "LIBPROCESS_SSL_";

/// Reads everything. Errors are collected; the values that could be read come along, for help.
pub(crate) fn read(
    program: Program,
    naming: Naming,
    sources: &Sources<'_>,
) -> (Values, Vec<SettingsError>) {
    let mut reader = Reader {
        program,
        naming,
        sources,
        given: BTreeMap::new(),
        notices: Vec::new(),
        errors: Vec::new(),
    };
    reader.arguments();
    if program != Program::Execute {
        reader.environment();
    }
    reader.libprocess();
    reader.required();
    reader.effects();
    let Reader { given, notices, errors, .. } = reader;
    let tls_in_environment = sources.environment.iter().any(|(variable, value)| {
        let name = variable.strip_prefix(LIBPROCESS_TLS_PREFIX);
        let name = name.or_else(|| variable.strip_prefix("SSL_")).unwrap_or_default();
        name.eq_ignore_ascii_case("enabled") && !["false", "0"].contains(&value.as_str())
    });
    (Values { program, naming, given, notices, tls_in_environment }, errors)
}

/// The values alone, or all that is wrong.
pub(crate) fn checked(values: Values, errors: Vec<SettingsError>) -> Result<Values, Failure> {
    if errors.is_empty() { Ok(values) } else { Err(Failure { program: values.program, errors }) }
}

struct Reader<'a> {
    program: Program,
    naming: Naming,
    sources: &'a Sources<'a>,
    given: BTreeMap<&'static str, Given>,
    notices: Vec<Notice>,
    errors: Vec<SettingsError>,
}

impl Reader<'_> {
    fn arguments(&mut self) {
        for argument in self.sources.arguments {
            let argument = argument.trim();
            if argument == "--" {
                break;
            }
            let Some(flag) = argument.strip_prefix("--") else {
                if self.naming == Naming::Alcazar {
                    self.errors.push(SettingsError::Argument(argument.to_owned()));
                }
                continue;
            };
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (flag, None),
            };
            let name = name.to_ascii_lowercase();
            match self.find(&name) {
                Some((row, negated)) => {
                    self.load(row, negated, value, Origin::Argument(name));
                }
                None => {
                    let names = self.rows().map(|row| row.name);
                    let suggestion = nearest(&self.normal(name.trim_start_matches("no-")), names);
                    self.errors.push(SettingsError::Unknown { name, suggestion });
                }
            }
        }
    }

    fn environment(&mut self) {
        for (variable, value) in self.sources.environment {
            let Some(name) = variable.strip_prefix(PREFIX) else { continue };
            let name = name.to_ascii_lowercase();
            let Some((row, negated)) = self.find(&name) else { continue };
            // What only our own names take is said on the command line.
            if self.own(row) {
                continue;
            }
            let by_argument = self.given.get(row.name).map(|given| &given.origin);
            if let Some(Origin::Argument(other)) = by_argument {
                let bare = |name: &str| name.strip_prefix("no-").unwrap_or(name).to_owned();
                if bare(&self.normal(other)) == bare(&self.normal(&name)) {
                    continue;
                }
            }
            self.load(row, negated, Some(value), Origin::Variable(variable.clone()));
        }
    }

    /// The variables of the message layer, those of TLS aside.
    fn libprocess(&mut self) {
        for (variable, value) in self.sources.environment {
            if !variable.starts_with(LIBPROCESS_PREFIX)
                || variable.to_ascii_uppercase().starts_with(LIBPROCESS_TLS_PREFIX)
            {
                continue;
            }
            let rows = SECTIONS
                .iter()
                .filter(|s| s.place == Place::Variables && s.programs.contains(&self.program));
            let row = rows.flat_map(|s| s.rows).find(|r| r.name.eq_ignore_ascii_case(variable));
            if let Some(row) = row {
                self.load(row, false, Some(value), Origin::Variable(variable.clone()));
            }
        }
    }

    fn rows(&self) -> impl Iterator<Item = &'static Row> + use<> {
        let naming = self.naming;
        flags(self.program)
            .filter(move |(section, _)| {
                naming == Naming::Alcazar || section.place != Place::OwnFlags
            })
            .map(|(_, row)| row)
    }

    fn own(&self, row: &Row) -> bool {
        flags(self.program).any(|(s, r)| r.name == row.name && s.place == Place::OwnFlags)
    }

    /// `name` in the spelling of the table.
    fn normal(&self, name: &str) -> String {
        match (self.naming, name.strip_prefix("no-")) {
            (Naming::Mesos, _) => name.to_owned(),
            (Naming::Alcazar, Some(rest)) => format!("no-{}", rest.replace('-', "_")),
            (Naming::Alcazar, None) => name.replace('-', "_"),
        }
    }

    /// The row that `name` means, and whether it negates it.
    fn find(&self, name: &str) -> Option<(&'static Row, bool)> {
        let name = self.normal(name);
        let named = |name: &str| self.rows().find(|r| r.name == name || r.alias == Some(name));
        if let Some(row) = named(&name) {
            return Some((row, false));
        }
        named(name.strip_prefix("no-")?).map(|row| (row, true))
    }

    fn load(&mut self, row: &'static Row, negated: bool, value: Option<&str>, origin: Origin) {
        if let Some(given) = self.given.get(row.name) {
            let via = given.origin.name();
            self.errors.push(SettingsError::AlreadyLoaded { flag: row.name, via });
            return;
        }
        let text = match self.text(row, negated, value, &origin) {
            Ok(text) => text,
            Err(error) => return self.errors.push(error),
        };
        match self.value(row, &text) {
            Ok(value) => {
                let name = self.normal(&origin.name());
                if row.alias == Some(name.strip_prefix("no-").unwrap_or(&name)) {
                    self.notices.push(Notice::Deprecated { name, instead: row.name });
                }
                self.given.insert(row.name, Given { value, text, origin });
            }
            Err(error) => self.errors.push(error),
        }
    }

    /// The text of the value, booleans written out.
    fn text(
        &self,
        row: &'static Row,
        negated: bool,
        value: Option<&str>,
        origin: &Origin,
    ) -> Result<String, SettingsError> {
        let flag = row.name;
        match (row.kind, negated, value) {
            (Kind::Bool, true, None | Some("")) => Ok("false".to_owned()),
            (Kind::Bool, true, Some(value)) => Err(SettingsError::NegationWithValue {
                flag,
                via: origin.name(),
                value: value.to_owned(),
            }),
            (Kind::Bool, false, None | Some("")) => Ok("true".to_owned()),
            (_, true, _) => Err(SettingsError::Negated { flag, via: origin.name() }),
            (_, false, None) => Err(SettingsError::MissingValue(flag)),
            (_, false, Some(value)) => Ok(value.to_owned()),
        }
    }

    /// The value that `text` stands for, be it itself or a file.
    fn value(&mut self, row: &'static Row, text: &str) -> Result<Value, SettingsError> {
        let file = match (row.kind, text.strip_prefix("file://")) {
            (Kind::Path, _) => None,
            (_, Some(path)) => Some(path),
            (Kind::Json(_), None) if text.starts_with('/') => {
                self.notices.push(Notice::JsonPath { flag: row.name });
                Some(text)
            }
            (_, None) => None,
        };
        let content = match file {
            None => None,
            Some(path) => {
                let path = PathBuf::from(path);
                match (self.sources.read_file)(&path) {
                    Ok(content) => Some(content),
                    Err(why) => {
                        return Err(SettingsError::Unreadable { flag: row.name, path, why });
                    }
                }
            }
        };
        let public = row.sensitivity == Sensitivity::Public;
        parse(row.kind, content.as_deref().unwrap_or(text)).map_err(|why| SettingsError::Value {
            flag: row.name,
            value: public.then(|| text.to_owned()),
            why,
        })
    }

    fn required(&mut self) {
        let missing = self
            .rows()
            .filter(|row| row.default == Default::Required && !self.given.contains_key(row.name))
            .map(|row| SettingsError::Required(row.name));
        let missing: Vec<_> = missing.collect();
        self.errors.extend(missing);
    }

    fn effects(&mut self) {
        let variables = SECTIONS
            .iter()
            .filter(|s| s.place == Place::Variables && s.programs.contains(&self.program))
            .flat_map(|s| s.rows);
        for row in self.rows().chain(variables) {
            let Some(given) = self.given.get(row.name) else { continue };
            match row.effect {
                Effect::Honoured => {}
                Effect::NoEffectYet => {
                    let is_default = matches!(row.default, Default::Value(default)
                        if parse(row.kind, default).is_ok_and(|default| default == given.value));
                    if !is_default {
                        let origin = given.origin.to_string();
                        self.notices.push(Notice::NoEffect { origin });
                    }
                }
                Effect::Refused(restricts) => {
                    if restricts.matches(&given.value) {
                        let origin = given.origin.to_string();
                        self.errors.push(SettingsError::NotHonoured { flag: row.name, origin });
                    }
                }
            }
        }
    }
}

impl Restricts {
    /// Whether `value` restricts.
    fn matches(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Given, _) => true,
            (Self::False, Value::Bool(value)) => !value,
            (Self::True, Value::Bool(value)) => *value,
            (Self::Unless(usual), Value::Text(text)) => !usual.contains(&text.as_str()),
            (Self::Outside(known), Value::Text(text)) => {
                text.split(',').any(|element| !known.contains(&element))
            }
            // A row that says so of another kind of value is wrong about itself: refuse.
            (Self::False | Self::True | Self::Unless(_) | Self::Outside(_), _) => true,
        }
    }
}
