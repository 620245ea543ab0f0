//! The workshop "Securing Mesos Clusters", exercises 0, 1, 2, 3 and 5, with our binary called by
//! the names of the original and `host:port` in the place of ZooKeeper. What is otherwise than
//! there stands in `docs/user/compatibility.md`.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use testkit::certificates::{Authority, Keys, Leaf};
use testkit::daemon::{Daemon, open_to_others};
use testkit::http::Message;
use testkit::process::{Process, eventually};

type Variables = Vec<(String, String)>;

fn variables(pairs: &[(&str, &str)]) -> Variables {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// What the workshop has prepared.
struct Material {
    directory: TempDir,
}

impl Material {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        open_to_others(directory.path());
        // One self-signed pair for every component; no name is ever looked at.
        Leaf::new("US").keys(Keys::Rsa).self_signed().write(directory.path(), "cert");
        let material = Self { directory };
        material.write(
            "credentials.json",
            r#"{"credentials":[{"principal":"agent-principal","secret":"agent-secret"},
               {"principal":"scheduler-principal","secret":"scheduler-secret"}]}"#,
        );
        material
            .write("credential.json", r#"{"principal":"agent-principal","secret":"agent-secret"}"#);
        material.write("wrong.json", r#"{"principal":"agent-principal","secret":"other"}"#);
        material
    }

    fn write(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::write(self.path(name), text).expect("our own directory");
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(self.path(name), mode).expect("our own file");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn file(&self, name: &str) -> String {
        format!("file://{}", self.path(name).display())
    }

    /// The variables S.
    fn tls(&self) -> Variables {
        variables(&[
            ("LIBPROCESS_SSL_ENABLED", "1"),
            ("LIBPROCESS_SSL_CERT_FILE", &self.path("cert.pem").display().to_string()),
            ("LIBPROCESS_SSL_KEY_FILE", &self.path("cert-key.pem").display().to_string()),
        ])
    }

    /// Variables of a component of a hierarchy that verifies everybody.
    fn verified(&self, authority: &Authority, ca: &Path, name: &str) -> Variables {
        let leaf = Leaf::host("localhost", Some(Ipv4Addr::LOCALHOST.into()));
        let (certificate, key) = authority.issue(&leaf).write(self.directory.path(), name);
        variables(&[
            ("LIBPROCESS_SSL_ENABLED", "1"),
            ("LIBPROCESS_SSL_CERT_FILE", &certificate.display().to_string()),
            ("LIBPROCESS_SSL_KEY_FILE", &key.display().to_string()),
            ("LIBPROCESS_SSL_CA_FILE", &ca.display().to_string()),
            ("LIBPROCESS_SSL_REQUIRE_CLIENT_CERT", "1"),
            ("LIBPROCESS_SSL_HOSTNAME_VALIDATION_SCHEME", "openssl"),
            ("LIBPROCESS_SSL_VERIFY_IPADD", "1"),
        ])
    }

    /// The variables of exercise 2, for the master.
    fn agents_authenticate(&self) -> Variables {
        variables(&[
            ("MESOS_CREDENTIALS", &self.file("credentials.json")),
            ("MESOS_AUTHENTICATE_AGENTS", "1"),
        ])
    }
}

const ALCAZAR: &str = env!("CARGO_BIN_EXE_alcazar");

fn master(more: &[Variables]) -> Daemon {
    let mut all = variables(&[("MESOS_QUORUM", "1"), ("MESOS_REGISTRY", "in_memory")]);
    all.extend(more.iter().flatten().cloned());
    Daemon::start_with(Path::new(ALCAZAR), "mesos-master", &[], &all)
}

fn agent(master: &Daemon, more: &[Variables]) -> Daemon {
    let mut all = variables(&[
        ("MESOS_MASTER", &master.address.to_string()),
        ("MESOS_SWITCH_USER", "0"),
        ("MESOS_SYSTEMD_ENABLE_SUPPORT", "0"),
    ]);
    all.extend(more.iter().flatten().cloned());
    let flags = ["--resources=cpus:2;mem:512;disk:512".to_owned()];
    Daemon::start_with(Path::new(ALCAZAR), "mesos-agent", &flags, &all)
}

/// One of the programs, to its end.
fn run(name: &str, arguments: &[String], more: &[Variables]) -> (Option<i32>, Vec<String>) {
    let (status, lines) = start(name, arguments, more).wait();
    (status.code(), lines)
}

fn start(name: &str, arguments: &[String], more: &[Variables]) -> Process {
    let directory = tempfile::tempdir().expect("a directory");
    let link = directory.path().join(name);
    std::os::unix::fs::symlink(ALCAZAR, &link).expect("a link");
    let mut command = Command::new(&link);
    command
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .envs(more.iter().flatten().map(|(name, value)| (name, value)))
        .args(arguments);
    // The link is only needed to begin with.
    Process::start(command)
}

/// `mesos-execute` for the task of the workshop.
fn client(master: &Daemon, arguments: &[&str], more: &[Variables]) -> (Option<i32>, Vec<String>) {
    let (status, lines) = start_client(master, arguments, more).wait();
    (status.code(), lines)
}

fn start_client(master: &Daemon, arguments: &[&str], more: &[Variables]) -> Process {
    let mut all = vec![format!("--master={}", master.address)];
    all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    start("mesos-execute", &all, more)
}

const FOO: [&str; 2] = ["--name=foo", "--command=env"];

/// That it is as in 0.2.
#[track_caller]
fn succeeds((status, output): (Option<i32>, Vec<String>)) {
    assert_eq!(status, Some(0), "{output:#?}");
    let steps = [
        "Subscribed with ID ",
        "Submitted task 'foo' to agent '",
        "Received status update TASK_STARTING for task 'foo'",
        "Received status update TASK_RUNNING for task 'foo'",
        "Received status update TASK_FINISHED for task 'foo'",
        "  message: 'Command exited with status 0'",
    ];
    let places: Vec<_> =
        steps.iter().map(|step| output.iter().position(|line| line.starts_with(step))).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{output:#?}");
    assert!(output.contains(&"  source: SOURCE_EXECUTOR".to_owned()), "{output:#?}");
}

/// That there was no framework, and why.
#[track_caller]
fn is_refused((status, output): (Option<i32>, Vec<String>), why: &str) {
    assert_eq!(status, Some(1), "{output:#?}");
    assert!(output.iter().any(|line| line.contains(why)), "{why}: {output:#?}");
    assert!(!output.iter().any(|line| line.contains("Subscribed with ID")), "{output:#?}");
}

/// An answer over HTTP, in plaintext.
fn ask(address: SocketAddrV4, request: &str, user: Option<&str>) -> Message {
    use base64::Engine as _;
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    let mut text = format!("{request} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    if let Some(user) = user {
        let encoded = base64::engine::general_purpose::STANDARD.encode(user);
        text.push_str(&format!("Authorization: Basic {encoded}\r\n"));
    }
    if request.starts_with("POST") {
        let body = r#"{"type":"GET_HEALTH"}"#;
        text.push_str(&format!(
            "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
    } else {
        text.push_str("\r\n");
    }
    stream.write_all(text.as_bytes()).expect("it reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it answers");
    Message::parse(&answer)
}

#[test]
fn the_workshop_on_authn_and_encryption_is_as_it_was() {
    let material = Material::new();
    exercise_0();
    exercise_1(&material);
    exercise_1_with_a_hierarchy(&material);
    exercise_2(&material);
    exercise_3(&material);
    exercise_5(&material);
}

/// Default, insecure.
fn exercise_0() {
    let mut master = master(&[]);
    master.process.wait_for_line("Master allowing unauthenticated frameworks to register");
    master.process.wait_for_line("Master allowing unauthenticated agents to register");
    master.process.wait_for_line("Master allowing HTTP frameworks to register without");
    let _agent = agent(&master, &[]);
    succeeds(client(&master, &FOO, &[]));
}

/// Encryption.
fn exercise_1(material: &Material) {
    // 1.1: the agent finds the master and gets nowhere.
    let master = master(&[material.tls()]);
    let mut plain = agent(&master, &[]);
    plain.process.wait_for_line(&format!("New master detected at master@{}", master.address));
    plain.process.wait_for_line("a message was refused by its receiver");
    plain.process.wait_for_line("a link ended");
    let address = master.address;
    let output = Command::new("curl")
        .args(["-sk", &format!("https://{address}/slaves")])
        .output()
        .expect("curl starts");
    let slaves: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(slaves["slaves"], serde_json::json!([]), "{slaves}");
    drop(plain);
    // 1.3 (before 1.2, so that there is no agent for it): no framework id.
    let refused = client(&master, &FOO, &[]);
    let found = format!("New master detected at master@{address}");
    assert!(refused.1.iter().any(|line| line.contains(&found)), "{:#?}", refused.1);
    is_refused(refused, "speaks TLS only");
    // 1.2
    let mut agent_with_tls = agent(&master, &[material.tls()]);
    let line = agent_with_tls.process.wait_for_line("Registered with master");
    assert!(line.contains("given agent ID") && line.contains("-S0"), "{line}");
    // 1.4, the departure: ours finishes, since its executor is given what it needs.
    succeeds(client(&master, &FOO, &[material.tls()]));
    // A custom executor that has nothing fails as described.
    let task = r#"--task={"name":"foo","task_id":{"value":"foo"},"agent_id":{"value":""},
        "resources":[{"name":"cpus","type":"SCALAR","scalar":{"value":0.1}},
                     {"name":"mem","type":"SCALAR","scalar":{"value":32}}],
        "executor":{"type":"CUSTOM","executor_id":{"value":"custom"},"command":{"shell":true,"value":
        "curl -sf -d {} http://$MESOS_AGENT_ENDPOINT/api/v1/executor || exit 1"}}}"#;
    let (status, output) = client(&master, &[task], &[material.tls()]);
    assert_eq!(status, Some(0), "{output:#?}");
    for line in [
        "Received status update TASK_FAILED for task 'foo'",
        "  message: 'Executor terminated'",
        "  source: SOURCE_AGENT",
        "  reason: REASON_EXECUTOR_TERMINATED",
    ] {
        assert!(output.iter().any(|other| other == line), "{line}: {output:#?}");
    }
    // 1.5: as described, though there is no need for it.
    let pairs: Vec<_> =
        material.tls().iter().map(|(name, value)| format!("\"{name}\":\"{value}\"")).collect();
    let with_variables = format!("--env={{{}}}", pairs.join(","));
    let arguments = [FOO[0], FOO[1], &with_variables];
    succeeds(client(&master, &arguments, &[material.tls()]));
    drop((agent_with_tls, master));
    // 1.6
    let downgrade = variables(&[("LIBPROCESS_SSL_SUPPORT_DOWNGRADE", "1")]);
    let both = [material.tls(), downgrade];
    let lenient = self::master(&both);
    let _agent = agent(&lenient, &both);
    succeeds(client(&lenient, &FOO, &[]));
}

/// 1.7
fn exercise_1_with_a_hierarchy(material: &Material) {
    let authority = Authority::root("the workshop's CA", Keys::Ecdsa);
    let ca = authority.write(&material.path("ca.pem"));
    let ours = |name: &str| material.verified(&authority, &ca, name);
    let master = master(&[ours("master")]);
    let _agent = agent(&master, &[ours("agent")]);
    let stranger = Authority::root("somebody else's CA", Keys::Ecdsa);
    let foreign = material.verified(&stranger, &ca, "foreign");
    for refused in [material.tls(), foreign] {
        // It tries again for ever; that it does is all that it says.
        start_client(&master, &FOO, &[refused]).wait_for_line("Disconnected: ");
    }
    succeeds(client(&master, &FOO, &[ours("client")]));
}

/// Authentication of agents.
fn exercise_2(material: &Material) {
    // 2.1. (Decisions have a file of their own, so that the log is the original's.)
    let audit_log = material.path("audit.log").display().to_string();
    let audit = variables(&[("MESOS_AUDIT_LOG", &audit_log)]);
    let mut master = master(&[material.agents_authenticate(), audit]);
    let path = material.path("credentials.json");
    let loading = format!("Loading credentials for authentication from '{}'", path.display());
    master.process.wait_for_line(&loading);
    master.process.wait_for_line("Master only allowing authenticated agents to register");
    master.process.wait_for_line("Master allowing unauthenticated frameworks to register");
    // 2.2
    let mut without = agent(&master, &[]);
    without.process.wait_for_line(&format!("New master detected at master@{}", master.address));
    let text = "No credentials provided. Attempting to register without authentication";
    without.process.wait_for_line(text);
    let line = master.process.wait_for_line("it is not authenticated");
    assert!(line.contains(&without.address.to_string()), "{line}");
    assert_eq!(agents(&master), 0);
    // It is not shut down and tries again.
    let refusals = || {
        let text = std::fs::read_to_string(&audit_log).expect("the audit trail");
        text.lines().filter(|line| line.contains("RegisterSlaveMessage")).count()
    };
    eventually("it tries again", || (refusals() >= 2).then_some(()));
    assert!(Path::new(&format!("/proc/{}", without.process.id())).exists());
    drop(without);
    // 2.4: the master refuses, and the agent ends.
    let wrong = variables(&[("MESOS_CREDENTIAL", &material.file("wrong.json"))]);
    let with_wrong = agent(&master, &[wrong]);
    let (status, lines) = with_wrong.process.wait();
    assert!(!status.success());
    assert!(lines.iter().any(|line| line.contains("refused authentication")), "{lines:#?}");
    assert_eq!(agents(&master), 0);
    // 2.3: with the strongest mechanism of both; with the original's, if it is the only one.
    for (mechanisms, used) in [(None, "SCRAM-SHA-256"), (Some("CRAM-MD5"), "default CRAM-MD5")] {
        let mut told = variables(&[("MESOS_CREDENTIAL", &material.file("credential.json"))]);
        told.extend(variables(
            &mechanisms.map(|name| ("MESOS_SASL_MECHANISMS", name)).into_iter().collect::<Vec<_>>(),
        ));
        let mut agent = agent(&master, &[told]);
        let name = format!("master@{}", master.address);
        let registered =
            agent.process.wait_for_line(&format!("Registered with master {name}; given agent ID"));
        let lines = [
            format!("Authenticating with master {name}"),
            format!("Using {used} authenticatee"),
            format!("Successfully authenticated with master {name}"),
        ]
        .map(|text| agent.process.wait_for_line(&text));
        // Each line begins with its time.
        let mut sorted = lines.to_vec();
        sorted.push(registered);
        assert!(sorted.is_sorted(), "{sorted:#?}");
        succeeds(client(&master, &FOO, &[]));
    }
}

/// How many agents are registered, with the workshop's operator if the master asks.
fn agents(master: &Daemon) -> usize {
    let user = Some("scheduler-principal:scheduler-secret");
    let answer = ask(master.address, "GET /slaves", user);
    let value: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
    value["slaves"].as_array().expect("a list").len()
}

/// Authentication of frameworks.
fn exercise_3(material: &Material) {
    // 3.2
    let mut told = material.agents_authenticate();
    told.extend(variables(&[
        ("MESOS_AUTHENTICATE_FRAMEWORKS", "1"),
        ("MESOS_AUTHENTICATE_HTTP_FRAMEWORKS", "1"),
    ]));
    let (status, lines) =
        run("mesos-master", &["--registry=in_memory".to_owned()], std::slice::from_ref(&told));
    assert_eq!(status, Some(1), "{lines:#?}");
    let text = "Missing `--http_framework_authenticators` flag";
    assert!(lines.iter().any(|line| line.contains(text)), "{lines:#?}");
    // 3.1
    told.extend(variables(&[("MESOS_HTTP_FRAMEWORK_AUTHENTICATORS", "basic")]));
    let mut master = master(&[told]);
    for who in ["frameworks", "agents", "HTTP frameworks"] {
        let line = format!("Master only allowing authenticated {who} to register");
        master.process.wait_for_line(&line);
    }
    let credential = variables(&[("MESOS_CREDENTIAL", &material.file("credential.json"))]);
    let _agent = agent(&master, &[credential]);
    // 3.3
    is_refused(
        client(&master, &FOO, &[]),
        "EXIT with status 1: Received an ERROR event: Received unexpected '401 Unauthorized' () \
         for SUBSCRIBE",
    );
    let principal = "--principal=scheduler-principal";
    let wrong = client(&master, &[FOO[0], FOO[1], principal, "--secret=other"], &[]);
    is_refused(wrong, "Received unexpected '401 Unauthorized' () for SUBSCRIBE");
    // 3.4
    let secret = "--secret=scheduler-secret";
    let told = client(&master, &[FOO[0], FOO[1], principal, secret], &[]);
    assert!(!told.1.iter().any(|line| line.contains("scheduler-secret")), "{:#?}", told.1);
    succeeds(told);
    // The variables that the original's documentation names are ours to read.
    let mut ours = Command::new(ALCAZAR);
    ours.args(["--master", &format!("http://{}", master.address)])
        .args(["--danger-expose-secret", "execute", "--quiet", "--user", "root"])
        .args(["--command", "echo done"])
        .env("DEFAULT_PRINCIPAL", "scheduler-principal")
        .env("DEFAULT_SECRET", "scheduler-secret");
    let output = ours.output().expect("the binary starts");
    assert!(output.status.success(), "{output:?}");
    // 3.6
    let other = r#"{"type":"SUBSCRIBE","subscribe":{"framework_info":
        {"user":"root","name":"other","principal":"agent-principal"}}}"#;
    let answer = subscribe(master.address, other, "scheduler-principal:scheduler-secret");
    assert_eq!(answer.status(), 400, "{answer:?}");
    assert_eq!(
        String::from_utf8_lossy(&answer.body),
        "Failed to validate scheduler::Call: Authenticated principal 'scheduler-principal' does \
         not match principal 'agent-principal' set in `FrameworkInfo`"
    );
}

/// A SUBSCRIBE that is not answered with a stream.
fn subscribe(address: SocketAddrV4, body: &str, user: &str) -> Message {
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(user);
    let text = format!(
        "POST /api/v1/scheduler HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAuthorization: \
         Basic {encoded}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    stream.write_all(text.as_bytes()).expect("it reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it answers, and not with a stream");
    Message::parse(&answer)
}

/// Authentication over HTTP.
fn exercise_5(material: &Material) {
    let asked = variables(&[
        ("MESOS_AUTHENTICATE_HTTP_READWRITE", "true"),
        ("MESOS_AUTHENTICATE_HTTP_READONLY", "true"),
    ]);
    let known = variables(&[("MESOS_CREDENTIALS", &material.file("credentials.json"))]);
    let of_agent = variables(&[("MESOS_HTTP_CREDENTIALS", &material.file("credentials.json"))]);
    let master = master(&[asked.clone(), known]);
    // 5.5
    let work = tempfile::tempdir().expect("a directory");
    let flags =
        [format!("--master={}", master.address), format!("--work_dir={}", work.path().display())];
    let (status, lines) = run("mesos-agent", &flags, std::slice::from_ref(&asked));
    assert_eq!(status, Some(1), "{lines:#?}");
    let text = "No credentials provided for the default 'basic' HTTP authenticator for realm \
                'mesos-agent-readonly'";
    assert!(lines.iter().any(|line| line.contains(text)), "{lines:#?}");
    let mut agent = agent(&master, &[asked, of_agent]);
    agent.process.wait_for_line("Registered with master");
    // 5.1 to 5.3
    for (address, daemon) in [(master.address, "master"), (agent.address, "agent")] {
        for (request, door) in [
            ("GET /state", "readonly"),
            ("GET /flags", "readonly"),
            ("GET /metrics/snapshot", "readonly"),
            ("POST /api/v1", "readwrite"),
        ] {
            let challenge = format!("Basic realm=\"mesos-{daemon}-{door}\"");
            for wrong in [None, Some("scheduler-principal:other"), Some("nobody:x")] {
                let answer = ask(address, request, wrong);
                assert_eq!(answer.status(), 401, "{daemon} {request} {wrong:?}");
                let header = answer.header("www-authenticate");
                assert_eq!(header, Some(challenge.as_str()), "{daemon} {request} {wrong:?}");
            }
            let answer = ask(address, request, Some("scheduler-principal:scheduler-secret"));
            assert_eq!(answer.status(), 200, "{daemon} {request}: {answer:?}");
        }
        // 5.4
        for request in ["GET /health", "GET /version"] {
            assert_eq!(ask(address, request, None).status(), 200, "{daemon} {request}");
        }
    }
    assert_eq!(ask(master.address, "GET /master/redirect", None).status(), 307);
    // 5.6: executors, and frameworks, have realms of their own. (5.7 is about the default executor,
    // which is not there yet.)
    succeeds(client(&master, &FOO, &[]));
}
