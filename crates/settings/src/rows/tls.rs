//! The settings of TLS, each once: a variable, and a flag of our own commands. The crate
//! `tls-policy` reads their values; the table is for people, and for the command line.

use crate::row::Default::{Computed, Unset, Value};
use crate::row::Effect::Honoured;
use crate::row::Kind::{Bool, Path, Size, String};
use crate::row::{Place, Program, Row, Section, Sensitivity};

/// Makes rows of variables and rows of flags. The default behind `ours` is that under our own
/// names, where it is another one.
macro_rules! tls {
    (
        $(#[$doc:meta])*
        $variables:ident, $flags:ident;
        $($upper:literal $lower:literal $kind:ident $default:expr $(, ours $ours:expr)?; $help:literal $(; $more:ident)?)*
    ) => {
        $(#[$doc])*
        const $variables: &[Row] = &[$(
            Row::new(concat!("LIBPROCESS_SSL_", $upper), $kind, $default, Honoured, $help)
        ),*];
        const $flags: &[Row] = &[$(
            Row::new(concat!("tls_", $lower), $kind, tls!(@ours $($ours)?), Honoured, $help)
                $(.$more())?
        ),*];
    };
    (@ours) => { Unset };
    (@ours $ours:expr) => { $ours };
}

tls! {
    /// What the original knows, but for `HELP`.
    STOCK_VARIABLES, STOCK_FLAGS;
    "ENABLED" "enabled" Bool Value("false");
        "Encrypt all connections. Without, nothing else matters."
    "SUPPORT_DOWNGRADE" "support_downgrade" Bool Value("false");
        "Serve peers that do not encrypt, and dial those that show that they cannot. Also \
         `ENABLE_DOWNGRADE`."
    "CERT_FILE" "cert_file" Path Unset;
        "PEM: our certificate, then the intermediates."
    "KEY_FILE" "key_file" Path Unset;
        "PEM: its private key."; secret_path
    "VERIFY_CERT" "verify_cert" Bool Value("false");
        "The old name of `VERIFY_SERVER_CERT`."
    "VERIFY_SERVER_CERT" "verify_server_cert" Bool Value("false"), ours Computed("none: to be said");
        "Verify whom we connect to."
    "REQUIRE_CERT" "require_cert" Bool Value("false");
        "The old name of `REQUIRE_CLIENT_CERT`."
    "REQUIRE_CLIENT_CERT" "require_client_cert" Bool Value("false"), ours Computed("none: to be said");
        "Demand a certificate of whoever connects, and verify it; turns on `VERIFY_SERVER_CERT`."
    "VERIFY_IPADD" "verify_ipadd" Bool Value("false"), ours Computed("on with the scheme `openssl`");
        "Let an address in a certificate count as a name."
    "VERIFICATION_DEPTH" "verification_depth" Size Value("4"), ours Computed("4");
        "How many intermediates may stand between a peer's certificate and its root. Also \
         `VERIFY_DEPTH`."
    "CA_DIR" "ca_dir" Path Unset;
        "A directory of roots: hashed by OpenSSL, or plain PEM files."
    "CA_FILE" "ca_file" Path Unset;
        "PEM: roots. Without file and directory, those of the system."
    "CIPHERS" "ciphers" String
        Computed("that of the profile"), ours Computed("that of the profile");
        "The cipher suites of TLS 1.2 and older, in OpenSSL's words."
    "ECDH_CURVES" "ecdh_curves" String Value("auto"), ours Computed("`auto`");
        "The groups for key exchange, in order of preference, separated by colons. Also \
         `ECDH_CURVE`."
    "HOSTNAME_VALIDATION_SCHEME" "hostname_validation_scheme" String
        Value("legacy"), ours Computed("`openssl`");
        "How names are verified: `legacy` (reverse lookup) or `openssl` (what was dialled)."
    "ENABLE_SSL_V3" "enable_ssl_v3" Bool Value("false");
        "Nothing: no current library speaks SSL 3.0, a notice says so."
    "ENABLE_TLS_V1_0" "enable_tls_v1_0" Bool Value("false");
        "Offer TLS 1.0, which is obsolete."
    "ENABLE_TLS_V1_1" "enable_tls_v1_1" Bool Value("false");
        "Offer TLS 1.1, which is obsolete."
    "ENABLE_TLS_V1_2" "enable_tls_v1_2" Bool Value("true"), ours Computed("on unless `modern`");
        "Offer TLS 1.2."
    "ENABLE_TLS_V1_3" "enable_tls_v1_3" Bool Value("true"), ours Computed("on");
        "Offer TLS 1.3. In the original it is off unless said."
}

tls! {
    /// What the original does not know.
    OWN_VARIABLES, OWN_FLAGS;
    "PROFILE" "profile" String Value("mesos"), ours Computed("`intermediate`");
        "`modern`, `intermediate` or `mesos`: versions, suites and certificates where nothing \
         else is said; a profile that is said is also a ceiling."
    "CLIENT_CERTS" "client_certs" String Unset;
        "Where clients need a certificate: `none`, `optional` or `required`, in all and door by \
         door, as in `required,mesos-master-readonly=optional`."
    "PRINCIPAL_RULES" "principal_rules" String Unset, ours Computed("`uri,dns,cn`");
        "How certificates become principals: the first rule that fits, as in \
         `uri:spiffe://example.com/framework/*,dns,cn`."
    "CRL_FILE" "crl_file" Path Unset;
        "PEM: revocation lists; each chain must be covered by one that has not run out."
    "KEY_PASSPHRASE_FILE" "key_passphrase_file" Path Unset;
        "A file whose first line unlocks the key."; secret_path
    "KEY_PASSPHRASE_COMMAND" "key_passphrase_command" String Unset;
        "A shell command that prints what unlocks the key."; hidden
    "KEY_PASSPHRASE_CREDENTIAL" "key_passphrase_credential" String Unset;
        "The name of the credential, given by systemd, that unlocks the key."
    "ALT_CERT_FILE" "alt_cert_file" Path Unset;
        "PEM: a second certificate for another kind of key (RSA beside ECDSA)."
    "ALT_KEY_FILE" "alt_key_file" Path Unset;
        "PEM: its private key."; secret_path
    "RELOAD" "reload" String Value("10secs"), ours Computed("`10secs`");
        "How often to look whether these files have changed (`true`, `false` or a duration); \
         SIGHUP works always."
}

const HELP: Row = Row::new(
    "LIBPROCESS_SSL_HELP",
    Bool,
    Value("false"),
    crate::row::Effect::NoEffectYet,
    "Nothing, as always.",
);

impl Row {
    const fn secret_path(self) -> Self {
        self.sensitivity(Sensitivity::PathToSecret)
    }

    const fn hidden(self) -> Self {
        self.sensitivity(Sensitivity::Secret)
    }
}

const DAEMONS: &[Program] = &[Program::Master, Program::Agent];

pub(super) const FLAGS: Section = Section {
    title: "Our own commands: TLS as the original knows it",
    programs: DAEMONS,
    place: Place::OwnFlags,
    rows: STOCK_FLAGS,
};

pub(super) const MORE_FLAGS: Section = Section {
    title: "Our own commands: more about TLS",
    programs: DAEMONS,
    place: Place::OwnFlags,
    rows: OWN_FLAGS,
};

pub(super) const VARIABLES: Section = Section {
    title: "Variables: TLS",
    programs: &Program::ALL,
    place: Place::Variables,
    rows: STOCK_VARIABLES,
};

pub(super) const MORE_VARIABLES: Section = Section {
    title: "Variables: more about TLS, unknown to the original",
    programs: &Program::ALL,
    place: Place::Variables,
    rows: OWN_VARIABLES,
};

pub(super) const WITHOUT_EFFECT: Section = Section {
    title: "Variables: TLS, without effect",
    programs: &Program::ALL,
    place: Place::Variables,
    rows: &[HELP],
};
