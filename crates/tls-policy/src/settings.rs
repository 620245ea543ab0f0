//! The variables, and what was said in them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::notice::Notice;
use crate::resolve::{PolicyError, PolicyErrors};

/// The prefix of all variables.
const PREFIX: &str = "LIBPROCESS_SSL_";
/// The prefix of old, shared with other software.
const OLD_PREFIX: &str = "SSL_";

/// Under which name the program was called: it decides how strict the reading is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// Our own commands: unknown names and contradictions are errors.
    Alcazar,
    /// The original's names: what the original tolerates is a notice.
    Mesos,
}

/// What type a variable's value has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// `true`, `1` or nothing; `false`, `0`.
    Bool,
    /// A whole number, zero or more.
    Number,
    /// A path, used as it is; a `file://` in front is removed.
    Path,
    /// Any text.
    Text,
}

/// One variable, by its name after the prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variable {
    /// The name, upper case.
    pub name: &'static str,
    /// Names that the original's documentation gives and its code does not read; we do.
    pub documented: &'static [&'static str],
    /// What type its value has.
    pub kind: ValueKind,
}

const fn variable(
    name: &'static str,
    documented: &'static [&'static str],
    kind: ValueKind,
) -> Variable {
    Variable { name, documented, kind }
}

/// All variables.
pub const VARIABLES: &[Variable] = &[
    variable("CA_DIR", &[], ValueKind::Path),
    variable("CA_FILE", &[], ValueKind::Path),
    variable("CERT_FILE", &[], ValueKind::Path),
    variable("CIPHERS", &[], ValueKind::Text),
    variable("ECDH_CURVES", &["ECDH_CURVE"], ValueKind::Text),
    variable("ENABLED", &[], ValueKind::Bool),
    variable("ENABLE_SSL_V3", &[], ValueKind::Bool),
    variable("ENABLE_TLS_V1_0", &[], ValueKind::Bool),
    variable("ENABLE_TLS_V1_1", &[], ValueKind::Bool),
    variable("ENABLE_TLS_V1_2", &[], ValueKind::Bool),
    variable("ENABLE_TLS_V1_3", &[], ValueKind::Bool),
    variable("HELP", &[], ValueKind::Bool),
    variable("HOSTNAME_VALIDATION_SCHEME", &[], ValueKind::Text),
    variable("KEY_FILE", &[], ValueKind::Path),
    variable("REQUIRE_CERT", &[], ValueKind::Bool),
    variable("REQUIRE_CLIENT_CERT", &[], ValueKind::Bool),
    variable("SUPPORT_DOWNGRADE", &["ENABLE_DOWNGRADE"], ValueKind::Bool),
    variable("VERIFICATION_DEPTH", &["VERIFY_DEPTH"], ValueKind::Number),
    variable("VERIFY_CERT", &[], ValueKind::Bool),
    variable("VERIFY_IPADD", &[], ValueKind::Bool),
    variable("VERIFY_SERVER_CERT", &[], ValueKind::Bool),
];

/// A value together with the variable that said it, spelled as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said<T> {
    /// The value.
    pub value: T,
    /// The variable.
    pub variable: String,
}

/// What was said about TLS; `None` is silence. Defaults belong to [`crate::resolve()`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// How strict the reading is.
    pub naming: Naming,
    /// Directory of roots, hashed by OpenSSL.
    pub ca_dir: Option<Said<PathBuf>>,
    /// PEM bundle of roots.
    pub ca_file: Option<Said<PathBuf>>,
    /// PEM chain that we present, leaf first.
    pub cert_file: Option<Said<PathBuf>>,
    /// OpenSSL cipher string for TLS 1.2.
    pub ciphers: Option<Said<String>>,
    /// Groups in order of preference, or `auto`.
    pub ecdh_curves: Option<Said<String>>,
    /// Whether connections are encrypted at all.
    pub enabled: Option<Said<bool>>,
    /// SSL 3.0.
    pub enable_ssl_v3: Option<Said<bool>>,
    /// TLS 1.0.
    pub enable_tls_v1_0: Option<Said<bool>>,
    /// TLS 1.1.
    pub enable_tls_v1_1: Option<Said<bool>>,
    /// TLS 1.2.
    pub enable_tls_v1_2: Option<Said<bool>>,
    /// TLS 1.3.
    pub enable_tls_v1_3: Option<Said<bool>>,
    /// `legacy` or `openssl`.
    pub hostname_validation_scheme: Option<Said<String>>,
    /// PEM private key.
    pub key_file: Option<Said<PathBuf>>,
    /// Old name of [`Self::require_client_cert`].
    pub require_cert: Option<Said<bool>>,
    /// Clients must present a certificate that verifies.
    pub require_client_cert: Option<Said<bool>>,
    /// Plain peers are served and dialled.
    pub support_downgrade: Option<Said<bool>>,
    /// How many certificates may stand above the leaf.
    pub verification_depth: Option<Said<u32>>,
    /// Old name of [`Self::verify_server_cert`].
    pub verify_cert: Option<Said<bool>>,
    /// IP SANs count as names.
    pub verify_ipadd: Option<Said<bool>>,
    /// Servers that we connect to are verified.
    pub verify_server_cert: Option<Said<bool>>,
    /// What the reading itself wants an operator to know.
    pub notices: Vec<Notice>,
}

