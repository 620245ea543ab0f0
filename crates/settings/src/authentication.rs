//! What daemons are told about who is who.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::common_settings::Protection;
use crate::parse::Naming;
use crate::typed::Reading;

/// A SASL mechanism, by which frameworks and agents authenticate over libprocess.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SaslMechanism {
    /// `SCRAM-SHA-256-PLUS`: both prove that they know the secret, on this very connection.
    ScramSha256Plus,
    /// `SCRAM-SHA-256`: both prove that they know the secret.
    ScramSha256,
    /// `EXTERNAL`: the client's certificate says it.
    External,
    /// `PLAIN`: the client sends the secret; only on encrypted connections.
    Plain,
    /// `CRAM-MD5`: the only one that the original knows.
    CramMd5,
}

impl SaslMechanism {
    /// All of them, the strongest first.
    pub const ALL: [Self; 5] =
        [Self::ScramSha256Plus, Self::ScramSha256, Self::External, Self::Plain, Self::CramMd5];

    /// The registered name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::External => "EXTERNAL",
            Self::Plain => "PLAIN",
            Self::CramMd5 => "CRAM-MD5",
        }
    }
}

impl fmt::Display for SaslMechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A way to authenticate an HTTP request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HttpScheme {
    /// `basic`: a principal and its secret.
    Basic,
    /// `jwt`: a signed token.
    Jwt,
    /// `certificate`: the client's certificate. Where certificates carry identities it always
    /// counts, listed or not.
    Certificate,
}

impl HttpScheme {
    const NAMES: [(&'static str, Self); 3] =
        [("basic", Self::Basic), ("jwt", Self::Jwt), ("certificate", Self::Certificate)];
}

/// SASL over libprocess.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaslSettings {
    /// What is offered (by a master) or used (by an agent): the strongest first, none twice,
    /// at least one.
    pub mechanisms: Vec<SaslMechanism>,
    /// Whether somebody said which.
    pub is_said: bool,
    /// Whether `CRAM-MD5` may run on connections that are not encrypted.
    pub danger_plaintext_secrets: bool,
    /// Whether a session of a peer that knows no better counts on further connections from the
    /// same address.
    pub danger_same_address_sessions: bool,
}

/// Authentication of HTTP requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSettings {
    /// Whether the realm of requests that only read asks.
    pub readonly: bool,
    /// Whether the realm of requests that change something asks.
    pub readwrite: bool,
    /// What these two accept, in the order in which it is asked (on an agent: all realms). Where
    /// certificates carry identities it may be nothing besides.
    pub schemes: Vec<HttpScheme>,
    /// The keys with which others sign tokens (RFC 7517).
    pub jwks: Option<PathBuf>,
    /// For whom those tokens must be; given with `jwks`.
    pub jwt_audience: Option<String>,
}

/// What a master is told about who is who.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterAuthentication {
    /// Whether v0 frameworks must have authenticated.
    pub frameworks: bool,
    /// Whether agents must have authenticated.
    pub agents: bool,
    /// How long one SASL exchange may take.
    pub timeout: Duration,
    /// The file with those that are known.
    pub credentials: Option<PathBuf>,
    /// SASL.
    pub sasl: SaslSettings,
    /// HTTP.
    pub http: HttpSettings,
    /// Whether the realm of frameworks that use the HTTP API asks.
    pub http_frameworks: bool,
    /// What that realm accepts.
    pub http_framework_schemes: Vec<HttpScheme>,
    /// Where the audit trail goes; `None`: into the log.
    pub audit_log: Option<PathBuf>,
}

/// What an agent is told about who is who.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentAuthentication {
    /// The file with what the agent proves itself to the master with.
    pub credential: Option<PathBuf>,
    /// SASL, on the client's side.
    pub sasl: SaslSettings,
    /// How much longer each further attempt may take.
    pub backoff_factor: Duration,
    /// The least time that an attempt is given.
    pub timeout_min: Duration,
    /// The most time that an attempt is given.
    pub timeout_max: Duration,
    /// HTTP.
    pub http: HttpSettings,
    /// The file with those that are known over HTTP.
    pub http_credentials: Option<PathBuf>,
    /// Whether the realm of executors asks. (With identities it always does.)
    pub http_executors: bool,
    /// The file with the key that signs executors' tokens.
    pub jwt_secret_key: Option<PathBuf>,
    /// How long a token of an executor of our own is valid; it renews it.
    pub executor_token_lifetime: Duration,
    /// Where the audit trail goes; `None`: into the log.
    pub audit_log: Option<PathBuf>,
}

