//! `alcazar doctor auth`: who is asked who they are, in an environment and in a running cluster.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;
use testkit::certificates::Leaf;
use testkit::cluster::Cluster;
use testkit::daemon::Daemon;

const ALCAZAR: &str = env!("CARGO_BIN_EXE_alcazar");

type Variables = Vec<(String, String)>;

fn doctor(daemon: &str, variables: &Variables, arguments: &[&str]) -> Output {
    Command::new(ALCAZAR)
        .args(["doctor", "auth", "--from-env", "--daemon", daemon])
        .args(arguments)
        .env_clear()
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .output()
        .expect("the binary starts")
}

/// Its exit status and what it says of the environment.
#[track_caller]
fn examined(daemon: &str, variables: &Variables) -> (i32, Value) {
    let output = doctor(daemon, variables, &["--json"]);
    let value: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let status = output.status.code().expect("it ends by itself");
    assert_eq!(value["status"], status, "{value}");
    (status, value["components"][0].clone())
}

fn ids<'a>(component: &'a Value, key: &str) -> Vec<&'a str> {
    let all = component[key].as_array().expect("an array");
    all.iter().map(|finding| finding["id"].as_str().expect("a word")).collect()
}

/// Files that the lines of the doctor may ask for.
struct Material(TempDir);

