//! From values to typed settings.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use crate::agent_settings::AgentSettings;
use crate::common_settings::TlsFlag;
use crate::error::{Failure, Notice, SettingsError};
use crate::execute_settings::ExecuteSettings;
use crate::master_settings::MasterSettings;
use crate::page::usage;
use crate::parse::{Naming, Origin, Sources, Values, checked, read};
use crate::row::{Builds, Default, Place, Program, Row};
use crate::rows::{SECTIONS, flags, tls_flags};
use crate::units::Rate;
use crate::value::{Value, parse};

/// Every flag of a program with the text of its value, as `/flags` shows it: secrets removed,
/// those without value left out.
pub type EffectiveFlags = BTreeMap<String, String>;

/// What reading settings came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Loaded<T> {
    /// `--help`: print this to standard output and end.
    Help(String),
    /// Run.
    Run {
        /// With these settings.
        settings: Box<T>,
        /// After logging these.
        notices: Vec<Notice>,
    },
    /// `--version`: print the version and end.
    Version,
}

/// Reads the settings of a master.
pub fn master(naming: Naming, sources: &Sources<'_>) -> Result<Loaded<MasterSettings>, Failure> {
    load(naming, sources)
}

/// Reads the settings of an agent.
pub fn agent(naming: Naming, sources: &Sources<'_>) -> Result<Loaded<AgentSettings>, Failure> {
    load(naming, sources)
}

/// Reads the settings of `mesos-execute`; the environment counts only for the message layer.
pub fn execute(sources: &Sources<'_>) -> Result<Loaded<ExecuteSettings>, Failure> {
    load(Naming::Mesos, sources)
}

/// Settings of one program.
pub(crate) trait Typed: Sized {
    /// Whose.
    const PROGRAM: Program;

    /// Reads all fields. `None`, or errors in `reading`: they are no settings.
    fn read(reading: &mut Reading<'_>) -> Option<Self>;
}

fn load<T: Typed>(naming: Naming, sources: &Sources<'_>) -> Result<Loaded<T>, Failure> {
    let (values, errors) = read(T::PROGRAM, naming, sources);
    let asked =
        |name: &str| values.given.get(name).is_some_and(|given| given.value == Value::Bool(true));
    if asked("help") {
        return Ok(Loaded::Help(usage(T::PROGRAM, naming)));
    }
    if asked("version") {
        return Ok(Loaded::Version);
    }
    let mut reading = Reading { values: &values, errors, notices: values.notices.clone() };
    let settings = T::read(&mut reading);
    let Reading { errors, notices, .. } = reading;
    checked(values.clone(), errors)?;
    match settings {
        Some(settings) => Ok(Loaded::Run { settings: Box::new(settings), notices }),
        None => {
            debug_assert!(false, "whoever returns no settings says why");
            Err(Failure { program: T::PROGRAM, errors: Vec::new() })
        }
    }
}

/// Access to values by the names of their rows, defaults filled in. A value of the wrong kind
/// was reported when it was read; its place is taken by the default.
pub(crate) struct Reading<'a> {
    values: &'a Values,
    errors: Vec<SettingsError>,
    notices: Vec<Notice>,
}