/// The name of the built-in implementation of SASL.
const BUILT_IN: &str = "crammd5";

impl MasterAuthentication {
    pub(crate) fn read(r: &mut Reading<'_>, protection: &Protection) -> Self {
        built_in(r, "authenticators", "Authenticator");
        let credentials = r.path("credentials");
        let (jwks, jwt_audience) = jwks(r);
        let held = Held {
            credentials: credentials.is_some(),
            credentials_flag: "credentials",
            key: jwks.is_some(),
            own_key: false,
            key_flag: "jwks",
        };
        let identities = matches!(protection, Protection::Identities { .. });
        let (readonly, readwrite) = realms(r);
        let http_frameworks = r.flag("authenticate_http_frameworks");
        let schemes = schemes(r, "http_authenticators", held, false);
        let http_framework_schemes = if r.is_given("http_framework_authenticators") {
            schemes_given(r, "http_framework_authenticators")
        } else {
            if http_frameworks && !identities {
                r.start(
                    "http_framework_authenticators",
                    "Missing `--http_framework_authenticators` flag. This must be used in \
                     conjunction with `--authenticate_http_frameworks`",
                );
            }
            if identities { held.schemes() } else { Vec::new() }
        };
        let check = Check { held, identities };
        if readonly {
            check.realm(r, "mesos-master-readonly", "http_authenticators", &schemes);
        }
        if readwrite {
            check.realm(r, "mesos-master-readwrite", "http_authenticators", &schemes);
        }
        if http_frameworks && r.is_given("http_framework_authenticators") {
            let flag = "http_framework_authenticators";
            check.realm(r, "mesos-master-scheduler", flag, &http_framework_schemes);
        }
        // A certificate without an identity says nothing about what its holder may be: it stands
        // for a secret only if somebody says so.
        let without = |one: &SaslMechanism| identities || *one != SaslMechanism::External;
        let usual: Vec<_> = SaslMechanism::ALL.into_iter().filter(without).collect();
        let timeout = r.duration("authentication_v0_timeout");
        if timeout.is_zero() {
            r.invalid("authentication_v0_timeout", "is not longer than zero");
        }
        Self {
            frameworks: r.flag("authenticate_frameworks"),
            agents: r.flag("authenticate_agents"),
            timeout,
            credentials,
            sasl: SaslSettings::read(r, &usual),
            http: HttpSettings { readonly, readwrite, schemes, jwks, jwt_audience },
            http_frameworks,
            http_framework_schemes,
            audit_log: audit_log(r),
        }
    }
}

