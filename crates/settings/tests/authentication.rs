//! What the settings about authentication come to, and what a daemon does not start with.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::path::Path;
use std::time::Duration;

use alcazar_settings::{
    AgentSettings, Failure, HttpScheme, Loaded, MasterSettings, Naming, Notice, Program, REDACTED,
    SaslMechanism, agent, master,
};
use common::Given;

fn master_of(arguments: &[&str]) -> MasterSettings {
    Given::arguments(arguments).master().unwrap_or_else(|failure| panic!("{failure}")).0
}

fn agent_of(arguments: &[&str]) -> AgentSettings {
    Given::arguments(arguments).agent().unwrap_or_else(|failure| panic!("{failure}")).0
}

/// The first error, and whether the usage follows.
fn refused(program: Program, arguments: &[&str]) -> String {
    let given = Given::arguments(arguments);
    let failure = match program {
        Program::Agent => given.agent().unwrap_err(),
        Program::Master => given.master().unwrap_err(),
        Program::Execute => given.execute().unwrap_err(),
    };
    assert_eq!(failure.errors.len(), 1, "{failure}");
    failure.errors[0].to_string()
}

const IDENTITY: [&str; 3] = ["--tls-certificate=/c", "--tls-key=/k", "--tls-trust-bundle=/ca"];

fn own_master(arguments: &[&str]) -> Result<(MasterSettings, Vec<Notice>), Failure> {
    let given = Given::arguments(&[&["--registry=in_memory"], arguments].concat());
    given.with(|sources| master(Naming::Alcazar, sources)).map(|loaded| match loaded {
        Loaded::Run { settings, notices } => (*settings, notices),
        _ => panic!("nobody asked"),
    })
}

fn own_agent(arguments: &[&str]) -> Result<(AgentSettings, Vec<Notice>), Failure> {
    let given = Given::arguments(&[&["--master=m:1", "--work_dir=/w"], arguments].concat());
    given.with(|sources| agent(Naming::Alcazar, sources)).map(|loaded| match loaded {
        Loaded::Run { settings, notices } => (*settings, notices),
        _ => panic!("nobody asked"),
    })
}

#[test]
fn authn_settings_of_a_silent_master_are_the_originals() {
    let told = master_of(&[]).authentication;
    assert!(!told.frameworks && !told.agents && !told.http_frameworks);
    assert!(!told.http.readonly && !told.http.readwrite);
    assert_eq!(told.timeout, Duration::from_secs(15));
    assert_eq!((told.credentials, told.audit_log), (None, None));
    assert_eq!(told.http.schemes, [HttpScheme::Basic]);
    let external = SaslMechanism::External;
    assert!(!told.sasl.mechanisms.contains(&external));
    assert_eq!(told.sasl.mechanisms.len(), SaslMechanism::ALL.len() - 1);
    assert!(told.sasl.danger_plaintext_secrets && told.sasl.danger_same_address_sessions);
}

#[test]
fn attack_any_certificate_is_no_credential_unless_somebody_says_so() {
    let external = SaslMechanism::External;
    let offered = |settings: MasterSettings| settings.authentication.sasl.mechanisms;
    // As the original, with or without its TLS (which is in the environment).
    assert!(
        !offered(master_of(&["--authenticate_agents", "--credentials=/c"])).contains(&external)
    );
    // Ours, with the original's kind of TLS.
    let given = ["--tls-enabled", "--tls-cert-file=/c", "--tls-key-file=/k"];
    assert!(!offered(own_master(&given).unwrap().0).contains(&external));
    // Certificates with identities say what their holder may be.
    assert!(offered(own_master(&IDENTITY).unwrap().0).contains(&external));
    assert!(offered(master_of(&["--sasl_mechanisms=EXTERNAL"])).contains(&external));
}

#[test]
fn authn_settings_of_a_silent_agent_send_no_secret_and_show_no_certificate() {
    let told = agent_of(&[]).authentication;
    assert_eq!(told.credential, None);
    assert_eq!(told.timeout_min, Duration::from_secs(5));
    assert_eq!(told.timeout_max, Duration::from_secs(60));
    assert_eq!(told.backoff_factor, Duration::from_secs(1));
    for unusual in [SaslMechanism::Plain, SaslMechanism::External] {
        assert!(!told.sasl.mechanisms.contains(&unusual));
    }
    assert_eq!(told.executor_token_lifetime, Duration::from_secs(3600));
    assert!(!told.http_executors);
}

