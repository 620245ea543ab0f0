//! What the doctor says, and that following it line by line ends without holes.

use super::*;

fn realm(name: &'static str) -> RealmFacts {
    RealmFacts { name, asks: Vec::new(), certified: false }
}

fn all_mechanisms() -> SaslFacts {
    let names = ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "EXTERNAL", "PLAIN", "CRAM-MD5"];
    SaslFacts {
        mechanisms: names.map(ToOwned::to_owned).to_vec(),
        danger_plaintext_secrets: true,
        danger_same_address_sessions: true,
    }
}

/// A master of the original that was told nothing.
fn master() -> Facts {
    Facts {
        program: Program::Master { agents: false, frameworks: false, framework_schemes: false },
        wire: Wire::Plaintext,
        identities: false,
        servers_verified: false,
        messages_certified: false,
        realms: ["mesos-master-readonly", "mesos-master-readwrite", "mesos-master-scheduler"]
            .map(realm)
            .to_vec(),
        sasl: all_mechanisms(),
        files: Vec::new(),
        accounts: false,
        jwt_key: false,
        audit_log: false,
    }
}

/// An agent of the original that was told nothing.
fn agent() -> Facts {
    Facts {
        program: Program::Agent { credential: false },
        realms: ["mesos-agent-readonly", "mesos-agent-readwrite", "mesos-agent-executor"]
            .map(realm)
            .to_vec(),
        ..master()
    }
}

fn ids(findings: &[Finding]) -> Vec<&str> {
    findings.iter().map(|finding| finding.id).collect()
}

/// What the daemon would be told with one more line in its environment.
fn follow(facts: &mut Facts, line: &str) {
    let (name, value) = line.split_once('=').expect("a variable");
    let yes = value == "true";
    let mut ask = |realm: &str, schemes: &[&str]| {
        for one in facts.realms.iter_mut().filter(|one| one.name.ends_with(realm)) {
            one.asks = schemes.iter().map(|scheme| (*scheme).to_owned()).collect();
        }
    };
    match (name, &mut facts.program) {
        ("LIBPROCESS_SSL_ENABLED", _) if yes => facts.wire = Wire::Encrypted,
        ("LIBPROCESS_SSL_SUPPORT_DOWNGRADE", _) if !yes => facts.wire = Wire::Encrypted,
        ("MESOS_CREDENTIALS", Program::Master { .. })
        | ("MESOS_HTTP_CREDENTIALS", Program::Agent { .. }) => facts.accounts = true,
        ("MESOS_CREDENTIAL", Program::Agent { credential }) => *credential = true,
        ("MESOS_AUTHENTICATE_AGENTS", Program::Master { agents, .. }) => *agents = yes,
        ("MESOS_AUTHENTICATE_FRAMEWORKS", Program::Master { frameworks, .. }) => *frameworks = yes,
        ("MESOS_HTTP_FRAMEWORK_AUTHENTICATORS", Program::Master { framework_schemes, .. }) => {
            *framework_schemes = true;
        }
        ("MESOS_AUTHENTICATE_HTTP_FRAMEWORKS", Program::Master { framework_schemes, .. }) => {
            assert!(*framework_schemes && facts.accounts, "it would not start");
            ask("-scheduler", &["basic"]);
        }
        ("MESOS_AUTHENTICATE_HTTP_READONLY", _) => {
            assert!(facts.accounts, "it would not start");
            ask("-readonly", &["basic"]);
        }
        ("MESOS_AUTHENTICATE_HTTP_READWRITE", _) => {
            assert!(facts.accounts, "it would not start");
            ask("-readwrite", &["basic"]);
        }
        ("MESOS_JWT_SECRET_KEY", Program::Agent { .. }) => facts.jwt_key = true,
        ("MESOS_AUTHENTICATE_HTTP_EXECUTORS", Program::Agent { .. }) => {
            assert!(facts.accounts && facts.jwt_key, "it would not start");
            ask("-executor", &["basic", "jwt"]);
        }
        ("MESOS_SASL_MECHANISMS", _) => {
            facts.sasl.mechanisms = value.split(',').map(ToOwned::to_owned).collect();
        }
        ("MESOS_DANGER_PLAINTEXT_SECRETS", _) => facts.sasl.danger_plaintext_secrets = yes,
        ("MESOS_DANGER_SAME_ADDRESS_SESSIONS", _) => facts.sasl.danger_same_address_sessions = yes,
        ("MESOS_AUDIT_LOG", _) => facts.audit_log = true,
        _ => panic!("{line} means nothing to {:?}", facts.program),
    }
}

