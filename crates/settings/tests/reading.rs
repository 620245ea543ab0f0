//! How flags and variables are read.

mod common;

use std::path::Path;
use std::time::Duration;

use alcazar_settings::{
    ContentType, Listen, Loaded, LogLevel, Naming, Notice, OwnTaskUsers, Program, Protection,
    ReconfigurationPolicy, Recover, RegistryKind, TaskUsers, TlsFlag, What, agent, execute, master,
};
use common::Given;
use proptest::prelude::*;

/// The first error of a master that is told `arguments`.
fn wrong(arguments: &[&str]) -> String {
    Given::arguments(arguments).errors(Program::Master).first().cloned().unwrap_or_default()
}

fn wrong_agent(arguments: &[&str]) -> String {
    Given::arguments(arguments).errors(Program::Agent).first().cloned().unwrap_or_default()
}

#[test]
fn booleans_are_written_in_four_ways_and_negated_in_two() {
    for (argument, expected) in [
        ("--quiet", true),
        ("--quiet=", true),
        ("--quiet=true", true),
        ("--quiet=1", true),
        ("--quiet=false", false),
        ("--quiet=0", false),
        ("--no-quiet", false),
        ("--no-quiet=", false),
        ("--QUIET", true),
        ("  --quiet  ", true),
    ] {
        let (settings, _) = Given::arguments(&[argument]).master().unwrap();
        assert_eq!(settings.log.quiet, expected, "{argument}");
    }
}

#[test]
fn mistakes_are_told_in_the_originals_words() {
    for (arguments, expected) in [
        (&["--frobnicate"][..], "Failed to load unknown flag 'frobnicate'"),
        (
            &["--agent_ping_timeot=1secs"],
            "Failed to load unknown flag 'agent_ping_timeot'; did you mean '--agent_ping_timeout'?",
        ),
        (
            &["--no-hostname_lokup"],
            "Failed to load unknown flag 'no-hostname_lokup'; did you mean '--hostname_lookup'?",
        ),
        (&["--quiet", "--quiet"], "Flag 'quiet' is already loaded via name 'quiet'"),
        (&["--quiet", "--no-quiet"], "Flag 'quiet' is already loaded via name 'quiet'"),
        (
            &["--slave_ping_timeout=2secs", "--agent_ping_timeout=2secs"],
            "Flag 'agent_ping_timeout' is already loaded via name 'slave_ping_timeout'",
        ),
        (
            &["--no-quiet=true"],
            "Failed to load boolean flag 'quiet' via 'no-quiet' with value 'true'",
        ),
        (&["--no-port=1"], "Failed to load non-boolean flag 'port' via 'no-port'"),
        (&["--port"], "Failed to load non-boolean flag 'port': Missing value"),
        (&["--port", "5050"], "Failed to load non-boolean flag 'port': Missing value"),
        (
            &["--quiet=yes"],
            "Failed to load flag 'quiet': Failed to load value 'yes': expected true, 1, false or 0",
        ),
        (
            &["--cluster=file:///nowhere"],
            "Failed to load flag 'cluster': cannot read '/nowhere': No such file or directory",
        ),
    ] {
        assert_eq!(wrong(arguments), expected, "{arguments:?}");
    }
    let missing = Given::default().with(|sources| agent(Naming::Mesos, sources)).unwrap_err();
    assert_eq!(
        missing.errors[0].to_string(),
        "Flag 'work_dir' is required, but it was not provided"
    );
    assert!(missing.wants_usage());
}

#[test]
fn every_mistake_is_reported_at_once() {
    let errors = Given::arguments(&["--port=x", "--frobnicate", "--acls={}"]);
    let errors = errors.errors(Program::Master);
    assert_eq!(errors.len(), 3, "{errors:?}");
    let refused = Given::arguments(&["--acls={}"]).master().unwrap_err();
    assert!(!refused.wants_usage(), "the usage text would hide the reason");
}

#[test]
fn what_is_no_flag_is_ignored_by_the_originals_names_only() {
    let given = Given::arguments(&["ignored", "-x", "--quiet", "--", "--frobnicate"]);
    assert!(given.master().unwrap().0.log.quiet);
    let given = Given::arguments(&["--registry=in_memory", "--danger_plaintext", "5050"]);
    let failure = given.with(|sources| master(Naming::Alcazar, sources)).unwrap_err();
    assert_eq!(failure.to_string(), "unexpected argument '5050': flags are written --name=value");
}

