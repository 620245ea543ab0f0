//! What a row of the table says about one flag or variable.

use std::fmt;

/// A program that reads settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Program {
    /// `mesos-agent`, `alcazar agent`.
    Agent,
    /// `mesos-execute`.
    Execute,
    /// `mesos-master`, `alcazar master`.
    Master,
}

impl Program {
    /// All programs.
    pub const ALL: [Self; 3] = [Self::Agent, Self::Execute, Self::Master];

    /// The name that the original gives it.
    #[must_use]
    pub fn mesos_name(self) -> &'static str {
        match self {
            Self::Agent => "mesos-agent",
            Self::Execute => "mesos-execute",
            Self::Master => "mesos-master",
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.mesos_name())
    }
}

/// What a value may be, and whether `file://` in front of it stands for a file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true`, `1`, `false`, `0`.
    Bool,
    /// A whole number of bytes with a unit: `2GB`.
    Bytes,
    /// A number with a fraction.
    Double,
    /// A number and a unit: `15secs`.
    Duration,
    /// A whole number.
    Int,
    /// JSON text; also, as the original once had it, an absolute path to it.
    Json(JsonShape),
    /// Texts separated by commas.
    List,
    /// A path. Never the content of the file; a `file://` in front is removed.
    Path,
    /// A number of events per duration: `1/10mins`.
    Rate,
    /// Text, or with `file://` a file's content; what people are shown is the path.
    SecurePathOrValue,
    /// Different texts separated by commas.
    Set,
    /// A whole number, zero or more.
    Size,
    /// Any text.
    String,
    /// A whole number below 65536.
    UInt16,
}

impl Kind {
    /// The word for people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Bytes => "bytes",
            Self::Double => "double",
            Self::Duration => "duration",
            Self::Int => "int",
            Self::Json(_) => "JSON",
            Self::List => "list",
            Self::Path => "path",
            Self::Rate => "rate",
            Self::SecurePathOrValue => "text or file",
            Self::Set => "set",
            Self::Size => "size",
            Self::String => "string",
            Self::UInt16 => "uint16",
        }
    }
}

/// What the outermost thing of a JSON value must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonShape {
    /// `[…]`
    Array,
    /// `{…}`
    Object,
    /// `{…}` whose values are texts.
    Strings,
}

/// The value of a setting that nobody gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Default {
    /// The program finds one; the text says how.
    Computed(&'static str),
    /// There is none: the program does not start without.
    Required,
    /// There is none.
    Unset,
    /// This one.
    Value(&'static str),
}

/// Who may see a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sensitivity {
    /// Everybody who may see settings.
    Public,
    /// A path to secrets: it is shown if it is a path and nothing else.
    PathToSecret,
    /// Nobody: it is shown as `REDACTED`.
    Secret,
    /// Everybody, but for the user and password in a URL.
    Url,
}

/// What giving a setting does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// What the help says.
    Honoured,
    /// Nothing yet; a notice says so.
    NoEffectYet,
    /// The program does not start with a value that restricts: it would run more open than it
    /// was told.
    Refused(Restricts),
}

/// Which values of a setting restrict who may do what (or ask for something without which the
/// program would be another one).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restricts {
    /// `false`.
    False,
    /// Any.
    Given,
    /// A list with an element that is none of these.
    Outside(&'static [&'static str]),
    /// `true`.
    True,
    /// All but these.
    Unless(&'static [&'static str]),
}

/// In which builds of the original a setting exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Builds {
    /// In all on Linux with TLS.
    All,
    /// Only in some: `/flags` names it only if it was given.
    Some(&'static str),
}

/// One setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The name, lower case: `--<name>=`, `MESOS_<NAME>`. Of a variable: the whole name.
    pub name: &'static str,
    /// An old name that still works.
    pub alias: Option<&'static str>,
    /// What a value may be.
    pub kind: Kind,
    /// The value if nobody gives one.
    pub default: Default,
    /// One line for people.
    pub help: &'static str,
    /// Who may see the value.
    pub sensitivity: Sensitivity,
    /// What giving it does.
    pub effect: Effect,
    /// In which builds of the original it exists.
    pub builds: Builds,
}

impl Row {
    /// A row without alias that everybody may see.
    pub(crate) const fn new(
        name: &'static str,
        kind: Kind,
        default: Default,
        effect: Effect,
        help: &'static str,
    ) -> Self {
        Self {
            name,
            alias: None,
            kind,
            default,
            help,
            sensitivity: Sensitivity::Public,
            effect,
            builds: Builds::All,
        }
    }

    pub(crate) const fn alias(mut self, alias: &'static str) -> Self {
        self.alias = Some(alias);
        self
    }

    pub(crate) const fn sensitivity(mut self, sensitivity: Sensitivity) -> Self {
        self.sensitivity = sensitivity;
        self
    }

    pub(crate) const fn only_in(mut self, builds: &'static str) -> Self {
        self.builds = Builds::Some(builds);
        self
    }
}

/// Where the settings of a section are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On the command line, and (but for [`Program::Execute`]) in `MESOS_*` variables.
    Flags,
    /// As [`Self::Flags`], under every name of the program, though the original has none such.
    MoreFlags,
    /// As [`Self::Flags`], and only when the program is called by a name of our own.
    OwnFlags,
    /// In variables of the row's name.
    Variables,
}

/// Rows that belong together.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// The headline.
    pub title: &'static str,
    /// Who reads them.
    pub programs: &'static [Program],
    /// Where they are written.
    pub place: Place,
    /// The rows.
    pub rows: &'static [Row],
}