#[test]
fn following_the_doctor_line_by_line_leaves_no_hole_of_any_daemon() {
    for wire in [Wire::Plaintext, Wire::Downgrade, Wire::Encrypted] {
        for mut facts in [master(), agent()] {
            facts.wire = wire;
            let mut lines = Vec::new();
            loop {
                let diagnosis = diagnose(&facts, Vec::new());
                let Some(hole) = diagnosis.holes.first() else {
                    assert_eq!(diagnosis.posture, Posture::Authenticated);
                    break;
                };
                assert_ne!(diagnosis.posture, Posture::Authenticated);
                assert!(!lines.contains(&hole.closed_by), "{} does not help", hole.closed_by);
                follow(&mut facts, &hole.closed_by);
                lines.push(hole.closed_by.clone());
            }
            assert!(lines.len() >= 4, "{lines:?}");
            // The remarks that are about settings end in the same way.
            loop {
                let diagnosis = diagnose(&facts, Vec::new());
                let next = |finding: &&Finding| finding.closed_by.starts_with("MESOS_");
                let Some(remark) = diagnosis.remarks.iter().find(next) else { break };
                follow(&mut facts, &remark.closed_by.clone());
            }
            assert_eq!(diagnose(&facts, Vec::new()).holes, []);
        }
    }
}

#[test]
fn a_daemon_that_asks_nobody_is_open() {
    let diagnosis = diagnose(&master(), vec!["n".to_owned()]);
    assert_eq!(diagnosis.posture, Posture::Open);
    assert_eq!(diagnosis.notices, ["n"]);
    assert_eq!(
        ids(&diagnosis.holes),
        [
            "open-agents",
            "open-frameworks",
            "open-readonly",
            "open-readwrite",
            "open-http-frameworks",
            "plaintext"
        ]
    );
    // Nobody can authenticate, so that asking would shut everybody out.
    let before = diagnosis.holes.iter().filter(|hole| hole.id.starts_with("open-"));
    assert!(before.into_iter().all(|hole| hole.closed_by == "MESOS_CREDENTIALS=<file>"));
    let diagnosis = diagnose(&agent(), Vec::new());
    let expected = ["open-readonly", "open-readwrite", "any-master", "plaintext"];
    assert_eq!(ids(&diagnosis.holes), expected);
    assert_eq!(ids(&diagnosis.remarks), ["executors-by-process", "no-audit-log"]);
}

#[test]
fn certificates_that_are_demanded_close_doors_too() {
    let mut facts = Facts { wire: Wire::Encrypted, messages_certified: true, ..master() };
    for realm in &mut facts.realms {
        realm.certified = true;
    }
    let diagnosis = diagnose(&facts, Vec::new());
    assert_eq!(diagnosis.holes, []);
    assert_eq!(diagnosis.posture, Posture::Authenticated);
    facts.realms[1].certified = false;
    assert_eq!(ids(&diagnose(&facts, Vec::new()).holes), ["open-readwrite"]);
    let verified = Facts { wire: Wire::Encrypted, servers_verified: true, ..agent() };
    assert!(!ids(&diagnose(&verified, Vec::new()).holes).contains(&"any-master"));
}

#[test]
fn identities_leave_nothing_open_but_what_is_switched_on_by_name() {
    for facts in [master(), agent()] {
        let sasl = SaslFacts { danger_same_address_sessions: false, ..all_mechanisms() };
        let facts = Facts { identities: true, wire: Wire::Encrypted, sasl, ..facts };
        let diagnosis = diagnose(&facts, Vec::new());
        assert_eq!((diagnosis.posture, diagnosis.holes), (Posture::Identities, Vec::new()));
    }
    let facts = Facts { identities: true, wire: Wire::Encrypted, accounts: true, ..master() };
    let diagnosis = diagnose(&facts, Vec::new());
    assert_eq!(ids(&diagnosis.holes), ["same-address"]);
    assert_eq!(diagnosis.posture, Posture::Exposed);
}

