//! What several programs have in common.

use std::fmt;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use crate::parse::Naming;
use crate::typed::Reading;

/// Where a daemon listens, and where it says it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The address to bind; `None`: all of them.
    pub ip: Option<Ipv4Addr>,
    /// The port to bind; 0: any free one.
    pub port: u16,
    /// What others are told in place of the bound address.
    pub advertise_ip: Option<Ipv4Addr>,
    /// What others are told in place of the bound port; never 0.
    pub advertise_port: Option<u16>,
    /// The host name that others are told; `None`: what a lookup of the address says.
    pub hostname: Option<String>,
    /// Whether to look up the host name; otherwise the address stands for it.
    pub hostname_lookup: bool,
}

impl Listen {
    pub(crate) fn read(reading: &mut Reading<'_>) -> Self {
        Self {
            ip: reading.ipv4("ip").or_else(|| reading.ipv4("LIBPROCESS_IP")),
            port: reading.uint16("port"),
            advertise_ip: reading
                .ipv4("advertise_ip")
                .or_else(|| reading.ipv4("LIBPROCESS_ADVERTISE_IP")),
            advertise_port: advertise_port(reading),
            hostname: reading.text("hostname"),
            hostname_lookup: reading.flag("hostname_lookup"),
        }
    }
}

fn advertise_port(reading: &mut Reading<'_>) -> Option<u16> {
    if let Some(text) = reading.text("advertise_port") {
        let port = text.parse().ok().filter(|port| *port > 0);
        if port.is_none() {
            reading.invalid("advertise_port", format!("is `{text}`, expected a port from 1 on"));
        }
        return port;
    }
    let port = reading.optional_uint16("LIBPROCESS_ADVERTISE_PORT");
    if port == Some(0) {
        reading.invalid("LIBPROCESS_ADVERTISE_PORT", "is 0, expected a port from 1 on");
        return None;
    }
    port
}

/// The least severe messages that are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// `ERROR`.
    Error,
    /// `INFO`.
    Info,
    /// `WARNING`.
    Warning,
}

/// What is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// Nothing goes to standard error.
    pub quiet: bool,
    /// The least severe messages that are logged.
    pub level: LogLevel,
}

impl LogSettings {
    pub(crate) fn read(reading: &mut Reading<'_>) -> Self {
        let level =
            [("ERROR", LogLevel::Error), ("INFO", LogLevel::Info), ("WARNING", LogLevel::Warning)];
        Self {
            quiet: reading.flag("quiet"),
            level: reading.choice("logging_level", &level).unwrap_or(LogLevel::Info),
        }
    }
}

/// What protects a daemon's connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Nothing; `--danger_plaintext` says so.
    DangerPlaintext,
    /// TLS with names and roots as the original has it: what the flags say, and the variables
    /// `LIBPROCESS_SSL_*` (the crate `tls-policy` reads both).
    Given(Vec<TlsFlag>),
    /// Mutual TLS, every component with an identity of the cluster.
    Identities {
        /// PEM: our certificate, then the intermediates.
        certificate: PathBuf,
        /// PEM: its key.
        key: PathBuf,
        /// PEM: the cluster's roots.
        trust_bundle: PathBuf,
        /// What else was said about TLS.
        flags: Vec<TlsFlag>,
    },
    /// What the `LIBPROCESS_SSL_*` variables say (the crate `tls-policy` reads them): the
    /// program was called by a name of the original.
    Variables,
}

/// A setting of TLS on the command line, not read yet.
#[derive(Clone, PartialEq, Eq)]
pub struct TlsFlag {
    /// The name of the variable that means the same, behind `LIBPROCESS_SSL_`.
    pub name: String,
    /// The value, as it was written; booleans written out.
    pub value: String,
    /// The flag, for messages: `--tls_ca_file`.
    pub spelled: String,
}

impl fmt::Debug for TlsFlag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A command that prints a passphrase may hold one.
        f.debug_tuple("TlsFlag").field(&self.spelled).finish()
    }
}

impl Protection {
    pub(crate) fn read(reading: &mut Reading<'_>) -> Option<Self> {
        if reading.naming() == Naming::Mesos {
            return Some(Self::Variables);
        }
        let names = ["tls_certificate", "tls_key", "tls_trust_bundle"];
        let paths = names.map(|name| reading.path(name));
        let flags = reading.tls_flags();
        let others = !flags.is_empty() || reading.is_tls_in_environment();
        let danger = reading.flag("danger_plaintext");
        if danger {
            let consequence = "connections are neither encrypted nor authenticated: whoever \
                               reaches the port can read and send everything";
            reading.weak("danger_plaintext", consequence);
        }
        match paths {
            [Some(certificate), Some(key), Some(trust_bundle)] if !danger => {
                Some(Self::Identities { certificate, key, trust_bundle, flags })
            }
            [None, None, None] if danger && !others => Some(Self::DangerPlaintext),
            _ if danger => {
                reading.invalid("danger_plaintext", "is given together with settings of TLS");
                None
            }
            [None, None, None] if others => Some(Self::Given(flags)),
            paths => {
                for (name, path) in names.into_iter().zip(paths) {
                    if path.is_none() {
                        let why = "is needed: what protects this daemon must be said (or \
                                   --danger_plaintext)";
                        reading.invalid(name, why);
                    }
                }
                None
            }
        }
    }
}

/// Reads and checks a fault domain: the JSON text of a `DomainInfo`.
pub(crate) fn domain(reading: &mut Reading<'_>) -> Option<String> {
    let text = reading.json("domain")?;
    let value: serde_json::Value = serde_json::from_str(&text).ok()?;
    if !value.get("fault_domain").is_some_and(serde_json::Value::is_object) {
        reading.invalid("domain", "must contain `fault_domain`");
        return None;
    }
    Some(text)
}