#[test]
fn variables_count_where_the_command_line_is_silent() {
    let port = |given: Given| given.master().map(|(settings, _)| settings.listen.port);
    let variable = |name: &str| Given::arguments(&[]).variable(name, "7");
    assert_eq!(port(variable("MESOS_PORT")), Ok(7));
    assert_eq!(port(variable("MESOS_port")), Ok(7), "the name is read in any case");
    assert_eq!(port(variable("mesos_PORT")), Ok(5050), "the prefix is not");
    assert_eq!(port(variable("MESOS_FROBNICATE")), Ok(5050), "unknown names are ignored");
    let both = Given::arguments(&["--port=8"]).variable("MESOS_PORT", "7");
    assert_eq!(port(both), Ok(8));
    let other_name = Given::arguments(&["--agent_ping_timeout=2secs"])
        .variable("MESOS_SLAVE_PING_TIMEOUT", "3secs");
    assert_eq!(
        other_name.errors(Program::Master),
        ["Flag 'agent_ping_timeout' is already loaded via name 'agent_ping_timeout'"]
    );
    let negated = Given::default().variable("MESOS_NO-HOSTNAME_LOOKUP", "");
    assert!(!negated.master().unwrap().0.listen.hostname_lookup);
    // mesos-execute reads the command line only.
    let ignored = Given::default().variable("MESOS_ROLE", "r");
    assert_eq!(ignored.execute().unwrap().0.role, "*");
}

#[test]
fn a_file_stands_for_its_content_except_where_a_path_is_wanted() {
    let given = Given::arguments(&["--cluster=file:///c", "--port=file:///p"])
        .file("/c", "name\n")
        .file("/p", "7");
    let (settings, _) = given.master().unwrap();
    assert_eq!(settings.cluster.as_deref(), Some("name\n"), "untrimmed, as ever");
    assert_eq!(settings.listen.port, 7);
    let untrimmed = Given::arguments(&["--port=file:///p"]).file("/p", "7\n");
    assert_eq!(untrimmed.errors(Program::Master).len(), 1);

    // The content is used and the path is shown.
    let mut given = Given::arguments(&["--master=file:///m", "--work_dir=/w"]).file("/m", "h:1\n");
    let loaded = given.with(|sources| agent(Naming::Mesos, sources)).unwrap();
    let Loaded::Run { settings, .. } = loaded else { panic!() };
    assert_eq!(settings.master.to_string(), "h:1");
    assert_eq!(settings.effective_flags["master"], "file:///m");

    // A path is never read.
    given.arguments.push("--credential=file:///secret".into());
    let loaded = given.with(|sources| agent(Naming::Mesos, sources)).unwrap();
    let Loaded::Run { settings, .. } = loaded else { panic!() };
    assert_eq!(settings.authentication.credential.as_deref(), Some(Path::new("/secret")));
    assert_eq!(settings.effective_flags["credential"], "/secret");
}

#[test]
fn json_is_given_inline_as_a_file_or_as_a_path_of_old() {
    let domain = r#"{"fault_domain": {"region": {"name": "r"}, "zone": {"name": "z"}}}"#;
    for (argument, notices) in [
        (format!("--domain={domain}"), 0),
        ("--domain=file:///d".to_owned(), 0),
        ("--domain=/d".to_owned(), 1),
    ] {
        let given = Given::arguments(&[&argument]).file("/d", domain);
        let (settings, said) = given.master().unwrap();
        assert_eq!(settings.domain.as_deref(), Some(domain), "{argument}");
        assert_eq!(said.len(), notices, "{said:?}");
        assert!(said.iter().all(|n| *n == Notice::JsonPath { flag: "domain" }));
    }
    assert!(wrong(&["--domain={}"]).contains("fault_domain"));
    assert!(wrong(&["--domain=[]"]).contains("expected a JSON object"));
}