impl TlsSettings {
    /// Nothing said.
    #[must_use]
    pub fn silent(naming: Naming) -> Self {
        Self {
            naming,
            ca_dir: None,
            ca_file: None,
            cert_file: None,
            ciphers: None,
            ecdh_curves: None,
            enabled: None,
            enable_ssl_v3: None,
            enable_tls_v1_0: None,
            enable_tls_v1_1: None,
            enable_tls_v1_2: None,
            enable_tls_v1_3: None,
            hostname_validation_scheme: None,
            key_file: None,
            require_cert: None,
            require_client_cert: None,
            support_downgrade: None,
            verification_depth: None,
            verify_cert: None,
            verify_ipadd: None,
            verify_server_cert: None,
            notices: Vec::new(),
        }
    }

    /// Reads the variables among `environment`. A value `file://<path>` stands for the content
    /// of that file, which `read_file` gives (or says why not). All that is wrong is reported
    /// at once.
    pub fn read(
        naming: Naming,
        environment: impl IntoIterator<Item = (String, String)>,
        read_file: &dyn Fn(&Path) -> Result<String, String>,
    ) -> Result<Self, PolicyErrors> {
        let mut reading = Reading { read_file, errors: Vec::new(), notices: Vec::new() };
        let mut said = reading.collect(naming, environment);
        let mut settings = Self::silent(naming);
        settings.ca_dir = reading.path(&mut said, "CA_DIR");
        settings.ca_file = reading.path(&mut said, "CA_FILE");
        settings.cert_file = reading.path(&mut said, "CERT_FILE");
        settings.ciphers = reading.text(&mut said, "CIPHERS");
        settings.ecdh_curves = reading.text(&mut said, "ECDH_CURVES");
        settings.enabled = reading.flag(&mut said, "ENABLED");
        settings.enable_ssl_v3 = reading.flag(&mut said, "ENABLE_SSL_V3");
        settings.enable_tls_v1_0 = reading.flag(&mut said, "ENABLE_TLS_V1_0");
        settings.enable_tls_v1_1 = reading.flag(&mut said, "ENABLE_TLS_V1_1");
        settings.enable_tls_v1_2 = reading.flag(&mut said, "ENABLE_TLS_V1_2");
        settings.enable_tls_v1_3 = reading.flag(&mut said, "ENABLE_TLS_V1_3");
        let _ = reading.flag(&mut said, "HELP");
        settings.hostname_validation_scheme = reading.text(&mut said, "HOSTNAME_VALIDATION_SCHEME");
        settings.key_file = reading.path(&mut said, "KEY_FILE");
        settings.require_cert = reading.flag(&mut said, "REQUIRE_CERT");
        settings.require_client_cert = reading.flag(&mut said, "REQUIRE_CLIENT_CERT");
        settings.support_downgrade = reading.flag(&mut said, "SUPPORT_DOWNGRADE");
        settings.verification_depth = reading.number(&mut said, "VERIFICATION_DEPTH");
        settings.verify_cert = reading.flag(&mut said, "VERIFY_CERT");
        settings.verify_ipadd = reading.flag(&mut said, "VERIFY_IPADD");
        settings.verify_server_cert = reading.flag(&mut said, "VERIFY_SERVER_CERT");
        settings.notices = reading.notices;
        match reading.errors {
            errors if errors.is_empty() => Ok(settings),
            errors => Err(PolicyErrors(errors)),
        }
    }
}

/// A variable as it stood in the environment.
struct Raw {
    variable: String,
    value: String,
    /// Given as `<prefix>no-<name>`.
    negated: bool,
}

struct Reading<'a> {
    read_file: &'a dyn Fn(&Path) -> Result<String, String>,
    errors: Vec<PolicyError>,
    notices: Vec<Notice>,
}

