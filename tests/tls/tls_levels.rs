//! The three levels of the original's documentation with our daemons under its names: a server
//! certificate; servers verified; clients with certificates. A task in each.

use std::process::{Command, Stdio};

use serde_json::Value;
use testkit::certificates::{Authority, Keys, Leaf};
use testkit::process::{Process, eventually};
use testkit::tools::{run, tool};
use transport::client::Call;

use crate::framework::Framework;
use crate::nodes::{Asking, Certificates, Node, Variables};

/// Our `mesos-execute`, by that name: what it prints, line by line, and whether it succeeds.
fn execute(master: &Node, variables: &Variables) -> (bool, Vec<String>) {
    let directory = tempfile::tempdir().expect("a directory");
    let link = directory.path().join("mesos-execute");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_alcazar"), &link).expect("a link");
    let mut command = Command::new(&link);
    command
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .current_dir(directory.path())
        .arg(format!("--master={}", master.address()))
        .args(["--name=greeting", "--command=echo hello", "--resources=cpus:0.1;mem:32"]);
    let (status, output) = Process::start(command).wait();
    (status.success(), output)
}

fn agents(asking: &Asking, master: &Node) -> Option<usize> {
    let answer = asking.json(master.address(), "/slaves")?;
    let agents = answer["slaves"].as_array()?.iter().filter(|agent| agent["active"] == true);
    Some(agents.count())
}

/// A master and an agent with these variables, when the agent is there.
fn cluster(variables: &Variables) -> (Node, Node) {
    let mut master = Node::master();
    master.start(variables);
    let mut agent = Node::agent(&master);
    agent.start(variables);
    let asking = Asking::with(variables);
    eventually("the agent is there", || (agents(&asking, &master)? == 1).then_some(()));
    (master, agent)
}

/// A task runs to its end, and master and agent say what protects them.
fn works(variables: &Variables, posture: &[(&str, &str)]) -> (Node, Node) {
    let (master, agent) = cluster(variables);
    let (succeeded, output) = execute(&master, variables);
    let finished = output.iter().any(|line| line.contains("TASK_FINISHED"));
    assert!(succeeded && finished, "{output:#?}");
    let asking = Asking::with(variables);
    for node in [&master, &agent] {
        let told = asking.json(node.address(), "/alcazar/v1/tls").expect("it says");
        for (key, value) in posture {
            assert_eq!(told[key], *value, "{told}");
        }
        let metrics = asking.json(node.address(), "/metrics/snapshot").expect("metrics");
        let metric = |name: &str| metrics[name].as_f64().unwrap_or_else(|| panic!("no {name}"));
        assert!(metric("alcazar/tls/handshakes/TLSv1.3") > 0.0, "{metrics}");
        assert!(metric("alcazar/tls/certificate_expires_in_days") > 1.0, "{metrics}");
        assert_eq!(metric("alcazar/tls/downgrades/accepted"), 0.0);
        let of = |kind: &str| -> f64 {
            let all = metrics.as_object().expect("an object").iter();
            let some = all.filter(|(name, _)| name.starts_with(&format!("alcazar/tls/{kind}/")));
            some.filter_map(|(_, value)| Value::as_f64(value)).sum()
        };
        assert!(of("suites") > 0.0 && of("groups") > 0.0, "{metrics}");
    }
    (master, agent)
}

#[test]
fn level_one_a_server_has_a_certificate() {
    let certificates = Certificates::make();
    let variables = certificates.encrypted();
    let expected = [("scheme", "https"), ("inbound", "anybody"), ("outbound", "unverified")];
    let (master, _agent) = works(&variables, &expected);
    // A program with another authority's certificate is as good as any here.
    let others = Certificates::make();
    let (succeeded, output) = execute(&master, &others.encrypted());
    assert!(succeeded, "{output:#?}");
}