#[test]
fn an_old_name_works_and_is_told_so() {
    let (settings, notices) = Given::arguments(&["--slave_ping_timeout=2secs"]).master().unwrap();
    assert_eq!(settings.agent_ping_timeout, Duration::from_secs(2));
    let expected =
        Notice::Deprecated { name: "slave_ping_timeout".into(), instead: "agent_ping_timeout" };
    assert_eq!(notices, [expected]);
    assert_eq!(settings.effective_flags["agent_ping_timeout"], "2secs");
    assert!(!settings.effective_flags.contains_key("slave_ping_timeout"));
}

#[test]
fn help_and_version_come_before_everything_else() {
    for arguments in [&["--help"][..], &["--frobnicate", "--help", "--port=x"]] {
        let loaded = Given::arguments(arguments).with(|s| master(Naming::Mesos, s)).unwrap();
        let Loaded::Help(text) = loaded else { panic!("{arguments:?}") };
        assert!(text.starts_with("Usage: mesos-master "), "{text}");
    }
    let loaded = Given::arguments(&["--version"]).with(|s| agent(Naming::Mesos, s)).unwrap();
    assert_eq!(loaded, Loaded::Version);
    let loaded = Given::arguments(&["--help"]).with(execute).unwrap();
    assert!(matches!(loaded, Loaded::Help(text) if text.contains("--[no-]partition_aware")));
}

#[test]
fn an_address_comes_from_flags_before_variables() {
    let given = Given::default()
        .variable("LIBPROCESS_IP", "10.0.0.1")
        .variable("LIBPROCESS_PORT", "1")
        .variable("LIBPROCESS_ADVERTISE_IP", "10.0.0.2")
        .variable("LIBPROCESS_ADVERTISE_PORT", "2");
    let expected = Listen {
        ip: Some([10, 0, 0, 1].into()),
        port: 5050,
        advertise_ip: Some([10, 0, 0, 2].into()),
        advertise_port: Some(2),
        hostname: None,
        hostname_lookup: true,
    };
    assert_eq!(given.master().unwrap().0.listen, expected);
    let mut over = given;
    over.arguments = ["--ip=10.0.0.3", "--advertise_ip=10.0.0.4", "--advertise_port=4", "--port=0"]
        .map(str::to_owned)
        .to_vec();
    let listen = over.master().unwrap().0.listen;
    assert_eq!(listen.ip, Some([10, 0, 0, 3].into()));
    assert_eq!(listen.port, 0);
    assert_eq!(listen.advertise_ip, Some([10, 0, 0, 4].into()));
    assert_eq!(listen.advertise_port, Some(4));
    for bad in [
        Given::arguments(&["--ip=::1"]),
        Given::arguments(&["--ip=localhost"]),
        Given::arguments(&["--advertise_port=0"]),
        Given::arguments(&["--advertise_port=x"]),
        Given::default().variable("LIBPROCESS_IP", "::1"),
        Given::default().variable("LIBPROCESS_ADVERTISE_PORT", "0"),
    ] {
        assert_eq!(bad.errors(Program::Master).len(), 1);
    }
    // A command whose output nobody reads must not end in listening everywhere.
    let command = Given::arguments(&["--ip_discovery_command=hostname -i"]);
    assert_eq!(command.errors(Program::Agent).len(), 1);
}

#[test]
fn a_master_has_the_defaults_of_the_original() {
    let (settings, notices) = Given::default().master().unwrap();
    assert_eq!(notices, []);
    assert_eq!(settings.protection, Protection::Variables);
    assert_eq!(settings.log.level, LogLevel::Info);
    assert_eq!(settings.agent_ping_timeout, Duration::from_secs(15));
    assert_eq!(settings.agent_reregister_timeout, Duration::from_secs(600));
    assert_eq!(settings.allocation_interval, Duration::from_secs(1));
    assert_eq!(settings.max_agent_ping_timeouts, 5);
    assert_eq!(settings.max_completed_frameworks, 50);
    assert_eq!(settings.max_completed_tasks_per_framework, 1000);
    assert_eq!(settings.max_unreachable_tasks_per_framework, 1000);
    assert_eq!(settings.min_allocatable_resources, model::resources::MinAllocatable::default());
    assert_eq!(settings.offer_timeout, None);
    assert!((settings.recovery_agent_removal_limit - 1.0).abs() < 1e-9);
    assert_eq!(settings.registry, RegistryKind::InMemory);
    assert_eq!(settings.registry_gc_interval, Duration::from_secs(900));
    assert_eq!(settings.registry_max_agent_age, Duration::from_secs(14 * 86_400));
    assert_eq!(settings.registry_max_agent_count, 102_400);
    assert_eq!(settings.roles, None);
    assert!(settings.root_submissions && settings.filter_gpu_resources);
    assert!(!settings.require_agent_domain);
}