#[test]
fn authn_settings_take_the_old_names_with_a_notice() {
    for (old, new, asked) in [
        ("--authenticate", "authenticate_frameworks", 0),
        ("--authenticate_slaves", "authenticate_agents", 1),
        ("--authenticate_http", "authenticate_http_readwrite", 2),
    ] {
        let given = Given::arguments(&[old, "--credentials=/c"]);
        let (settings, notices) = given.master().unwrap();
        let told = settings.authentication;
        let all = [told.frameworks, told.agents, told.http.readwrite];
        assert!(all[asked], "{old}");
        assert_eq!(all.iter().filter(|asked| **asked).count(), 1, "{old}");
        assert!(notices[0].to_string().contains(new), "{notices:?}");
    }
    let (settings, notices) = Given::arguments(&["--executor_secret_key=/k"]).agent().unwrap();
    assert_eq!(settings.authentication.jwt_secret_key.as_deref(), Some(Path::new("/k")));
    assert!(notices[0].to_string().contains("jwt_secret_key"), "{notices:?}");
}

#[test]
fn authn_settings_that_do_not_suffice_keep_a_master_from_starting() {
    for (arguments, text) in [
        (&["--authenticators=a,b"][..], "Multiple authenticators not supported"),
        (&["--authenticators=kerberos"], "Authenticator 'kerberos' not found. Check the spelling"),
        (
            &["--http_authenticators=bsic"],
            "HTTP authenticator 'bsic' not found. Check the spelling",
        ),
        (
            &["--authenticate_http_frameworks", "--credentials=/c"],
            "Missing `--http_framework_authenticators` flag",
        ),
        (
            &["--authenticate_http_frameworks", "--http_framework_authenticators=basic"],
            "No credentials provided for the default 'basic' HTTP authenticator for realm \
             'mesos-master-scheduler'",
        ),
        (
            &["--authenticate_http_readonly"],
            "No credentials provided for the default 'basic' HTTP authenticator for realm \
             'mesos-master-readonly'",
        ),
        (
            &["--authenticate_http_readwrite", "--http_authenticators=jwt"],
            "No secret key provided for the default 'jwt' HTTP authenticator for realm \
             'mesos-master-readwrite'",
        ),
        (&["--jwks=/k"], "Flag 'jwks' needs --jwt_audience"),
        (&["--jwt_audience=a"], "Flag 'jwt_audience' is given without --jwks"),
        (&["--authentication_v0_timeout=0secs"], "Flag 'authentication_v0_timeout'"),
        (&["--sasl_mechanisms=ANONYMOUS"], "Flag 'sasl_mechanisms' names ANONYMOUS, which proves"),
        (&["--sasl_mechanisms=SCRAM"], "Flag 'sasl_mechanisms' names `SCRAM`, expected some of"),
        (&["--sasl_mechanisms=,"], "Flag 'sasl_mechanisms' names none"),
        (&["--http_authenticators=basic,basic"], "Flag 'http_authenticators' names `basic` twice"),
    ] {
        let error = refused(Program::Master, arguments);
        assert!(error.starts_with(text), "{arguments:?}: {error}");
    }
    // What was understood needs no explanation of flags.
    let failure = Given::arguments(&["--authenticate_http_readonly"]).master().unwrap_err();
    assert!(!failure.wants_usage());
}

#[test]
fn authn_settings_that_do_not_suffice_keep_an_agent_from_starting() {
    for (arguments, text) in [
        (&["--authenticatee=kerberos"][..], "Authenticatee 'kerberos' not found."),
        (
            &["--authenticate_http_executors"],
            "--jwt_secret_key must be specified when --authenticate_http_executors is set to true",
        ),
        (
            // The trap of the original: its default list is `basic,jwt`.
            &["--authenticate_http_executors", "--jwt_secret_key=/k"],
            "No credentials provided for the default 'basic' HTTP authenticator for realm \
             'mesos-agent-executor'",
        ),
        (
            &["--authenticate_http_readonly"],
            "No credentials provided for the default 'basic' HTTP authenticator for realm \
             'mesos-agent-readonly'",
        ),
        (
            &["--authenticate_http_readwrite", "--http_authenticators=jwt"],
            "No secret key provided for the default 'jwt' HTTP authenticator for realm \
             'mesos-agent-readwrite'",
        ),
        (&["--executor_token_lifetime=59secs"], "Flag 'executor_token_lifetime' is less than"),
    ] {
        let error = refused(Program::Agent, arguments);
        assert!(error.starts_with(text), "{arguments:?}: {error}");
    }
    let told = agent_of(&[
        "--authenticate_http_executors",
        "--jwt_secret_key=/k",
        "--http_credentials=/c",
        "--authenticate_http_readonly",
    ])
    .authentication;
    assert_eq!(told.http.schemes, [HttpScheme::Basic, HttpScheme::Jwt]);
    assert!(told.http_executors && told.http.readonly && !told.http.readwrite);
}