#[test]
fn level_two_whoever_connects_verifies_the_server() {
    let certificates = Certificates::make();
    let variables = certificates.verified();
    let expected = [("inbound", "anybody"), ("outbound", "certificate")];
    let (master, _agent) = works(&variables, &expected);
    // An agent that believes another authority does not obey this master.
    let others = Certificates::make();
    let mut stranger = Node::agent(&master);
    stranger.start(&others.verified());
    // The dial fails again and again; each time it is written down why.
    stranger.process().wait_for_line("cannot trust");
    assert_eq!(agents(&Asking::with(&variables), &master), Some(1));
    // Nor does a framework.
    let asked = Asking::with(&others.verified()).get(master.address(), "/health");
    let refused = asked.expect_err("not trusted");
    assert!(refused.contains("cannot trust"), "{refused}");
}

/// `alcazar <arguments>` against a master elsewhere: whether it succeeds, and all that it prints.
fn alcazar(url: &str, options: &[&str], arguments: &[&str]) -> (bool, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let output = Command::new(env!("CARGO_BIN_EXE_alcazar"))
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("ALCAZAR_STATE_DIR", directory.path())
        .args(arguments)
        .args(["--master", url])
        .args(options)
        .stdin(Stdio::null())
        .output()
        .expect("our own program");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// Row D9 from the client's side: our commands work against a cluster of every posture, and say so.
#[test]
fn our_commands_reach_clusters_of_every_posture() {
    let certificates = Certificates::make();
    let text = |name: &str| certificates.path(name).display().to_string();
    let (ca, certificate, key) = (text("ca.pem"), text("node.pem"), text("node-key.pem"));
    let verified = ["--tls-ca", &ca];
    let mutual = ["--tls-ca", &ca, "--tls-certificate", &certificate, "--tls-key", &key];
    let anybody = ["--danger-unverified"];
    for (variables, scheme, options, posture) in [
        (Variables::new(), "http", &[][..], "plaintext"),
        (certificates.encrypted(), "https", &anybody[..], "server certificate"),
        (certificates.verified(), "https", &verified[..], "verified outgoing"),
        (certificates.mutual(), "https", &mutual[..], "client certificates required"),
    ] {
        let (master, _agent) = cluster(&variables);
        let url = format!("{scheme}://{}", master.address());
        let (succeeded, printed) = alcazar(&url, options, &["state"]);
        assert!(succeeded && printed.contains(posture), "{posture}: {printed}");
        let (succeeded, printed) =
            alcazar(&url, options, &["execute", "--command", "echo hello, $((1 + 1))"]);
        assert!(succeeded && printed.contains("hello, 2"), "{posture}: {printed}");
    }
    // Nobody vouches for it as far as the system knows, and nothing is sent.
    let (master, _agent) = cluster(&certificates.encrypted());
    let url = format!("https://{}", master.address());
    let (succeeded, printed) = alcazar(&url, &[], &["state"]);
    assert!(!succeeded && printed.contains("cannot trust"), "{printed}");
    let (succeeded, printed) = alcazar("ftp://x:1", &[], &["state"]);
    assert!(!succeeded && printed.contains("https://"), "{printed}");
}

/// The certificate for a name only, met at an address, as in the tutorial.
#[test]
fn level_two_refuses_a_certificate_that_is_not_for_the_address() {
    let certificates = Certificates::make();
    let variables = certificates.verified();
    certificates.issue("node", &Leaf::host("localhost", None));
    let mut master = Node::master();
    master.start(&variables);
    let refused = Asking::with(&variables).get(master.address(), "/health");
    let refused = refused.expect_err("the name does not fit");
    assert!(refused.contains("cannot trust"), "{refused}");
}

#[test]
fn level_three_clients_present_certificates() {
    let certificates = Certificates::make();
    let variables = certificates.mutual();
    let expected = [("inbound", "certificate"), ("outbound", "certificate")];
    let (master, agent) = works(&variables, &expected);

    // Without a certificate: the handshake is good, the answer says what is missing.
    let mut without = vec![
        ("LIBPROCESS_SSL_ENABLED", "true".to_owned()),
        ("LIBPROCESS_SSL_CA_FILE", certificates.path("ca.pem").display().to_string()),
    ];
    for (at, realm) in [(&master, "mesos-master-readonly"), (&agent, "mesos-agent-readonly")] {
        let Some((status, body)) = curl(&certificates, at, "/state", &[]) else { return };
        assert_eq!(status, 401, "{body}");
        assert!(body.contains(realm) && body.contains("certificate"), "{body}");
    }
    // A message of such an agent is not heard.
    let dropped = || {
        let metrics = Asking::with(&variables).json(master.address(), "/metrics/snapshot");
        let metrics = metrics.expect("metrics");
        metrics["alcazar/transport/messages_dropped_unbound"].as_f64().expect("a metric")
    };
    let before = dropped();
    let message = wire::internal::RegisterSlaveMessage {
        slave: wire::v1::AgentInfo {
            hostname: "intruder".to_owned(),
            ..wire::v1::AgentInfo::default()
        },
        version: Some("1.12.0".to_owned()),
        ..wire::internal::RegisterSlaveMessage::default()
    };
    let body = certificates.path("message");
    std::fs::write(&body, wire::encode(&message)).expect("our own directory");
    let body = format!("@{}", body.display());
    let arguments =
        ["--header", "Libprocess-From: slave(1)@127.0.0.1:5051", "--data-binary", &body];
    curl(&certificates, &master, "/master/mesos.internal.RegisterSlaveMessage", &arguments);
    eventually("the message is dropped", || (dropped() == before + 1.0).then_some(()));
    assert_eq!(agents(&Asking::with(&variables), &master), Some(1));

    // An agent whose certificate is another authority's does not get through the handshake.
    let other = Authority::root("another CA", Keys::Ecdsa);
    let (certificate, key) = other
        .issue(&crate::nodes::loopback())
        .write(certificates.path("ca.pem").parent().expect("a folder"), "other");
    without.extend([
        ("LIBPROCESS_SSL_CERT_FILE", certificate.display().to_string()),
        ("LIBPROCESS_SSL_KEY_FILE", key.display().to_string()),
        ("LIBPROCESS_SSL_HOSTNAME_VALIDATION_SCHEME", "openssl".to_owned()),
        ("LIBPROCESS_SSL_VERIFY_IPADD", "true".to_owned()),
        ("LIBPROCESS_SSL_VERIFY_SERVER_CERT", "true".to_owned()),
    ]);
    let failures = || {
        let metrics = Asking::with(&variables).json(master.address(), "/metrics/snapshot");
        let metrics = metrics.expect("metrics");
        metrics["alcazar/tls/failures/unknown_authority"].as_f64().expect("a metric")
    };
    let before = failures();
    let mut stranger = Node::agent(&master);
    stranger.start(&without);
    eventually("the handshake fails", || (failures() > before).then_some(()));
    assert_eq!(agents(&Asking::with(&variables), &master), Some(1));
}

/// Row A7: where rules say so, a certificate is a principal, and nobody subscribes as another.
#[test]
fn a7_a_framework_is_the_principal_that_its_certificate_names() {
    let certificates = Certificates::make();
    let mut variables = certificates.mutual();
    variables.push(("LIBPROCESS_SSL_PRINCIPAL_RULES", "cn".to_owned()));
    let mut master = Node::master();
    master.start(&variables);
    let asking = Asking::with(&variables);
    let subscribe = |principal: &str| {
        let body = format!(
            "{{\"type\":\"SUBSCRIBE\",\"subscribe\":{{\"framework_info\":{{\"user\":\"nobody\",\
             \"name\":\"f\",\"principal\":\"{principal}\"}}}}}}"
        );
        Call::post("/api/v1/scheduler", "application/json", body)
    };
    let (status, body) = asking.ask(master.address(), subscribe("somebody")).expect("an answer");
    assert_eq!(status, 400, "{body}");
    let words = "Authenticated principal 'localhost' does not match principal 'somebody'";
    assert!(body.contains(words), "{body}");
    let framework = Framework::run_as(master.address(), &variables, "localhost");
    let state = asking.json(master.address(), "/state").expect("the state");
    let shown = &state["frameworks"][0];
    assert_eq!(shown["principal"], "localhost", "{shown}");
    assert_eq!(shown["id"], framework.id().value);
}

/// A key that is encrypted at rest.
#[test]
fn a_daemon_opens_an_encrypted_key_with_a_passphrase_from_a_file_or_a_command() {
    let certificates = Certificates::make();
    let issued = certificates.authority.issue(&crate::nodes::loopback());
    std::fs::write(certificates.path("node.pem"), issued.chain_pem()).expect("our own folder");
    let key = issued.encrypted_key_pem("open sesame");
    std::fs::write(certificates.path("node-key.pem"), key).expect("our own folder");
    let secret = certificates.path("secret");
    std::fs::write(&secret, "open sesame\n").expect("our own folder");
    for (variable, value) in [
        ("LIBPROCESS_SSL_KEY_PASSPHRASE_FILE", secret.display().to_string()),
        ("LIBPROCESS_SSL_KEY_PASSPHRASE_COMMAND", format!("cat {}", secret.display())),
    ] {
        let mut variables = certificates.encrypted();
        variables.push((variable, value));
        let mut master = Node::master();
        master.start(&variables);
        let asked = Asking::with(&variables).get(master.address(), "/health");
        assert_eq!(asked.map(|got| got.0), Ok(200), "{variable}");
    }
}

/// Row D3: under a name of the original the pair starts, and says what it is worth.
#[test]
fn d3_tls_verification_with_downgrade_starts_under_a_mesos_name_with_a_notice() {
    let certificates = Certificates::make();
    let mut variables = certificates.mutual();
    variables.push(("LIBPROCESS_SSL_SUPPORT_DOWNGRADE", "true".to_owned()));
    let mut master = Node::master();
    master.start(&variables);
    let line = master.process().wait_for_line("LIBPROCESS_SSL_SUPPORT_DOWNGRADE");
    assert!(line.contains("gets around every verification"), "{line}");
    let plain = Asking::with(&Variables::new()).get(master.address(), "/health");
    assert_eq!(plain.map(|got| got.0), Ok(200));
}

/// Row D9: at level three, one realm is open to those without a certificate.
#[test]
fn level_three_with_one_realm_opened_is_read_without_a_certificate() {
    let certificates = Certificates::make();
    let mut variables = certificates.mutual();
    variables.push((
        "LIBPROCESS_SSL_CLIENT_CERTS",
        "required,mesos-master-readonly=optional".to_owned(),
    ));
    let mut master = Node::master();
    master.start(&variables);
    let Some((status, body)) = curl(&certificates, &master, "/state", &[]) else { return };
    assert_eq!(status, 200, "{body}");
    let call =
        ["--data", "{\"type\":\"GET_HEALTH\"}", "--header", "Content-Type: application/json"];
    let (status, body) = curl(&certificates, &master, "/api/v1", &call).expect("curl is there");
    assert_eq!(status, 401, "{body}");
    assert!(body.contains("mesos-master-readwrite"), "{body}");
    let certified = Asking::with(&variables);
    let call = Call::post("/api/v1", "application/json", "{\"type\":\"GET_HEALTH\"}");
    assert_eq!(certified.ask(master.address(), call).map(|(status, _)| status), Ok(200));
}

/// `curl` with the CA and without a certificate: status and body. `None` where there is no curl.
fn curl(
    certificates: &Certificates,
    node: &Node,
    path: &str,
    arguments: &[&str],
) -> Option<(u16, String)> {
    let (output, _) = run(tool("curl")?
        .args(["--silent", "--show-error", "--write-out", "\n%{http_code}", "--cacert"])
        .arg(certificates.path("ca.pem"))
        .args(arguments)
        .arg(format!("https://{}{path}", node.address())));
    let text = String::from_utf8_lossy(&output.stdout);
    let (body, status) = text.rsplit_once('\n').expect("a last line");
    Some((status.parse().expect("a status"), body.to_owned()))
}