#[test]
fn a_master_checks_what_the_original_checks() {
    let registry = Given::default().with(|s| master(Naming::Mesos, s)).unwrap_err();
    assert!(registry.to_string().contains("'work_dir' is required"), "{registry}");
    for arguments in [
        &["--agent_reregister_timeout=9mins"][..],
        &["--agent_ping_timeout=999ms"],
        &["--agent_ping_timeout=16mins"],
        &["--max_agent_ping_timeouts=0"],
        &["--offer_timeout=0secs"],
        &["--min_allocatable_resources=cpus"],
        &["--recovery_agent_removal_limit=50"],
        &["--recovery_agent_removal_limit=101%"],
        &["--recovery_agent_removal_limit=-1%"],
        &["--recovery_agent_removal_limit=NaN%"],
        &["--registry_strict=true"],
        &["--role_sorter=best"],
        &["--roles=a,b c"],
        &["--logging_level=DEBUG"],
        &["--zk=zk://h:2181/m"],
    ] {
        let errors = Given::arguments(arguments).errors(Program::Master);
        let name = arguments[0].trim_start_matches("--").split('=').next().unwrap();
        assert!(errors.len() == 1 && errors[0].contains(name), "{arguments:?}: {errors:?}");
    }
    let bad_registry = Given::arguments(&["--registry=etcd"]);
    let failure = bad_registry.with(|s| master(Naming::Mesos, s)).unwrap_err();
    assert!(failure.to_string().contains("'registry' is `etcd`"), "{failure}");
    let (settings, _) =
        Given::arguments(&["--roles=a,b", "--recovery_agent_removal_limit=25%"]).master().unwrap();
    let roles: Vec<_> = settings.roles.unwrap().iter().map(|r| r.as_str().to_owned()).collect();
    assert_eq!(roles, ["*", "a", "b"]);
    assert!((settings.recovery_agent_removal_limit - 0.25).abs() < 1e-9);
}

#[test]
fn an_agent_has_the_defaults_of_the_original_and_checks_what_it_checks() {
    let (settings, notices) = Given::default().agent().unwrap();
    assert_eq!(notices, []);
    assert_eq!(settings.listen.port, 5051);
    assert_eq!(settings.task_users, TaskUsers::SwitchUser(true));
    assert_eq!(settings.recover, Recover::Reconnect);
    assert_eq!(settings.reconfiguration_policy, ReconfigurationPolicy::Equal);
    assert_eq!(settings.recovery_timeout, Duration::from_secs(900));
    assert_eq!(settings.executor_registration_timeout, Duration::from_secs(60));
    assert_eq!(settings.executor_reregistration_timeout, Duration::from_secs(2));
    assert_eq!(settings.executor_shutdown_grace_period, Duration::from_secs(5));
    assert!(settings.strict);
    for arguments in [
        &["--executor_reregistration_timeout=16secs"][..],
        &["--registration_backoff_factor=61secs"],
        &["--gc_disk_headroom=1.1"],
        &["--gc_disk_headroom=-0.1"],
        &["--perf_duration=2mins"],
        &["--recover=forget"],
        &["--reconfiguration_policy=any"],
        &["--isolation=posix/cpu,posix/cpu"],
        &["--isolation=posix/cpu,cgroups/mem"],
        &["--isolation=namespaces/pid"],
        &["--containerizers=docker,mesos"],
        &["--launcher=linux"],
        &["--default_role=a b"],
        &["--work_dir2=x"],
    ] {
        assert_ne!(wrong_agent(arguments), "", "{arguments:?}");
    }
    let masters = |text: &str| {
        let given = Given::arguments(&["--work_dir=/w", &format!("--master={text}")]);
        given.with(|s| agent(Naming::Mesos, s)).map(|loaded| match loaded {
            Loaded::Run { settings, .. } => settings.master.to_string(),
            _ => panic!(),
        })
    };
    assert_eq!(masters("10.0.0.1:5050").unwrap(), "10.0.0.1:5050");
    assert_eq!(masters("master@h.example.org:1").unwrap(), "h.example.org:1");
    for bad in ["", "h", "h:", ":1", "h:0", "h:x", "h:65536", "a b:1", "http://h:1"] {
        assert!(masters(bad).is_err(), "{bad}");
    }
    let zookeeper = masters("zk://h:2181/mesos").unwrap_err().to_string();
    assert!(zookeeper.starts_with("`--master` restricts"), "{zookeeper}");
    let none = Given::arguments(&["--work_dir=/w"]).with(|s| agent(Naming::Mesos, s)).unwrap_err();
    assert!(none.to_string().contains("'master' is required"), "{none}");
}