impl Reading<'_> {
    /// For each name what counts: the first of new prefix before old, lower case before upper.
    fn collect(
        &mut self,
        naming: Naming,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> BTreeMap<&'static str, Raw> {
        let mut candidates: BTreeMap<&'static str, Vec<(bool, Raw)>> = BTreeMap::new();
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
                Some((found, documented, negated)) => {
                    if documented && old {
                        continue;
                    }
                    if documented {
                        self.notices.push(Notice::Deprecated {
                            variable: variable.clone(),
                            instead: found.name,
                        });
                    }
                    if old {
                        old_names.push(found.name);
                    }
                    let raw = Raw { variable, value, negated };
                    candidates.entry(found.name).or_default().push((old, raw));
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
            let astray = configured && found.iter().all(|(old, _)| *old);
            found.retain(|(old, raw)| {
                if *old && astray {
                    self.notices.push(Notice::Ignored {
                        variable: raw.variable.clone(),
                        reason: "alone it is OpenSSL's variable for trusted roots and never our \
                                 own certificate; that is `LIBPROCESS_SSL_CERT_FILE`",
                    });
                }
                !*old
            });
        }
        candidates
            .into_iter()
            .filter_map(|(name, found)| Some((name, self.choose(found)?)))
            .collect()
    }

    fn unknown(&mut self, naming: Naming, variable: String, upper: &str) {
        let suggestion = nearest(upper).map(|name| format!("{PREFIX}{name}"));
        match naming {
            Naming::Alcazar => self.errors.push(PolicyError::Unknown { variable, suggestion }),
            Naming::Mesos => self.notices.push(Notice::Unknown { variable, suggestion }),
        }
    }

    fn choose(&mut self, mut found: Vec<(bool, Raw)>) -> Option<Raw> {
        // New prefix first; within one prefix lower case sorts behind upper, and wins.
        found.sort_by(|(a_old, a), (b_old, b)| {
            a_old.cmp(b_old).then_with(|| b.variable.cmp(&a.variable))
        });
        if let [(first_old, first), .., (last_old, last)] = &found[..] {
            let both_forms = found
                .iter()
                .find(|(old, raw)| old == first_old && raw.negated != first.negated)
                .map(|(_, other)| PolicyError::BothForms {
                    variable: first.variable.clone(),
                    other: other.variable.clone(),
                });
            self.errors.extend(both_forms);
            if first_old != last_old && (&first.value, first.negated) != (&last.value, last.negated)
            {
                self.notices.push(Notice::Mismatch {
                    used: first.variable.clone(),
                    ignored: last.variable.clone(),
                });
            }
        }
        found.into_iter().next().map(|(_, raw)| raw)
    }

    fn text(&mut self, said: &mut BTreeMap<&str, Raw>, name: &str) -> Option<Said<String>> {
        let Raw { variable, value, .. } = said.remove(name)?;
        let value = match value.strip_prefix("file://") {
            None => value,
            Some(path) => match (self.read_file)(Path::new(path)) {
                Ok(content) => content,
                Err(reason) => {
                    let path = PathBuf::from(path);
                    self.errors.push(PolicyError::Unreadable { variable, path, reason });
                    return None;
                }
            },
        };
        Some(Said { value, variable })
    }

    fn path(&mut self, said: &mut BTreeMap<&str, Raw>, name: &str) -> Option<Said<PathBuf>> {
        let Raw { variable, value, .. } = said.remove(name)?;
        let path = value.strip_prefix("file://").unwrap_or(&value);
        if path.is_empty() {
            let expected = "a path";
            self.errors.push(PolicyError::Value { variable, value, expected });
            return None;
        }
        Some(Said { value: PathBuf::from(path), variable })
    }

    fn flag(&mut self, said: &mut BTreeMap<&str, Raw>, name: &str) -> Option<Said<bool>> {
        let negated = said.get(name)?.negated;
        let Said { value, variable } = self.text(said, name)?;
        let value = match (value.as_str(), negated) {
            ("", true) => false,
            ("true" | "1" | "", false) => true,
            ("false" | "0", false) => false,
            _ => {
                let expected = if negated { "nothing" } else { "true, 1, false or 0" };
                self.errors.push(PolicyError::Value { variable, value, expected });
                return None;
            }
        };
        Some(Said { value, variable })
    }

    fn number(&mut self, said: &mut BTreeMap<&str, Raw>, name: &str) -> Option<Said<u32>> {
        let Said { value, variable } = self.text(said, name)?;
        match value.parse() {
            Ok(value) => Some(Said { value, variable }),
            Err(_) => {
                let expected = "a whole number, zero or more";
                self.errors.push(PolicyError::Value { variable, value, expected });
                None
            }
        }
    }
}

/// The variable called `upper`, and whether by a name that only the documentation knows.
fn find(upper: &str) -> Option<(&'static Variable, bool)> {
    VARIABLES.iter().find_map(|v| {
        let documented = v.documented.contains(&upper);
        (v.name == upper || documented).then_some((v, documented))
    })
}

/// The name nearest to `upper`, if one is near enough to be what was meant.
fn nearest(upper: &str) -> Option<&'static str> {
    VARIABLES
        .iter()
        .map(|v| (distance(upper, v.name), v.name))
        .min()
        .filter(|(distance, name)| *distance <= name.len().div_ceil(3))
        .map(|(_, name)| name)
}

/// How many letters to insert, remove or replace (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
