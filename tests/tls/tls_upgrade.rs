//! The documented upgrade of a whole cluster in two rounds of restarts, and the way back: from
//! plaintext to TLS beside plaintext, from there to TLS only. One daemon at a time, and nothing is
//! lost.

use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};

use serde_json::Value;
use testkit::process::{Watched, eventually};
use wire::v1::TaskState;

use crate::framework::Framework;
use crate::nodes::{Asking, Certificates, Node, Variables};

/// A cluster, a framework and a task that waits for a file.
struct Cluster {
    master: Node,
    agents: [Node; 2],
    framework: Framework,
    /// The task's own shell.
    shell: Watched,
    /// What the task does is written here.
    directory: tempfile::TempDir,
    /// The ids of the agents.
    ids: Vec<String>,
}

impl Cluster {
    fn start(variables: &Variables) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        open_to_others(directory.path());
        let mut master = Node::master();
        master.start(variables);
        let mut agents = [Node::agent(&master), Node::agent(&master)];
        agents.iter_mut().for_each(|agent| agent.start(variables));
        let asking = Asking::with(variables);
        let mut ids = eventually("both agents are there", || {
            let ids = active_agents(&asking, &master)?;
            (ids.len() == 2).then_some(ids)
        });
        ids.sort();
        let script = format!(
            "echo $$ >> {0}/began; while test -d {0} && ! test -e {0}/go-on; do sleep 0.1; done",
            directory.path().display()
        );
        let framework = Framework::run(master.address(), variables, &script);
        framework.wait_for(TaskState::TaskRunning);
        let shell = eventually("the task has begun", || {
            let text = std::fs::read_to_string(directory.path().join("began")).ok()?;
            text.trim().parse().ok()
        });
        Self { master, agents, framework, shell: Watched::new(shell), directory, ids }
    }

    /// Restarts the master alone, then each agent, each time until all is as it was.
    fn restart_one_at_a_time(&mut self, variables: &Variables) {
        let subscriptions = self.framework.subscriptions();
        self.master.restart(variables);
        // Some of the agents may be behind, or ahead.
        let asking = match variables.is_empty() {
            true => Asking::with(variables),
            false => Asking::following(variables),
        };
        self.framework.wait_for_subscriptions(subscriptions + 1);
        self.is_whole(&asking);
        for agent in 0..self.agents.len() {
            let address = self.agents[agent].address();
            let registered = || registered(&asking, &self.master, address);
            let before = registered();
            self.agents[agent].restart(variables);
            eventually("the agent has come back", || {
                registered().filter(|now| before.as_ref() != Some(now))
            });
            self.is_whole(&asking);
        }
    }

    /// The framework is restarted, as another program.
    fn replace_framework(mut self, variables: &Variables) -> Self {
        self.framework = self.framework.replaced(self.master.address(), variables);
        self
    }

    /// The same agents, the framework connected, the task running at its agent too, nothing lost.
    fn is_whole(&self, asking: &Asking) {
        eventually("the agents are active", || {
            let mut ids = active_agents(asking, &self.master)?;
            ids.sort();
            (ids == self.ids).then_some(())
        });
        eventually("the framework is connected and its task runs", || {
            let state = asking.json(self.master.address(), "/state")?;
            let [framework] = &state["frameworks"].as_array()?[..] else { return None };
            let task = &framework["tasks"][0];
            assert_eq!(framework["id"], self.framework.id().value);
            (framework["connected"] == true
                && framework["active"] == true
                && task["state"] == "TASK_RUNNING")
                .then_some(())
        });
        let executors = self.agents.iter().map(|agent| {
            let state = asking.json(agent.address(), "/state").expect("the agent answers");
            let executors = &state["frameworks"][0]["executors"];
            executors.as_array().into_iter().flatten().flat_map(|e| states(&e["tasks"])).collect()
        });
        let tasks: Vec<Vec<String>> = executors.collect();
        assert_eq!(tasks.concat(), ["TASK_RUNNING"]);
        let metrics = asking.json(self.master.address(), "/metrics/snapshot").expect("metrics");
        for metric in ["master/tasks_lost", "master/slave_removals", "master/tasks_failed"] {
            assert_eq!(metrics[metric], 0.0, "{metric}");
        }
        self.framework.assert_alive();
    }

    /// The task ends as it would have without all this, and has begun once.
    fn finishes(self) {
        std::fs::write(self.directory.path().join("go-on"), "").expect("our own directory");
        self.framework.wait_for(TaskState::TaskFinished);
        self.shell.wait();
        let began = std::fs::read_to_string(self.directory.path().join("began"));
        assert_eq!(began.expect("it has begun").lines().count(), 1);
    }
}

fn states(tasks: &Value) -> Vec<String> {
    let tasks = tasks.as_array().into_iter().flatten();
    tasks.filter_map(|task| Some(task["state"].as_str()?.to_owned())).collect()
}