#[test]
fn our_own_names_want_to_be_told_what_protects_them() {
    let load = |arguments: &[&str]| {
        let mut all = vec!["--registry=in_memory"];
        all.extend(arguments);
        Given::arguments(&all).with(|s| master(Naming::Alcazar, s)).map(|loaded| match loaded {
            Loaded::Run { settings, .. } => settings.protection,
            _ => panic!(),
        })
    };
    let files = ["--tls-certificate=/c", "--tls-key=/k", "--tls-trust-bundle=/t"];
    let identities = Protection::Identities {
        certificate: "/c".into(),
        key: "/k".into(),
        trust_bundle: "/t".into(),
        flags: Vec::new(),
    };
    assert_eq!(load(&files).unwrap(), identities);
    assert_eq!(load(&["--danger-plaintext"]).unwrap(), Protection::DangerPlaintext);
    assert_eq!(load(&["--danger_plaintext"]).unwrap(), Protection::DangerPlaintext);
    for wrong in
        [&[][..], &files[..2], &[files[0], "--danger-plaintext"], &["--no-danger-plaintext"]]
    {
        let error = load(wrong).unwrap_err().to_string();
        assert!(error.contains("tls_") || error.contains("danger_plaintext"), "{error}");
    }
    // What weakens is said on the command line, never by what happens to be in the environment.
    let ambient = Given::arguments(&["--registry=in_memory"])
        .variable("MESOS_DANGER_PLAINTEXT", "true")
        .with(|s| master(Naming::Alcazar, s));
    assert!(ambient.is_err());
    // The original's names do not know our own flags.
    assert!(wrong(&["--danger_plaintext"]).starts_with("Failed to load unknown flag"));
}

#[test]
fn our_own_names_confine_tasks() {
    let load = |arguments: &[&str]| {
        let mut all = vec!["--master=m:1", "--work-dir=/w", "--danger-plaintext"];
        all.extend(arguments);
        Given::arguments(&all).with(|s| agent(Naming::Alcazar, s)).map(|loaded| match loaded {
            Loaded::Run { settings, notices } => (settings.task_users, notices),
            _ => panic!(),
        })
    };
    let own = |user: &str, danger_root_tasks| {
        TaskUsers::Own(OwnTaskUsers { task_user: user.to_owned(), danger_root_tasks })
    };
    assert_eq!(load(&[]).unwrap().0, own("nobody", false));
    let (users, notices) = load(&["--task-user=tasks", "--danger-root-tasks"]).unwrap();
    assert_eq!(users, own("tasks", true));
    assert!(
        notices.iter().any(|n| matches!(n, Notice::Weak { origin, .. } if origin.contains("root")))
    );
    let plaintext =
        |n: &Notice| matches!(n, Notice::Weak { origin, .. } if origin.contains("plaintext"));
    assert!(notices.iter().any(plaintext), "{notices:?}");
    assert!(load(&["--task-user=root"]).is_err());
    assert!(load(&["--task-user="]).is_err());
}