impl Material {
    fn new() -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().expect("a directory");
        Leaf::new("US").self_signed().write(directory.path(), "cert");
        for (name, text) in [
            ("list", r#"{"credentials":[{"principal":"ops","secret":"s3cret"}]}"#),
            ("own", r#"{"principal":"a","secret":"s3cret"}"#),
            ("key", "s3cret"),
        ] {
            let path = directory.path().join(name);
            std::fs::write(&path, text).expect("our own directory");
            let mode = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(&path, mode).expect("our own file");
        }
        Self(directory)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    /// What stands in the place of `<file>` in a line.
    fn file_for(&self, variable: &str) -> String {
        self.path(match variable {
            "MESOS_CREDENTIALS" | "MESOS_HTTP_CREDENTIALS" => "list",
            "MESOS_CREDENTIAL" => "own",
            "MESOS_JWT_SECRET_KEY" => "key",
            "MESOS_AUDIT_LOG" => "audit.log",
            other => panic!("{other} takes no file"),
        })
    }
}

fn variables(pairs: &[(&str, &str)]) -> Variables {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn authn_following_the_doctor_line_by_line_ends_in_an_environment_without_holes() {
    let material = Material::new();
    for (daemon, mut variables) in [
        ("mesos-master", variables(&[("MESOS_REGISTRY", "in_memory")])),
        ("mesos-agent", variables(&[("MESOS_MASTER", "m:5050"), ("MESOS_WORK_DIR", "/w")])),
    ] {
        let mut applied = Vec::new();
        loop {
            let (status, component) = examined(daemon, &variables);
            let Some(hole) = component["holes"].get(0) else {
                assert_eq!(status, 0, "{component}");
                assert_eq!(component["posture"], "authenticated");
                break;
            };
            assert_eq!(status, 1, "{component}");
            let line = hole["closed_by"].as_str().expect("a line");
            let (name, value) = line.split_once('=').expect("a variable");
            let value = match value {
                "<file>" => material.file_for(name),
                value => value.to_owned(),
            };
            variables.retain(|(other, _)| other != name);
            variables.push((name.to_owned(), value));
            if name == "LIBPROCESS_SSL_ENABLED" {
                // What that line needs to stand on.
                for (name, file) in [("CERT", "cert.pem"), ("KEY", "cert-key.pem")] {
                    let name = format!("LIBPROCESS_SSL_{name}_FILE");
                    variables.push((name, material.path(file)));
                }
            }
            applied.push(line.to_owned());
            assert!(applied.len() < 12, "{applied:?}");
        }
        assert!(applied.len() >= 5, "{applied:?}");
        // Secrets at rest are no hole of the network, and are spoken of.
        let (_, component) = examined(daemon, &variables);
        let remarks = ids(&component, "remarks");
        assert!(remarks.contains(&"plaintext-secrets"), "{component}");
        assert!(remarks.contains(&"without-kinds"), "{component}");
        assert!(remarks.contains(&"no-audit-log"), "{component}");
        assert!(!component.to_string().contains("s3cret"), "{component}");
    }
}

#[test]
fn authn_a_daemon_that_would_not_start_is_told_apart_from_one_with_holes() {
    let base = [("MESOS_REGISTRY", "in_memory")];
    for (more, part) in [
        (("MESOS_AUTHENTICATE_HTTP_READONLY", "true"), "No credentials provided"),
        (("MESOS_CREDENTIALS", "/nowhere/c"), "/nowhere/c"),
        (("MESOS_AUTHENTICATORS", "kerberos"), "kerberos"),
    ] {
        let told = variables(&[base[0], more]);
        let (status, component) = examined("mesos-master", &told);
        assert_eq!((status, component["trouble"].as_str()), (2, Some("does not start")));
        assert!(component["errors"].to_string().contains(part), "{component}");
        let output = doctor("mesos-master", &told, &[]);
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stdout).contains("does not start"), "{output:?}");
    }
}

#[test]
fn authn_the_doctor_speaks_to_people_and_reads_flags_too() {
    let output =
        doctor("master", &Vec::new(), &["--", "--registry=in_memory", "--danger-plaintext"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    for part in [
        "environment: open\n",
        "An attacker on the network can:\n",
        "open-agents\n",
        "closed by: MESOS_CREDENTIALS=<file>\n",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    assert!(!text.contains("TLS library"), "{text}");
}

#[test]
fn authn_of_a_running_cluster_of_ours_is_that_of_identities() {
    let cluster = Cluster::up(Path::new(ALCAZAR));
    let output = cluster.run("doctor", &["auth", "--json"]);
    let value: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(output.status.code(), Some(0), "{value:#}");
    let components = value["components"].as_array().expect("components");
    assert!(components.len() >= 2, "the master and its agents: {value:#}");
    for component in components {
        assert_eq!(component["posture"], "identities", "{component:#}");
        assert_eq!(ids(component, "holes"), [""; 0]);
        assert_eq!(ids(component, "remarks"), [""; 0], "{component:#}");
    }
    // The doctor asked, and that stands in the master's trail.
    let trail = cluster.state_dir().join("logs/master.audit.log");
    let trail = std::fs::read_to_string(trail).expect("an audit trail");
    assert!(trail.contains("\"method\":\"certificate\""), "{trail}");
}

#[test]
fn authn_a_cluster_of_ours_has_no_secret_in_files_arguments_or_environments() {
    let cluster = Cluster::up(Path::new(ALCAZAR));
    let directory = cluster.state_dir().to_owned();
    let mut names = Vec::new();
    let mut todo = vec![directory.clone()];
    while let Some(next) = todo.pop() {
        // What comes and goes meanwhile is a sandbox or a temporary file.
        for entry in std::fs::read_dir(next).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                todo.push(entry.path());
            }
            names.push(entry.path().display().to_string());
        }
    }
    assert!(names.iter().any(|name| name.ends_with("cluster.json")), "{names:?}");
    let suspicious = |text: &str| {
        let text = text.to_ascii_lowercase();
        ["credential", "secret", "salts.key", "jwt", "password"].iter().any(|w| text.contains(w))
    };
    let prefix = directory.display().to_string();
    for name in &names {
        assert!(!suspicious(name.strip_prefix(&prefix).unwrap()), "{name}");
    }
    // Every process that was told about this cluster.
    let mut daemons = 0;
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let read = |name: &str| std::fs::read(process.path().join(name)).unwrap_or_default();
        let arguments = String::from_utf8_lossy(&read("cmdline")).into_owned();
        if !arguments.contains(&prefix) {
            continue;
        }
        daemons += 1;
        assert!(!suspicious(&arguments.replace(&prefix, "")), "{arguments}");
        let environment = String::from_utf8_lossy(&read("environ")).into_owned();
        let of_ours = |variable: &&str| {
            ["MESOS_", "LIBPROCESS_", "DEFAULT_"].iter().any(|p| variable.starts_with(p))
        };
        for variable in environment.split('\0').filter(of_ours) {
            assert!(!suspicious(variable), "{variable}");
        }
    }
    assert!(daemons >= 2, "a master and an agent: {daemons}");
}

#[test]
fn authn_of_a_running_master_of_the_original_is_told_to_whoever_may_read() {
    let master =
        Daemon::start(Path::new(ALCAZAR), "mesos-master", &["--registry=in_memory".to_owned()]);
    let url = format!("http://{}", master.address);
    let output = Command::new(ALCAZAR)
        .args(["--master", &url, "doctor", "auth", "--json"])
        .output()
        .expect("the binary starts");
    let value: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(output.status.code(), Some(1), "{value:#}");
    assert_eq!(value["components"][0]["posture"], "open");
    assert!(ids(&value["components"][0], "holes").contains(&"plaintext"));
}