impl Reading<'_> {
    pub(crate) fn naming(&self) -> Naming {
        self.values.naming
    }

    pub(crate) fn is_given(&self, name: &str) -> bool {
        self.values.given.contains_key(name)
    }

    /// Whether the environment switches TLS on.
    pub(crate) fn is_tls_in_environment(&self) -> bool {
        self.values.tls_in_environment
    }

    /// What the command line says about TLS, for whoever reads it.
    pub(crate) fn tls_flags(&self) -> Vec<TlsFlag> {
        tls_flags()
            .filter_map(|row| {
                let given = self.values.given.get(row.name)?;
                let value = match &given.value {
                    Value::Bool(value) => value.to_string(),
                    _ => given.text.clone(),
                };
                let name = row.name.strip_prefix("tls_")?.to_ascii_uppercase();
                let Origin::Argument(spelled) = &given.origin else { return None };
                Some(TlsFlag { name, value, spelled: format!("--{spelled}") })
            })
            .collect()
    }

    pub(crate) fn invalid(&mut self, name: &str, why: impl Into<String>) {
        // What did not even parse has been reported.
        if let Some(row) = self.row(name) {
            self.errors.push(SettingsError::Invalid { flag: row.name, why: why.into() });
        }
    }

    pub(crate) fn not_honoured(&mut self, name: &str) {
        let origin = self.values.given.get(name).map(|given| given.origin.to_string());
        if let (Some(row), Some(origin)) = (self.row(name), origin) {
            self.errors.push(SettingsError::NotHonoured { flag: row.name, origin });
        }
    }

    pub(crate) fn weak(&mut self, name: &str, consequence: &'static str) {
        if let Some(given) = self.values.given.get(name) {
            let origin = given.origin.to_string();
            self.notices.push(Notice::Weak { origin, consequence });
        }
    }

    /// Reports what keeps the program from starting, in a text of its own.
    pub(crate) fn start(&mut self, name: &str, text: impl Into<String>) {
        if let Some(row) = self.row(name) {
            self.errors.push(SettingsError::Start { flag: row.name, text: text.into() });
        }
    }

    pub(crate) fn partly(&mut self, name: &str, what: &'static str) {
        if let Some(given) = self.values.given.get(name) {
            self.notices.push(Notice::Partly { origin: given.origin.to_string(), what });
        }
    }

    /// An error if both are given.
    pub(crate) fn not_both(&mut self, first: &str, second: &str) {
        if self.is_given(first) && self.is_given(second) {
            self.invalid(first, format!("and flag '{second}' exclude each other"));
        }
    }

    pub(crate) fn flag(&mut self, name: &str) -> bool {
        matches!(self.value(name), Some(Value::Bool(true)))
    }

    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        match self.value(name)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn path(&mut self, name: &str) -> Option<PathBuf> {
        match self.value(name)? {
            Value::Path(path) => Some(path),
            _ => None,
        }
    }

    pub(crate) fn json(&mut self, name: &str) -> Option<String> {
        match self.value(name)? {
            Value::Json(text) => Some(text),
            _ => None,
        }
    }

    /// A JSON object whose values are texts.
    pub(crate) fn strings(&mut self, name: &str) -> Option<BTreeMap<String, String>> {
        serde_json::from_str(&self.json(name)?).ok()
    }

    pub(crate) fn several(&mut self, name: &str) -> Vec<String> {
        match self.value(name) {
            Some(Value::Several(texts)) => texts,
            _ => Vec::new(),
        }
    }

    pub(crate) fn duration(&mut self, name: &str) -> Duration {
        self.optional_duration(name).unwrap_or_default()
    }

    pub(crate) fn optional_duration(&mut self, name: &str) -> Option<Duration> {
        match self.value(name)? {
            Value::Duration(duration) => Some(duration),
            _ => None,
        }
    }

    pub(crate) fn size(&mut self, name: &str) -> usize {
        match self.value(name) {
            Some(Value::Size(size)) => usize::try_from(size).unwrap_or(usize::MAX),
            _ => 0,
        }
    }

    pub(crate) fn rate(&mut self, name: &str) -> Option<Rate> {
        match self.value(name)? {
            Value::Rate(rate) => Some(rate),
            _ => None,
        }
    }

    /// A number of bytes.
    pub(crate) fn bytes(&mut self, name: &str) -> usize {
        match self.value(name) {
            Some(Value::Bytes(bytes)) => usize::try_from(bytes).unwrap_or(usize::MAX),
            _ => 0,
        }
    }

    pub(crate) fn int(&mut self, name: &str) -> i64 {
        match self.value(name) {
            Some(Value::Int(number)) => number,
            _ => 0,
        }
    }

    pub(crate) fn double(&mut self, name: &str) -> f64 {
        match self.value(name) {
            Some(Value::Double(number)) => number,
            _ => 0.0,
        }
    }

    pub(crate) fn uint16(&mut self, name: &str) -> u16 {
        self.optional_uint16(name).unwrap_or_default()
    }

    pub(crate) fn optional_uint16(&mut self, name: &str) -> Option<u16> {
        match self.value(name)? {
            Value::UInt16(number) => Some(number),
            _ => None,
        }
    }

    pub(crate) fn ipv4(&mut self, name: &str) -> Option<Ipv4Addr> {
        let text = self.text(name)?;
        match text.trim().parse() {
            Ok(ip) => Some(ip),
            Err(_) => {
                self.invalid(name, format!("is `{text}`, expected an IPv4 address"));
                None
            }
        }
    }

    /// What the text stands for, of those that it may be.
    pub(crate) fn choice<T: Copy>(&mut self, name: &str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(name)?;
        let chosen = choices.iter().find(|(choice, _)| *choice == text).map(|(_, value)| *value);
        if chosen.is_none() {
            let known: Vec<_> = choices.iter().map(|(choice, _)| *choice).collect();
            self.invalid(name, format!("is `{text}`, expected one of: {}", known.join(", ")));
        }
        chosen
    }

    /// All flags with the texts of their values.
    pub(crate) fn effective(&self) -> EffectiveFlags {
        let own = self.values.naming == Naming::Alcazar;
        flags(self.values.program)
            .filter(|(section, row)| match section.place {
                Place::Flags => true,
                Place::MoreFlags => own || self.is_given(row.name),
                Place::OwnFlags => own,
                Place::Variables => false,
            })
            .filter_map(|(_, row)| Some((row.name.to_owned(), self.shown(row)?)))
            .collect()
    }

    fn shown(&self, row: &Row) -> Option<String> {
        if let Some(given) = self.values.given.get(row.name) {
            return Some(given.value.shown(row, &given.text));
        }
        match (row.default, row.builds) {
            (Default::Value(text), Builds::All) => {
                parse(row.kind, text).ok().map(|value| value.shown(row, text))
            }
            _ => None,
        }
    }

    fn value(&self, name: &str) -> Option<Value> {
        if let Some(given) = self.values.given.get(name) {
            return Some(given.value.clone());
        }
        match self.row(name)?.default {
            Default::Value(text) => parse(self.row(name)?.kind, text).ok(),
            Default::Computed(_) | Default::Required | Default::Unset => None,
        }
    }

    fn row(&self, name: &str) -> Option<&'static Row> {
        let program = self.values.program;
        let row = SECTIONS
            .iter()
            .filter(|section| section.programs.contains(&program))
            .flat_map(|section| section.rows)
            .find(|row| row.name == name);
        debug_assert!(row.is_some(), "no row `{name}` for {program}");
        row
    }
}