#[test]
fn authn_settings_under_our_names_take_what_there_is() {
    // A certificate with an identity is asked for anyway.
    let (settings, _) = own_master(
        &[&IDENTITY[..], &["--authenticate-http-readonly", "--authenticate-http-frameworks"]]
            .concat(),
    )
    .unwrap();
    let told = settings.authentication;
    assert!(told.http.readonly && told.http_frameworks && told.http_framework_schemes.is_empty());
    assert!(!told.sasl.danger_plaintext_secrets && !told.sasl.danger_same_address_sessions);
    // What somebody says must be there.
    let said = [&IDENTITY[..], &["--authenticate-http-readonly", "--http-authenticators=basic"]];
    assert!(own_master(&said.concat()).is_err());
    // Without identities, somebody must say how.
    let plain = ["--danger-plaintext", "--authenticate-http-readonly"];
    assert!(own_master(&plain).is_err());
    let (settings, _) = own_agent(
        &[&IDENTITY[..], &["--authenticate-http-executors", "--jwks=/j", "--jwt-audience=alcazar"]]
            .concat(),
    )
    .unwrap();
    assert_eq!(settings.authentication.http.schemes, [HttpScheme::Jwt]);
    assert_eq!(settings.authentication.http.jwt_audience.as_deref(), Some("alcazar"));
}

#[test]
fn authn_rules_for_the_original_are_off_under_its_names_only_if_somebody_says_so() {
    let told = master_of(&["--no-danger_plaintext_secrets", "--danger_same_address_sessions=0"]);
    assert!(!told.authentication.sasl.danger_plaintext_secrets);
    assert!(!told.authentication.sasl.danger_same_address_sessions);
    let (settings, notices) = own_master(
        &[&IDENTITY[..], &["--danger-plaintext-secrets", "--danger-same-address-sessions"]]
            .concat(),
    )
    .unwrap();
    assert!(settings.authentication.sasl.danger_plaintext_secrets);
    assert_eq!(notices.len(), 2, "{notices:?}");
}

#[test]
fn authn_mechanisms_are_ordered_by_strength_whatever_the_order_of_the_list() {
    let told = agent_of(&["--sasl_mechanisms=cram-md5,EXTERNAL,SCRAM-SHA-256,SCRAM-SHA-256"]);
    let expected = [SaslMechanism::ScramSha256, SaslMechanism::External, SaslMechanism::CramMd5];
    assert_eq!(told.authentication.sasl.mechanisms, expected);
    assert!(told.authentication.sasl.is_said);
    let by_variable = Given::default().variable("MESOS_SASL_MECHANISMS", "EXTERNAL");
    let (settings, _) = by_variable.agent().unwrap();
    assert_eq!(settings.authentication.sasl.mechanisms, [SaslMechanism::External]);
}

#[test]
fn authn_flags_of_our_own_show_under_the_originals_names_only_if_given() {
    let silent = master_of(&[]).effective_flags;
    assert!(!silent.contains_key("audit_log") && !silent.contains_key("sasl_mechanisms"));
    assert!(!agent_of(&[]).effective_flags.contains_key("executor_token_lifetime"));
    let said = master_of(&["--audit_log=/a", "--credentials=secret text"]);
    assert_eq!(said.effective_flags["audit_log"], "/a");
    assert_eq!(said.effective_flags["credentials"], REDACTED);
    assert_eq!(said.authentication.audit_log.as_deref(), Some(Path::new("/a")));
    let (by_directory, notices) = Given::arguments(&["--log_dir=/l"]).master().unwrap();
    let audit_log = by_directory.authentication.audit_log;
    assert_eq!(audit_log.as_deref(), Some(Path::new("/l/audit.log")));
    assert!(notices[0].to_string().starts_with("`--log_dir` holds the audit trail"));
}

#[test]
fn authn_secret_of_an_execution_is_never_printed_and_gets_a_notice() {
    let given = Given::arguments(&["--principal=p", "--secret=v3ry-s3cret"]);
    let (settings, notices) = given.execute().unwrap();
    assert_eq!(settings.secret.as_ref().unwrap().expose(), "v3ry-s3cret");
    assert!(!format!("{settings:?}{notices:?}").contains("v3ry"));
    assert_eq!(settings.effective_flags["secret"], REDACTED);
    assert!(notices[0].to_string().starts_with("weakened by `--secret`"), "{notices:?}");
    let (settings, notices) = Given::arguments(&["--secret=v3ry-s3cret"]).execute().unwrap();
    assert_eq!(settings.secret, None);
    assert!(notices[0].to_string().contains("has no effect without --principal"), "{notices:?}");
}
