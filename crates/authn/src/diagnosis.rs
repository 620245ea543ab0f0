//! What somebody could still do who is not who they say, and the one line that ends it.
//!
//! A pure function from what a daemon was told ([`Facts`]) to what is to be said about it.

use std::fmt;

/// What a daemon was told, as far as it matters to who is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Which daemon.
    pub program: Program,
    /// How far connections are encrypted.
    pub wire: Wire,
    /// Whether every component has a certificate with its identity, without which it gets nowhere.
    pub identities: bool,
    /// Whether the certificates of those whom the daemon dials are verified.
    pub servers_verified: bool,
    /// Whether messages come in only with a verified certificate.
    pub messages_certified: bool,
    /// The realms of HTTP.
    pub realms: Vec<RealmFacts>,
    /// SASL.
    pub sasl: SaslFacts,
    /// The files with secrets.
    pub files: Vec<FileFacts>,
    /// Whether there is a list of those who are known: `--credentials`, `--http_credentials`.
    pub accounts: bool,
    /// Whether executors get tokens of a key: `--jwt_secret_key`.
    pub jwt_key: bool,
    /// Whether decisions have a file of their own.
    pub audit_log: bool,
}

/// Which daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// A master, and whether agents and v0 frameworks must have authenticated, and whether it is
    /// said how frameworks over HTTP do.
    Master {
        /// `--authenticate_agents`
        agents: bool,
        /// `--authenticate_frameworks`
        frameworks: bool,
        /// `--http_framework_authenticators`
        framework_schemes: bool,
    },
    /// An agent, and whether it has something to prove itself with: `--credential`, or a
    /// certificate that it was told to use.
    Agent {
        /// Whether it has.
        credential: bool,
    },
}

/// How far connections are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// Not at all.
    Plaintext,
    /// With those who know TLS.
    Downgrade,
    /// All of them.
    Encrypted,
}

/// One realm of HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RealmFacts {
    /// Its name: `mesos-master-readonly`.
    pub name: &'static str,
    /// What it asks for: `basic`, `jwt`, `certificate`. Empty: nothing.
    pub asks: Vec<String>,
    /// Whether nobody comes in without a verified certificate.
    pub certified: bool,
}

/// SASL over libprocess.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SaslFacts {
    /// The names of what is offered or used.
    pub mechanisms: Vec<String>,
    /// `--danger_plaintext_secrets`
    pub danger_plaintext_secrets: bool,
    /// `--danger_same_address_sessions`
    pub danger_same_address_sessions: bool,
}

/// One file with secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileFacts {
    /// The flag that names it.
    pub flag: &'static str,
    /// Where it is.
    pub path: String,
    /// Whether others than its owner and group have any access.
    pub open_to_others: bool,
    /// How many entries it has; `None`: it is no list of those who are known.
    pub entries: Option<usize>,
    /// Who has an empty secret.
    pub empty: Vec<String>,
    /// How many entries hold the secret itself.
    pub plaintext: usize,
    /// How many say nothing about kinds.
    pub without_kinds: usize,
    /// Who stands there more than once.
    pub duplicate: Vec<String>,
    /// Who has two valid secrets.
    pub rotating: Vec<String>,
}

/// What is to be said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnosis {
    /// In one word or two.
    pub posture: Posture,
    /// What somebody could do who can reach the port, listen, or change what is sent, and who has
    /// no secret and no key of ours. The worst first.
    pub holes: Vec<Finding>,
    /// What remains to somebody who has more than the network, or goes unnoticed.
    pub remarks: Vec<Finding>,
    /// What the daemon's operator was told at the start.
    pub notices: Vec<String>,
}

/// How far it is known who is who.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Posture {
    /// Some door asks nobody.
    #[default]
    Open,
    /// Every door asks, and what is answered can be read, guessed or used by others.
    Exposed,
    /// Every door asks, and only who is asked can answer.
    Authenticated,
    /// So it is, and every component has an identity of its own.
    Identities,
}