#[test]
fn an_execution_needs_something_to_run() {
    let load = |arguments: &[&str]| {
        let mut all = vec!["--master=m:1"];
        all.extend(arguments);
        Given::arguments(&all).with(execute).map(|loaded| match loaded {
            Loaded::Run { settings, .. } => *settings,
            _ => panic!(),
        })
    };
    let settings = load(&["--name=n", "--command=c", r#"--env={"A":"b"}"#]).unwrap();
    let What::Command { name, command, environment } = &settings.what else { panic!() };
    assert_eq!((name.as_str(), command.as_deref()), ("n", Some("c")));
    assert_eq!(environment["A"], "b");
    assert!(settings.shell && settings.partition_aware && !settings.checkpoint);
    assert_eq!(settings.content_type, ContentType::Protobuf);
    assert_eq!(settings.resources, "cpus:1;mem:128");
    let settings = load(&["--task={}", "--content_type=application/json"]).unwrap();
    assert_eq!(settings.what, What::Task("{}".into()));
    assert_eq!(settings.content_type, ContentType::Json);
    let settings = load(&["--name=n", "--no-shell", "--framework_capabilities=GPU_RESOURCES"]);
    assert!(settings.unwrap().gpu_resources);
    for wrong in [
        &[][..],
        &["--name=n"],
        &["--command=c"],
        &["--task={}", "--task_group={}"],
        &["--name=n", "--command=c", "--content_type=xml"],
        &["--name=n", "--command=c", "--framework_capabilities=REVOCABLE_RESOURCES"],
        &["--name=n", "--command=c", "--docker_image=busybox"],
        &["--name=n", "--command=c", r#"--env={"A":1}"#],
    ] {
        assert!(load(wrong).is_err(), "{wrong:?}");
    }
}

proptest! {
    #[test]
    fn no_arguments_or_variables_panic(
        arguments in proptest::collection::vec("(--)?(no-)?[a-z_]{0,12}=?\\PC{0,8}", 0..6),
        environment in proptest::collection::vec(("(MESOS|LIBPROCESS)_[A-Za-z_-]{0,12}", "\\PC{0,8}"), 0..4),
    ) {
        let given = Given { arguments, environment, ..Given::default() };
        let _ = given.with(|s| (master(Naming::Mesos, s), agent(Naming::Alcazar, s), execute(s)));
    }
}

#[test]
fn tls_flags_of_our_own_names_are_handed_on_as_they_were_written() {
    let load = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut all = vec!["--registry=in_memory"];
        all.extend(arguments);
        let given = variables.iter().fold(Given::arguments(&all), |g, (n, v)| g.variable(n, v));
        given.with(|s| master(Naming::Alcazar, s)).map(|loaded| match loaded {
            Loaded::Run { settings, .. } => settings.protection,
            _ => panic!(),
        })
    };
    let flag = |name: &str, value: &str, spelled: &str| TlsFlag {
        name: name.to_owned(),
        value: value.to_owned(),
        spelled: spelled.to_owned(),
    };
    let own = ["--tls-certificate=/c", "--tls-key=/k", "--tls-trust-bundle=/t"];
    let with_profile = [own[0], own[1], own[2], "--tls-profile=modern"];
    let Protection::Identities { flags, .. } = load(&with_profile, &[]).unwrap() else { panic!() };
    assert_eq!(flags, [flag("PROFILE", "modern", "--tls-profile")]);
    let given = load(
        &[
            "--tls_enabled",
            "--no-tls-verify-server-cert",
            "--tls-verification_depth=3",
            "--tls_ca_file=/a",
        ],
        &[],
    );
    assert_eq!(
        given.unwrap(),
        Protection::Given(vec![
            flag("ENABLED", "true", "--tls_enabled"),
            flag("VERIFY_SERVER_CERT", "false", "--no-tls-verify-server-cert"),
            flag("VERIFICATION_DEPTH", "3", "--tls-verification_depth"),
            flag("CA_FILE", "/a", "--tls_ca_file"),
        ])
    );
    // Variables count too, and nothing runs more open than one of them says.
    for name in ["LIBPROCESS_SSL_ENABLED", "SSL_ENABLED", "LIBPROCESS_SSL_enabled"] {
        let on = [(name, "true")];
        assert_eq!(load(&[], &on).unwrap(), Protection::Given(Vec::new()), "{name}");
        assert!(load(&["--danger-plaintext"], &on).is_err(), "{name}");
        assert!(load(&["--danger-plaintext"], &[(name, "0")]).is_ok(), "{name}");
    }
    assert!(load(&["--danger-plaintext", "--tls-profile=modern"], &[]).is_err());
    let secret = load(&["--tls-enabled", "--tls-key-passphrase-command=echo v3ry-s3cret"], &[]);
    assert!(!format!("{secret:?}").contains("v3ry-s3cret"));
}
