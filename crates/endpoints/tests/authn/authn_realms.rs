use std::sync::Arc;

use alcazar_endpoints::access::Realm;
use alcazar_endpoints::authentication::{AgentFlags, Known, MasterFlags, Realms};
use authn::accounts::Accounts;
use authn::jwt::Key;

const MASTER: MasterFlags = MasterFlags {
    authenticate_readonly: true,
    authenticate_readwrite: true,
    authenticate_frameworks: false,
    authenticators: None,
    framework_authenticators: None,
};

const AGENT: AgentFlags = AgentFlags {
    authenticate_readonly: true,
    authenticate_readwrite: true,
    authenticate_executors: false,
    authenticators: None,
};

fn credentials() -> Known {
    Known { accounts: Some(Arc::new(Arc::new(Accounts::default()))), ..Known::default() }
}

fn everything() -> Known {
    Known { key: Some(Key::of_file("secret".into())), ..credentials() }
}

fn schemes(realms: &Realms) -> Vec<(Realm, String)> {
    let scheme = |realm| (realm, realms.of(realm).unwrap().scheme().to_owned());
    realms.asked().map(scheme).collect()
}

/// The words are the original's.
#[test]
fn what_is_missing_is_said_at_the_start() {
    let master =
        |flags: MasterFlags, known: &Known| Realms::master(&flags, known).unwrap_err().to_string();
    let agent =
        |flags: AgentFlags, known: &Known| Realms::agent(&flags, known).unwrap_err().to_string();
    let frameworks = MasterFlags { authenticate_frameworks: true, ..MASTER };
    assert_eq!(
        master(frameworks, &credentials()),
        "Missing `--http_framework_authenticators` flag. This must be used in conjunction with \
         `--authenticate_http_frameworks`"
    );
    assert_eq!(
        master(MASTER, &Known::default()),
        "Failed to create HTTP authenticator module 'basic': No credentials provided for the \
         default 'basic' HTTP authenticator for realm 'mesos-master-readonly'"
    );
    let named = |names: &str| MasterFlags { authenticators: Some(names.into()), ..MASTER };
    assert_eq!(
        master(named("jwt"), &credentials()),
        "Failed to create HTTP authenticator module 'jwt': No secret key provided for the default \
         'jwt' HTTP authenticator for realm 'mesos-master-readonly'"
    );
    assert_eq!(
        master(named("basic, jwt"), &everything()),
        "Failed to create HTTP authenticator module ' jwt': HTTP authenticator ' jwt' not found. \
         Check the spelling (compare to 'basic') or verify that the authenticator was loaded \
         successfully (see --modules)"
    );
    assert_eq!(
        master(named(""), &everything()),
        "No HTTP authenticators specified for realm 'mesos-master-readonly'"
    );
    assert_eq!(
        agent(AGENT, &Known::default()),
        "Failed to create HTTP authenticator module 'basic': No credentials provided for the \
         default 'basic' HTTP authenticator for realm 'mesos-agent-readonly'"
    );
    let executors = AgentFlags { authenticate_executors: true, ..AGENT };
    assert_eq!(
        agent(executors, &credentials()),
        "--jwt_secret_key must be specified when --authenticate_http_executors is set to true"
    );
}

#[test]
fn each_switch_has_its_realms_and_each_list_its_schemes() {
    use Realm::*;
    let off = MasterFlags { authenticate_readonly: false, authenticate_readwrite: false, ..MASTER };
    assert_eq!(schemes(&Realms::master(&off, &Known::default()).unwrap()), []);
    let frameworks = MasterFlags {
        authenticate_frameworks: true,
        authenticators: Some("basic,certificate".into()),
        framework_authenticators: Some("basic".into()),
        ..MASTER
    };
    let basic = |realm| (realm, "Basic".to_owned());
    let both = |realm| (realm, "Basic ClientCertificate".to_owned());
    assert_eq!(
        schemes(&Realms::master(&frameworks, &credentials()).unwrap()),
        [both(MasterReadonly), both(MasterReadwrite), basic(MasterScheduler)]
    );
    assert_eq!(
        schemes(&Realms::agent(&AGENT, &credentials()).unwrap()),
        [basic(AgentReadonly), basic(AgentReadwrite)]
    );
    // One list for all realms of an agent, with tokens in it if executors are asked.
    let executors = AgentFlags { authenticate_executors: true, ..AGENT };
    let both = |realm| (realm, "Basic Bearer".to_owned());
    assert_eq!(
        schemes(&Realms::agent(&executors, &everything()).unwrap()),
        [AgentReadonly, AgentReadwrite, AgentExecutor, AgentResourceProvider].map(both)
    );
    let own = AgentFlags { authenticators: Some("jwt".into()), ..executors };
    let realms = schemes(&Realms::agent(&own, &everything()).unwrap());
    assert!(realms.iter().all(|(_, scheme)| scheme == "Bearer"), "{realms:?}");
}
