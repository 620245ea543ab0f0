//! Our master and our agent over TLS, by each mechanism, where no address counts for anything.

use std::net::SocketAddrV4;

use tempfile::TempDir;
use testkit::process::eventually;

use crate::agent_fixture::{PRINCIPAL, SECRET, private_file};
use crate::nodes::{Asking, Certificates, Node, Variables};
use crate::relay::Relay;

const UNBOUND: &str = "alcazar/transport/messages_dropped_unbound";

struct Cluster {
    master: Node,
    agent: Node,
    variables: Variables,
    asking: Asking,
    _files: TempDir,
}

impl Cluster {
    /// `mechanisms`: a list for both, or what both have by default.
    fn new(variables: Variables, mechanisms: Option<&str>) -> Self {
        let mut cluster = Self::between(variables, mechanisms, None, None);
        cluster.start();
        cluster
    }

    /// The same before anybody runs, with others at the addresses that are told of them.
    fn between(
        variables: Variables,
        mechanisms: Option<&str>,
        before_master: Option<SocketAddrV4>,
        before_agent: Option<SocketAddrV4>,
    ) -> Self {
        let files = tempfile::tempdir().unwrap();
        let text = format!(r#"{{"principal":"{PRINCIPAL}","secret":"{SECRET}"}}"#);
        let credential = private_file(files.path(), "credential.json", &text);
        let text = format!(r#"{{"credentials":[{text}]}}"#);
        let credentials = private_file(files.path(), "credentials.json", &text);
        let mut both = vec!["--no-danger_same_address_sessions".to_owned()];
        both.extend(mechanisms.map(|list| format!("--sasl_mechanisms={list}")));
        let mut flags = both.clone();
        flags.push("--authenticate_agents".to_owned());
        flags.push(format!("--credentials=file://{}", credentials.display()));
        let advertised = |at: SocketAddrV4| format!("--advertise_port={}", at.port());
        flags.extend(before_master.map(advertised));
        let master = Node::master().with_flags(&flags);
        let mut flags = both;
        if mechanisms != Some("EXTERNAL") {
            flags.push(format!("--credential=file://{}", credential.display()));
        }
        for flag in [
            "--no-switch_user",
            "--registration_backoff_factor=300ms",
            "--authentication_backoff_factor=100ms",
        ] {
            flags.push(flag.to_owned());
        }
        flags.extend(before_agent.map(advertised));
        let leader = before_master.unwrap_or(master.address());
        let agent = Node::agent_of(leader).with_flags(&flags);
        let asking = Asking::with(&variables);
        Self { master, agent, variables, asking, _files: files }
    }

    fn start(&mut self) {
        self.master.start(&self.variables);
        self.agent.start(&self.variables);
    }

    fn metric(&self, node: &Node, name: &str) -> Option<f64> {
        self.asking.json(node.address(), "/metrics/snapshot")?[name].as_f64()
    }

    /// Both know that the agent is in, and neither has refused a message of the other.
    fn registers(&self) {
        let is = |node: &Node, name: &str| {
            eventually(name, || (self.metric(node, name)? == 1.0).then_some(()));
        };
        is(&self.agent, "slave/registered");
        is(&self.master, "master/slaves_connected");
        for node in [&self.master, &self.agent] {
            assert_eq!(self.metric(node, UNBOUND), Some(0.0));
        }
    }
}

#[test]
fn authn_two_daemons_bind_scram_to_their_channel_by_default() {
    let certificates = Certificates::make();
    let mut cluster = Cluster::new(certificates.encrypted(), None);
    cluster.agent.process().wait_for_line("Using SCRAM-SHA-256-PLUS authenticatee");
    cluster.registers();
    // A master that is gone of a sudden, and comes back with an empty book of sessions.
    cluster.master.kill();
    cluster.master.start(&cluster.variables);
    cluster.registers();
}

#[test]
fn authn_two_daemons_understand_each_other_by_every_mechanism() {
    let certificates = Certificates::make();
    let mut named = certificates.mutual();
    named.push(("LIBPROCESS_SSL_PRINCIPAL_RULES", "dns".to_owned()));
    for (mechanism, variables) in [
        ("SCRAM-SHA-256", certificates.encrypted()),
        ("CRAM-MD5", certificates.encrypted()),
        ("PLAIN", certificates.verified()),
        ("EXTERNAL", named),
    ] {
        let mut cluster = Cluster::new(variables, Some(mechanism));
        let line = cluster.agent.process().wait_for_line(" authenticatee");
        assert!(line.contains(mechanism), "{line}");
        cluster.registers();
    }
}

/// Both daemons believe any certificate, and the exchange passes the relay word for word.
#[test]
fn attack_a_man_in_the_middle_of_two_daemons_is_noticed_by_scram_plus() {
    let certificates = Certificates::make();
    let relay = Relay::new();
    let mut cluster = Cluster::between(certificates.encrypted(), None, Some(relay.address), None);
    relay.leads_to(cluster.master.address());
    cluster.start();
    cluster.agent.process().wait_for_line("Using SCRAM-SHA-256-PLUS authenticatee");
    cluster.master.process().wait_for_line("the channel bindings differ: somebody is in between");
    assert_eq!(cluster.metric(&cluster.agent, "slave/registered"), Some(0.0));
    assert_eq!(cluster.metric(&cluster.master, "master/slaves_connected"), Some(0.0));
}

/// The agent dials the master, and somebody sits where the master dials the agent: the exchange
/// succeeds, and the agent obeys nothing that comes that way.
#[test]
fn attack_a_man_in_the_middle_of_the_reverse_channel_is_obeyed_in_nothing() {
    let certificates = Certificates::make();
    let relay = Relay::new();
    let mut cluster = Cluster::between(certificates.encrypted(), None, None, Some(relay.address));
    relay.leads_to(cluster.agent.address());
    cluster.start();
    cluster.agent.process().wait_for_line("Successfully authenticated with master");
    eventually("the master's answer is refused", || {
        let refused = cluster.metric(&cluster.agent, UNBOUND)?;
        (refused >= 1.0).then_some(())
    });
    assert_eq!(cluster.metric(&cluster.agent, "slave/registered"), Some(0.0));
}