fn active_agents(asking: &Asking, master: &Node) -> Option<Vec<String>> {
    let state = asking.json(master.address(), "/slaves")?;
    let agents = state["slaves"].as_array()?.iter().filter(|agent| agent["active"] == true);
    Some(agents.filter_map(|agent| Some(agent["id"].as_str()?.to_owned())).collect())
}

/// When the agent at `address` registered last.
fn registered(asking: &Asking, master: &Node, address: SocketAddrV4) -> Option<String> {
    let state = asking.json(master.address(), "/slaves")?;
    let pid = format!("slave(1)@{address}");
    let mut agents = state["slaves"].as_array()?.iter();
    let agent = agents.find(|agent| agent["active"] == true && agent["pid"] == pid.as_str())?;
    Some(format!("{} {}", agent["registered_time"], agent["reregistered_time"]))
}

fn open_to_others(directory: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    // The task may run as somebody else and writes there.
    let mode = std::fs::Permissions::from_mode(0o777);
    let directory: PathBuf = directory.to_owned();
    std::fs::set_permissions(directory, mode).expect("our own directory");
}

/// What a client without TLS gets from the daemons of the cluster.
fn speaks_plaintext(cluster: &Cluster) -> Vec<bool> {
    let plain = Asking::with(&Variables::new());
    let nodes = [&cluster.master, &cluster.agents[0], &cluster.agents[1]];
    nodes.map(|node| plain.get(node.address(), "/health").is_ok_and(|got| got.0 == 200)).to_vec()
}

fn speaks_tls(cluster: &Cluster, certificates: &Certificates) -> Vec<bool> {
    let tls = Asking::with(&certificates.encrypted());
    let nodes = [&cluster.master, &cluster.agents[0], &cluster.agents[1]];
    nodes.map(|node| tls.get(node.address(), "/health").is_ok_and(|got| got.0 == 200)).to_vec()
}

#[test]
fn a_cluster_goes_from_plaintext_to_tls_and_back_and_loses_nothing() {
    let certificates = Certificates::make();
    let plaintext = Variables::new();
    let both = certificates.beside_plaintext();
    let only = certificates.encrypted();

    let mut cluster = Cluster::start(&plaintext);
    assert_eq!(speaks_plaintext(&cluster), [true; 3]);
    assert_eq!(speaks_tls(&cluster, &certificates), [false; 3]);

    cluster.restart_one_at_a_time(&both);
    assert_eq!(speaks_plaintext(&cluster), [true; 3]);
    assert_eq!(speaks_tls(&cluster, &certificates), [true; 3]);
    // The agents were still in plaintext when the master was not any more.
    let asking = Asking::with(&only);
    let metrics = asking.json(cluster.master.address(), "/metrics/snapshot").expect("metrics");
    for way in ["accepted", "dialled"] {
        let metric = format!("alcazar/tls/downgrades/{way}");
        assert!(metrics[&metric].as_f64().is_some_and(|n| n > 0.0), "{metric}: {metrics}");
    }
    let mut cluster = cluster.replace_framework(&only);

    cluster.restart_one_at_a_time(&only);
    assert_eq!(speaks_plaintext(&cluster), [false; 3]);
    assert_eq!(speaks_tls(&cluster, &certificates), [true; 3]);

    // And back.
    cluster.restart_one_at_a_time(&both);
    let mut cluster = cluster.replace_framework(&plaintext);
    cluster.restart_one_at_a_time(&plaintext);
    assert_eq!(speaks_plaintext(&cluster), [true; 3]);
    assert_eq!(speaks_tls(&cluster, &certificates), [false; 3]);
    cluster.finishes();
}

/// All the way: what was started in plaintext still runs where certificates are demanded. It
/// proves itself by its token.
#[test]
fn a_task_that_was_started_in_plaintext_survives_the_way_to_tls_with_demanded_certificates() {
    let certificates = Certificates::make();
    let mut cluster = Cluster::start(&Variables::new());
    cluster.restart_one_at_a_time(&certificates.beside_plaintext());
    let mut cluster = cluster.replace_framework(&certificates.mutual());
    cluster.restart_one_at_a_time(&certificates.verified());
    cluster.restart_one_at_a_time(&certificates.mutual());
    assert_eq!(speaks_plaintext(&cluster), [false; 3]);
    cluster.finishes();
}

/// The other way round: what was started under TLS is not lost in plaintext.
#[test]
fn a_task_that_was_started_under_tls_survives_the_way_to_plaintext() {
    let certificates = Certificates::make();
    let mut cluster = Cluster::start(&certificates.encrypted());
    cluster.restart_one_at_a_time(&certificates.beside_plaintext());
    let mut cluster = cluster.replace_framework(&Variables::new());
    cluster.restart_one_at_a_time(&Variables::new());
    assert_eq!(speaks_plaintext(&cluster), [true; 3]);
    cluster.finishes();
}