impl AgentAuthentication {
    pub(crate) fn read(r: &mut Reading<'_>, protection: &Protection) -> Self {
        built_in(r, "authenticatee", "Authenticatee");
        let http_credentials = r.path("http_credentials");
        let jwt_secret_key = r.path("jwt_secret_key");
        let (jwks, jwt_audience) = jwks(r);
        let held = Held {
            credentials: http_credentials.is_some(),
            credentials_flag: "http_credentials",
            key: jwks.is_some(),
            own_key: jwt_secret_key.is_some(),
            key_flag: "jwt_secret_key",
        };
        let identities = matches!(protection, Protection::Identities { .. });
        let (readonly, readwrite) = realms(r);
        let http_executors = r.flag("authenticate_http_executors");
        if http_executors && jwt_secret_key.is_none() && !identities {
            r.start(
                "jwt_secret_key",
                "--jwt_secret_key must be specified when --authenticate_http_executors is set to \
                 true",
            );
        }
        let schemes = schemes(r, "http_authenticators", held, http_executors);
        let check = Check { held, identities };
        for (asked, realm) in [
            (readonly, "mesos-agent-readonly"),
            (readwrite, "mesos-agent-readwrite"),
            (http_executors && jwt_secret_key.is_some(), "mesos-agent-executor"),
        ] {
            if asked {
                check.realm(r, realm, "http_authenticators", &schemes);
            }
        }
        let executor_token_lifetime = r.duration("executor_token_lifetime");
        if executor_token_lifetime < Duration::from_secs(60) {
            r.invalid("executor_token_lifetime", "is less than 1mins");
        }
        // What sends the secret, or shows a certificate that nobody asked to be shown, is used
        // if somebody says so: whoever answers in the master's place must not have it for asking.
        let usual =
            [SaslMechanism::ScramSha256Plus, SaslMechanism::ScramSha256, SaslMechanism::CramMd5];
        Self {
            credential: r.path("credential"),
            sasl: SaslSettings::read(r, &usual),
            backoff_factor: r.duration("authentication_backoff_factor"),
            timeout_min: r.duration("authentication_timeout_min"),
            timeout_max: r.duration("authentication_timeout_max"),
            http: HttpSettings { readonly, readwrite, schemes, jwks, jwt_audience },
            http_credentials,
            http_executors,
            jwt_secret_key,
            executor_token_lifetime,
            audit_log: audit_log(r),
        }
    }
}

impl SaslSettings {
    fn read(r: &mut Reading<'_>, usual: &[SaslMechanism]) -> Self {
        let is_said = r.is_given("sasl_mechanisms");
        let mut mechanisms = usual.to_vec();
        if is_said {
            mechanisms.clear();
            for name in r.several("sasl_mechanisms") {
                let known = SaslMechanism::ALL;
                match known.into_iter().find(|known| known.name().eq_ignore_ascii_case(&name)) {
                    Some(mechanism) => mechanisms.push(mechanism),
                    None => {
                        let names = known.map(SaslMechanism::name).join(", ");
                        // Whoever asks for it should read why it is not there.
                        let why = if name.eq_ignore_ascii_case("ANONYMOUS") {
                            "ANONYMOUS, which proves nothing and is not there; whoever need not \
                             authenticate does not"
                                .to_owned()
                        } else {
                            format!("`{name}`, expected some of: {names}")
                        };
                        r.invalid("sasl_mechanisms", format!("names {why}"));
                    }
                }
            }
            mechanisms.sort();
            mechanisms.dedup();
            if r.several("sasl_mechanisms").is_empty() {
                r.invalid("sasl_mechanisms", "names none");
            }
        }
        Self {
            mechanisms,
            is_said,
            danger_plaintext_secrets: compatible(
                r,
                "danger_plaintext_secrets",
                "whoever listens on the network can guess the secrets of those that use CRAM-MD5",
            ),
            danger_same_address_sessions: compatible(
                r,
                "danger_same_address_sessions",
                "whoever can open a connection from the address of a component of the original \
                 can speak in its name while its session lives",
            ),
        }
    }
}

/// A rule for the sake of components of the original: on under its names unless switched off, off
/// under ours unless switched on.
fn compatible(r: &mut Reading<'_>, flag: &str, consequence: &'static str) -> bool {
    if !r.is_given(flag) {
        return r.naming() == Naming::Mesos;
    }
    let on = r.flag(flag);
    if on {
        r.weak(flag, consequence);
    }
    on
}

/// Checks the name of an implementation of SASL: there is one.
fn built_in(r: &mut Reading<'_>, flag: &str, what: &str) {
    let text = r.text(flag).unwrap_or_default();
    if text == BUILT_IN {
        return;
    }
    if text.contains(',') {
        r.start(flag, format!("Multiple {}s not supported", what.to_lowercase()));
        return;
    }
    r.start(
        flag,
        format!(
            "{what} '{text}' not found. Check the spelling (compare to '{BUILT_IN}'): modules are \
             not loaded, and which mechanisms '{BUILT_IN}' has is said by --sasl_mechanisms"
        ),
    );
}

fn realms(r: &mut Reading<'_>) -> (bool, bool) {
    (r.flag("authenticate_http_readonly"), r.flag("authenticate_http_readwrite"))
}