impl fmt::Display for Posture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Exposed => "asked, but exposed",
            Self::Authenticated => "authenticated",
            Self::Identities => "identities",
        })
    }
}

/// One thing that could happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// A word that stays the same, for scripts.
    pub id: &'static str,
    /// What somebody could do: a sentence.
    pub what: String,
    /// The line that ends it: a variable to set, or a command.
    pub closed_by: String,
    /// Whether either names principals or files, which are nothing for strangers.
    pub names: bool,
}

/// Says what is open and what is weak. `notices` are those of the start.
#[must_use]
pub fn diagnose(facts: &Facts, notices: Vec<String>) -> Diagnosis {
    let mut diagnosis = Diagnosis { notices, ..Diagnosis::default() };
    match facts.program {
        Program::Master { agents, frameworks, framework_schemes } => {
            diagnosis.messages_of_a_master(facts, agents, frameworks);
            diagnosis.realms(facts, framework_schemes);
        }
        Program::Agent { credential } => {
            diagnosis.realms(facts, true);
            diagnosis.master_of_an_agent(facts, credential);
        }
    }
    diagnosis.empty_secrets(facts);
    let open = !diagnosis.holes.is_empty();
    diagnosis.exposed(facts, matches!(facts.program, Program::Agent { credential: true }));
    diagnosis.at_rest(facts);
    diagnosis.posture = match (open, diagnosis.holes.is_empty(), facts.identities) {
        (true, _, _) => Posture::Open,
        (false, false, _) => Posture::Exposed,
        (false, true, false) => Posture::Authenticated,
        (false, true, true) => Posture::Identities,
    };
    diagnosis
}

impl Diagnosis {
    /// What of it somebody may read who has not said who they are: what names nobody.
    #[must_use]
    pub fn for_strangers(&self) -> Self {
        let veiled = |all: &[Finding]| {
            let veil = |finding: &Finding| match finding.names {
                false => finding.clone(),
                true => Finding {
                    what: "It is about principals or files: whoever has authenticated reads more."
                        .to_owned(),
                    closed_by: "alcazar credentials check <file>".to_owned(),
                    ..finding.clone()
                },
            };
            all.iter().map(veil).collect()
        };
        Self {
            posture: self.posture,
            holes: veiled(&self.holes),
            remarks: veiled(&self.remarks),
            // They name principals and files.
            notices: Vec::new(),
        }
    }
}

/// `MESOS_<FLAG>=<value>`, which works under every name.
fn set(flag: &str, value: &str) -> String {
    format!("MESOS_{}={value}", flag.to_ascii_uppercase())
}