#[test]
fn what_is_weak_about_exchanges_depends_on_who_uses_them() {
    // Nobody can authenticate by SASL: nothing of it is exposed.
    assert!(!ids(&diagnose(&master(), Vec::new()).holes).contains(&"cram-md5-plaintext"));
    let facts = Facts { accounts: true, ..master() };
    let holes = diagnose(&facts, Vec::new()).holes;
    assert!(ids(&holes).contains(&"cram-md5-plaintext") && ids(&holes).contains(&"same-address"));
    let encrypted = Facts { wire: Wire::Encrypted, ..facts };
    assert!(!ids(&diagnose(&encrypted, Vec::new()).holes).contains(&"cram-md5-plaintext"));
    let program = Program::Agent { credential: true };
    let with_credential = Facts { program, wire: Wire::Encrypted, ..agent() };
    let holes = diagnose(&with_credential, Vec::new()).holes;
    assert!(ids(&holes).contains(&"unproven-master"), "{holes:?}");
}

#[test]
fn files_are_judged_by_what_is_in_them_and_who_reads_them() {
    let file = FileFacts {
        flag: "credentials",
        path: "/c".into(),
        open_to_others: true,
        entries: Some(3),
        empty: vec!["e".into()],
        plaintext: 2,
        without_kinds: 3,
        duplicate: vec!["d".into()],
        rotating: vec!["r".into(), "s".into()],
    };
    let facts = Facts { files: vec![file], accounts: true, jwt_key: true, ..master() };
    let diagnosis = diagnose(&facts, Vec::new());
    let empty = diagnosis.holes.iter().find(|hole| hole.id == "empty-secret").unwrap();
    assert_eq!(empty.closed_by, "alcazar credentials rotate /c e");
    assert_eq!(
        ids(&diagnosis.remarks),
        [
            "file-mode",
            "plaintext-secrets",
            "without-kinds",
            "duplicates",
            "rotating",
            "tokens-without-end",
            "no-audit-log"
        ]
    );
    // An agent's own credential is a secret; it cannot be anything else.
    let own = FileFacts { flag: "credential", plaintext: 1, ..FileFacts::default() };
    let diagnosis = diagnose(&Facts { files: vec![own], ..agent() }, Vec::new());
    assert!(!ids(&diagnosis.remarks).contains(&"plaintext-secrets"));
    let nobody = FileFacts { entries: Some(0), ..FileFacts::default() };
    let diagnosis = diagnose(&Facts { files: vec![nobody], ..master() }, Vec::new());
    assert!(ids(&diagnosis.remarks).contains(&"nobody"));
}

#[test]
fn attack_strangers_learn_neither_names_nor_files() {
    let file = FileFacts {
        flag: "credentials",
        path: "/etc/hidden".into(),
        open_to_others: true,
        entries: Some(1),
        empty: vec!["hidden".into()],
        plaintext: 1,
        without_kinds: 1,
        duplicate: vec!["hidden".into()],
        rotating: vec!["hidden".into()],
    };
    let facts = Facts { files: vec![file], accounts: true, ..master() };
    let full = diagnose(&facts, vec!["about hidden".to_owned()]);
    assert!(format!("{full:?}").contains("hidden"));
    let veiled = full.for_strangers();
    assert!(!format!("{veiled:?}").contains("hidden"), "{veiled:?}");
    assert_eq!(ids(&veiled.holes), ids(&full.holes));
    assert_eq!(ids(&veiled.remarks), ids(&full.remarks));
    let open = |one: &Finding| one.id == "open-agents";
    assert_eq!(veiled.holes.iter().find(|f| open(f)), full.holes.iter().find(|f| open(f)));
}

#[test]
fn many_names_are_cut_short() {
    let names: Vec<String> = (1..=7).map(|n| format!("p{n}")).collect();
    assert_eq!(several(&names[..1]), "\"p1\"");
    assert_eq!(several(&names[..3]), "\"p1\", \"p2\" and \"p3\"");
    assert!(several(&names).ends_with("\"p5\" and 2 more"));
}