fn jwks(r: &mut Reading<'_>) -> (Option<PathBuf>, Option<String>) {
    let jwks = r.path("jwks");
    let audience = r.text("jwt_audience").filter(|audience| !audience.is_empty());
    match (&jwks, &audience) {
        (Some(_), None) => r.invalid(
            "jwks",
            "needs --jwt_audience: otherwise tokens that were made for others would count here",
        ),
        (None, Some(_)) => r.invalid("jwt_audience", "is given without --jwks"),
        _ => {}
    }
    (jwks, audience)
}

fn audit_log(r: &mut Reading<'_>) -> Option<PathBuf> {
    let log_dir = r.text("log_dir").filter(|directory| !directory.is_empty());
    if log_dir.is_some() {
        r.partly("log_dir", "holds the audit trail; the log itself is not written there yet");
    }
    r.path("audit_log").or_else(|| Some(PathBuf::from(log_dir?).join("audit.log")))
}

/// What there is to authenticate others with.
#[derive(Clone, Copy)]
struct Held {
    credentials: bool,
    credentials_flag: &'static str,
    /// Keys of others.
    key: bool,
    /// A key of our own.
    own_key: bool,
    key_flag: &'static str,
}

impl Held {
    fn schemes(self) -> Vec<HttpScheme> {
        let basic = self.credentials.then_some(HttpScheme::Basic);
        basic.into_iter().chain((self.key || self.own_key).then_some(HttpScheme::Jwt)).collect()
    }
}

/// What the list says, or what holds without one: under the original's names what holds there
/// (and tokens, if there are keys for them); under ours whatever there are means for.
fn schemes(r: &mut Reading<'_>, flag: &str, held: Held, executors: bool) -> Vec<HttpScheme> {
    if r.is_given(flag) {
        return schemes_given(r, flag);
    }
    if r.naming() == Naming::Alcazar {
        return held.schemes();
    }
    if executors {
        return vec![HttpScheme::Basic, HttpScheme::Jwt];
    }
    match (held.credentials, held.key) {
        (false, true) => vec![HttpScheme::Jwt],
        (true, true) => vec![HttpScheme::Basic, HttpScheme::Jwt],
        (_, false) => vec![HttpScheme::Basic],
    }
}

fn schemes_given(r: &mut Reading<'_>, flag: &str) -> Vec<HttpScheme> {
    let text = r.text(flag).unwrap_or_default();
    let mut schemes = Vec::new();
    for name in text.split(',') {
        match HttpScheme::NAMES.iter().find(|(known, _)| *known == name) {
            Some((_, scheme)) if schemes.contains(scheme) => {
                r.invalid(flag, format!("names `{name}` twice"));
            }
            Some((_, scheme)) => schemes.push(*scheme),
            None => {
                let known: Vec<_> = HttpScheme::NAMES.iter().map(|(name, _)| *name).collect();
                let known = known.join("', '");
                r.start(
                    flag,
                    format!(
                        "HTTP authenticator '{name}' not found. Check the spelling (compare to \
                         '{known}'): modules are not loaded"
                    ),
                );
            }
        }
    }
    schemes
}

/// What a realm that asks must have.
struct Check {
    held: Held,
    /// Whether certificates with identities count in any case.
    identities: bool,
}

impl Check {
    fn realm(&self, r: &mut Reading<'_>, realm: &str, flag: &str, schemes: &[HttpScheme]) {
        if self.identities && !r.is_given(flag) {
            return;
        }
        let Held { credentials, credentials_flag, key, own_key, key_flag } = self.held;
        let basic = schemes.is_empty() || schemes.contains(&HttpScheme::Basic);
        if basic && !credentials {
            r.start(
                credentials_flag,
                format!(
                    "No credentials provided for the default 'basic' HTTP authenticator for realm \
                     '{realm}': --{credentials_flag} is missing"
                ),
            );
        }
        if schemes.contains(&HttpScheme::Jwt) && !key && !own_key {
            r.start(
                key_flag,
                format!(
                    "No secret key provided for the default 'jwt' HTTP authenticator for realm \
                     '{realm}': --{key_flag} is missing"
                ),
            );
        }
    }
}