/// Words behind one another: `a`, `a and b`, `a, b and c`; no more than a few.
fn several(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let quoted: Vec<_> =
        names.iter().take(SHOWN).map(|name| format!("\"{}\"", name.escape_debug())).collect();
    let more = names.len().saturating_sub(SHOWN);
    match quoted.split_last() {
        None => String::new(),
        Some(_) if more > 0 => format!("{} and {more} more", quoted.join(", ")),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

impl Diagnosis {
    fn hole(&mut self, id: &'static str, what: impl Into<String>, closed_by: String) {
        self.holes.push(Finding { id, what: what.into(), closed_by, names: false });
    }

    fn remark(&mut self, id: &'static str, what: impl Into<String>, closed_by: String) {
        self.remarks.push(Finding { id, what: what.into(), closed_by, names: false });
    }

    fn messages_of_a_master(&mut self, facts: &Facts, agents: bool, frameworks: bool) {
        if facts.identities || facts.messages_certified {
            return;
        }
        let line = |flag: &str| match facts.accounts {
            true => set(flag, "true"),
            // The flag alone would shut everybody out.
            false => set("credentials", "<file>"),
        };
        if !agents {
            let what = "Register as an agent, and be given tasks with all that is in them.";
            self.hole("open-agents", what, line("authenticate_agents"));
        }
        if !frameworks {
            let what = "Register as a framework over libprocess, under any name, and run tasks.";
            self.hole("open-frameworks", what, line("authenticate_frameworks"));
        }
    }

    fn realms(&mut self, facts: &Facts, framework_schemes: bool) {
        for realm in &facts.realms {
            if facts.identities || realm.certified || !realm.asks.is_empty() {
                continue;
            }
            let master = matches!(facts.program, Program::Master { .. });
            let accounts = if master { "credentials" } else { "http_credentials" };
            let line = |flag: &str| match facts.accounts {
                true => set(flag, "true"),
                false => set(accounts, "<file>"),
            };
            if realm.name.ends_with("-readwrite") {
                let what = "Make calls of the operator's API that change something: kill tasks, \
                            reserve, drain, run commands in containers.";
                self.hole("open-readwrite", what, line("authenticate_http_readwrite"));
            } else if realm.name.ends_with("-scheduler") {
                let what = "Subscribe as a framework over HTTP, under any name, and run tasks.";
                let closed_by = match (facts.accounts, framework_schemes) {
                    (true, false) => set("http_framework_authenticators", "basic"),
                    _ => line("authenticate_http_frameworks"),
                };
                self.hole("open-http-frameworks", what, closed_by);
            } else if realm.name.ends_with("-readonly") {
                let what = "Read the state: all tasks, what they are told, their sandboxes' files.";
                self.hole("open-readonly", what, line("authenticate_http_readonly"));
            } else if realm.name.ends_with("-executor") {
                // The agent knows which process holds the other end of a local connection.
                let what = "Executors of frameworks are known by their process, not by a token: \
                            whoever can act inside of a container can act as its executor.";
                let closed_by = match (facts.jwt_key, facts.accounts) {
                    (false, _) => set("jwt_secret_key", "<file>"),
                    (true, false) => set(accounts, "<file>"),
                    (true, true) => set("authenticate_http_executors", "true"),
                };
                self.remark("executors-by-process", what, closed_by);
            }
        }
    }

    /// What an agent knows of its master.
    fn master_of_an_agent(&mut self, facts: &Facts, credential: bool) {
        if facts.identities || facts.servers_verified {
            return;
        }
        if !credential {
            let what = "Answer at the master's address, or in between, and be obeyed: the agent \
                        asks for no proof.";
            self.hole("any-master", what, set("credential", "<file>"));
            return;
        }
        let proves = |name: &String| name.starts_with("SCRAM-");
        if !facts.sasl.mechanisms.iter().all(proves) {
            let what = "Answer at the master's address, offer only a mechanism in which a master \
                        proves nothing, and be obeyed.";
            let closed_by = set("sasl_mechanisms", "SCRAM-SHA-256-PLUS,SCRAM-SHA-256");
            self.hole("unproven-master", what, closed_by);
        }
    }

    fn empty_secrets(&mut self, facts: &Facts) {
        for file in &facts.files {
            if let Some(name) = file.empty.first() {
                let what = format!(
                    "Authenticate over HTTP as {} with an empty secret.",
                    several(&file.empty)
                );
                let closed_by =
                    format!("alcazar credentials rotate {} {}", file.path, name.escape_debug());
                self.hole("empty-secret", what, closed_by);
                if let Some(hole) = self.holes.last_mut() {
                    hole.names = true;
                }
            }
        }
    }

    /// What can be read, guessed or used by others.
    fn exposed(&mut self, facts: &Facts, credential: bool) {
        let master = matches!(facts.program, Program::Master { .. });
        let uses_sasl = if master { facts.accounts } else { credential };
        let has = |name: &str| facts.sasl.mechanisms.iter().any(|one| one == name);
        if facts.wire != Wire::Encrypted {
            if uses_sasl && has("CRAM-MD5") && facts.sasl.danger_plaintext_secrets {
                let what = "Listen to an exchange of CRAM-MD5 and guess the secret at leisure.";
                let closed_by = set("danger_plaintext_secrets", "false");
                self.hole("cram-md5-plaintext", what, closed_by);
            }
            let what = "Read secrets of HTTP Basic and tokens, and go on with a connection on \
                        which somebody has authenticated: connections are not encrypted. (alcazar \
                        doctor tls says more.)";
            let closed_by = match facts.wire {
                Wire::Downgrade => "LIBPROCESS_SSL_SUPPORT_DOWNGRADE=false",
                Wire::Plaintext | Wire::Encrypted => "LIBPROCESS_SSL_ENABLED=true",
            };
            self.hole("plaintext", what, closed_by.to_owned());
        }
        if uses_sasl && facts.sasl.danger_same_address_sessions {
            let whose = match master {
                true => "an agent or framework of the original",
                false => "a master that knows only CRAM-MD5",
            };
            let what = format!(
                "Speak in the name of {whose} on a connection from its address, while its session \
                 lives."
            );
            let closed_by = set("danger_same_address_sessions", "false");
            self.hole("same-address", what, closed_by);
        }
    }

    fn at_rest(&mut self, facts: &Facts) {
        let before = self.remarks.len();
        self.in_files(facts);
        for remark in self.remarks.iter_mut().skip(before) {
            remark.names = true;
        }
        self.unnoticed(facts);
    }

    /// What is wrong with files and what is in them.
    fn in_files(&mut self, facts: &Facts) {
        for file in &facts.files {
            let path = &file.path;
            if file.open_to_others {
                let what = format!("Every user of the machine has access to {path}.");
                self.remark("file-mode", what, format!("chmod o= {path}"));
            }
            if file.entries == Some(0) {
                let what = format!("Nobody can authenticate: there is no entry in {path}.");
                let closed_by =
                    format!("alcazar credentials add {path} <principal> --kinds <kinds>");
                self.remark("nobody", what, closed_by);
            }
            if file.plaintext > 0 && file.entries.is_some() {
                let what = format!(
                    "Whoever reads {path}, or a copy of it, has the secrets of {} of {} \
                     principals. (Once hashed they are of no use for CRAM-MD5.)",
                    file.plaintext,
                    file.entries.unwrap_or_default()
                );
                self.remark("plaintext-secrets", what, format!("alcazar credentials hash {path}"));
            }
            if file.without_kinds > 0 {
                let what = format!(
                    "Whoever has the secret of one of {} principals of {path} can speak as every \
                     kind of component: they say nothing about kinds.",
                    file.without_kinds
                );
                let closed_by = "\"kinds\": [\"agent\"] (or framework, operator) in each entry";
                self.remark("without-kinds", what, closed_by.to_owned());
            }
            if !file.duplicate.is_empty() {
                let what = format!(
                    "{} stand in {path} more than once; only the last entry counts.",
                    several(&file.duplicate)
                );
                self.remark("duplicates", what, format!("leave one entry of each in {path}"));
            }
            if let Some(name) = file.rotating.first() {
                let what = format!(
                    "The old secrets of {} are still valid in {path}.",
                    several(&file.rotating)
                );
                let closed_by =
                    format!("alcazar credentials rotate --finish {path} {}", name.escape_debug());
                self.remark("rotating", what, closed_by);
            }
        }
    }

    fn unnoticed(&mut self, facts: &Facts) {
        if facts.jwt_key {
            let what = "Tokens of executors of frameworks say no end: whoever copies one can act \
                        as that executor while its container runs.";
            let closed_by = "leave out MESOS_JWT_SECRET_KEY: executors of ours renew their tokens";
            self.remark("tokens-without-end", what, closed_by.to_owned());
        }
        if !facts.audit_log {
            let what = "Nobody can look up afterwards who came in and who tried: decisions go to \
                        the log, between all other lines.";
            self.remark("no-audit-log", what, set("audit_log", "<file>"));
        }
    }
}

#[cfg(test)]
#[path = "diagnosis_tests.rs"]
mod authn_diagnosis;
