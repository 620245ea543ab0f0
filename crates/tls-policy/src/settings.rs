//! The table of variables, and what was said in them.

use std::path::{Path, PathBuf};

use crate::error::PolicyErrors;
use crate::notice::Notice;
use crate::reading::{Reading, Value};

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
    /// The name with the prefix that is not shared with other software.
    pub full: &'static str,
    /// Names that the original's documentation gives and its code does not read; we do.
    pub documented: &'static [&'static str],
    /// What type its value has.
    pub kind: ValueKind,
    /// Unknown to the original. Such a name is read with the new prefix only: with the old one it
    /// may be other software's.
    pub ours: bool,
}

/// A value together with the variable (or flag) that said it, spelled as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said<T> {
    /// The value.
    pub value: T,
    /// The variable, or the flag with its hyphens.
    pub variable: String,
}

/// A setting on a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// The name of its variable after the prefix, upper case.
    pub name: String,
    /// The value, as text; `file://` as in variables.
    pub value: String,
    /// The flag as it was written, for messages: `--tls_ca_file`.
    pub spelled: String,
}

/// Declares each setting once: the field of [`TlsSettings`], its row in [`VARIABLES`] and how it
/// is read.
macro_rules! settings {
    ($(
        $(#[$doc:meta])+
        $field:ident: $type:ty = $name:literal $([$($documented:literal),+])? $(is $ours:literal)?;
    )*) => {
        /// All variables.
        pub const VARIABLES: &[Variable] = &[$(
            Variable {
                name: $name,
                full: concat!("LIBPROCESS_SSL_", $name),
                documented: &[$($($documented),+)?],
                kind: <$type as Value>::KIND,
                ours: settings!(@ours $($ours)?),
            },
        )*];

        /// What was said about TLS; `None` is silence. Defaults belong to [`crate::resolve()`].
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct TlsSettings {
            /// How strict the reading is.
            pub naming: Naming,
            $($(#[$doc])+ pub $field: Option<Said<$type>>,)*
            /// What the reading itself wants an operator to know.
            pub notices: Vec<Notice>,
        }

        impl TlsSettings {
            /// Nothing said.
            #[must_use]
            pub fn silent(naming: Naming) -> Self {
                Self { naming, $($field: None,)* notices: Vec::new() }
            }

            /// Reads flags, and the variables among `environment`. A flag that says something
            /// else than its variable is an error. A value `file://<path>` stands for the content
            /// of that file, which `read_file` gives (or says why not). All that is wrong is
            /// reported at once.
            pub fn read_with_flags(
                naming: Naming,
                flags: impl IntoIterator<Item = Flag>,
                environment: impl IntoIterator<Item = (String, String)>,
                read_file: &dyn Fn(&Path) -> Result<String, String>,
            ) -> Result<Self, PolicyErrors> {
                let mut reading = Reading::new(read_file);
                reading.collect(naming, environment);
                reading.flags(flags);
                let mut settings = Self::silent(naming);
                $(settings.$field = reading.take($name);)*
                settings.notices = reading.finish()?;
                Ok(settings)
            }
        }
    };
    (@ours) => { false };
    (@ours $ours:literal) => { true };
}

settings! {
    /// PEM chain of a second leaf, of the other kind of key (RSA beside ECDSA).
    alt_cert_file: PathBuf = "ALT_CERT_FILE" is "ours";
    /// PEM private key of the second leaf.
    alt_key_file: PathBuf = "ALT_KEY_FILE" is "ours";
    /// Directory of roots: hashed by OpenSSL, or plain PEM files.
    ca_dir: PathBuf = "CA_DIR";
    /// PEM bundle of roots.
    ca_file: PathBuf = "CA_FILE";
    /// PEM chain that we present, leaf first.
    cert_file: PathBuf = "CERT_FILE";
    /// OpenSSL cipher string for TLS 1.2 and older.
    ciphers: String = "CIPHERS";
    /// Where clients need a certificate: `required,mesos-master-readonly=optional`.
    client_certs: String = "CLIENT_CERTS" is "ours";
    /// PEM file of revocation lists.
    crl_file: PathBuf = "CRL_FILE" is "ours";
    /// Groups in order of preference, or `auto`.
    ecdh_curves: String = "ECDH_CURVES" ["ECDH_CURVE"];
    /// Whether connections are encrypted at all.
    enabled: bool = "ENABLED";
    /// SSL 3.0.
    enable_ssl_v3: bool = "ENABLE_SSL_V3";
    /// TLS 1.0.
    enable_tls_v1_0: bool = "ENABLE_TLS_V1_0";
    /// TLS 1.1.
    enable_tls_v1_1: bool = "ENABLE_TLS_V1_1";
    /// TLS 1.2.
    enable_tls_v1_2: bool = "ENABLE_TLS_V1_2";
    /// TLS 1.3.
    enable_tls_v1_3: bool = "ENABLE_TLS_V1_3";
    /// Nothing, as in the original.
    help: bool = "HELP";
    /// `legacy` or `openssl`.
    hostname_validation_scheme: String = "HOSTNAME_VALIDATION_SCHEME";
    /// PEM private key.
    key_file: PathBuf = "KEY_FILE";
    /// A command that prints the passphrase of the key.
    key_passphrase_command: String = "KEY_PASSPHRASE_COMMAND" is "ours";
    /// The name of a systemd credential that is the passphrase of the key.
    key_passphrase_credential: String = "KEY_PASSPHRASE_CREDENTIAL" is "ours";
    /// A file that holds the passphrase of the key.
    key_passphrase_file: PathBuf = "KEY_PASSPHRASE_FILE" is "ours";
    /// How certificates become principals: `uri:spiffe://d/framework/*,dns,cn`.
    principal_rules: String = "PRINCIPAL_RULES" is "ours";
    /// `modern`, `intermediate` or `mesos`.
    profile: String = "PROFILE" is "ours";
    /// Whether, or how often, files are looked at for changes: `true`, `false`, `30secs`.
    reload: String = "RELOAD" is "ours";
    /// Old name of [`Self::require_client_cert`].
    require_cert: bool = "REQUIRE_CERT";
    /// Clients must present a certificate that verifies.
    require_client_cert: bool = "REQUIRE_CLIENT_CERT";
    /// Plain peers are served and dialled.
    support_downgrade: bool = "SUPPORT_DOWNGRADE" ["ENABLE_DOWNGRADE"];
    /// How many intermediates may stand between the leaf and its root.
    verification_depth: u32 = "VERIFICATION_DEPTH" ["VERIFY_DEPTH"];
    /// Old name of [`Self::verify_server_cert`].
    verify_cert: bool = "VERIFY_CERT";
    /// IP SANs count as names.
    verify_ipadd: bool = "VERIFY_IPADD";
    /// Servers that we connect to are verified.
    verify_server_cert: bool = "VERIFY_SERVER_CERT";
}

impl TlsSettings {
    /// [`Self::read_with_flags`] where there are no flags.
    pub fn read(
        naming: Naming,
        environment: impl IntoIterator<Item = (String, String)>,
        read_file: &dyn Fn(&Path) -> Result<String, String>,
    ) -> Result<Self, PolicyErrors> {
        Self::read_with_flags(naming, [], environment, read_file)
    }
}
