//! What a crash must not cost.
#![expect(clippy::expect_used, reason = "a failed fixture fails its test, loudly")]

mod volumes;

use std::path::{Path, PathBuf};

use serde_json::Value;
use testkit::cluster::{Cluster, command_line};
use testkit::process::{Process, Watched, eventually};

/// A task that waits for a file.
struct Waiting {
    execute: Process,
    /// The task's own shell.
    shell: Watched,
    flag: PathBuf,
}

fn waiting_task(cluster: &Cluster) -> Waiting {
    let flag = cluster.state_dir().join("../go-on");
    let script =
        format!("echo $$ is up; while ! test -e {}; do sleep 0.1; done; echo done", flag.display());
    let mut command = cluster.command("execute");
    command.args(["--command", &script]);
    let mut execute = Process::start(command);
    let line = execute.wait_for_line(" is up");
    let pid = line.trim().strip_suffix(" is up").and_then(|pid| pid.parse().ok());
    let pid = pid.unwrap_or_else(|| panic!("a process id: {line}"));
    let shell = Watched::new(pid);
    assert!(command_line(pid).contains(&script), "not the task's shell: {:?}", command_line(pid));
    Waiting { execute, shell, flag }
}

fn let_go(flag: &Path) {
    std::fs::write(flag, "").expect("our own directory");
}

/// The task ends as it would have without any crash, and was never started again.
fn finishes(cluster: &Cluster, task: Waiting) {
    let mut execute = task.execute;
    execute.wait_for_line("done");
    let (status, output) = execute.wait();
    assert_eq!(status.code(), Some(0), "{output:?}");
    assert!(output.iter().any(|line| line.contains("TASK_FINISHED")), "{output:?}");
    assert_eq!(output.iter().filter(|line| line.contains("is up")).count(), 1, "{output:?}");
    nothing_lost(cluster);
}

fn nothing_lost(cluster: &Cluster) {
    if let Some(lost) = cluster.metric("master/tasks_lost") {
        assert!(lost == 0.0, "{lost} tasks were lost");
    }
}

/// What a listing command shows; `None` while the master does not answer.
fn listed(cluster: &Cluster, what: &str) -> Option<Vec<Value>> {
    serde_json::from_slice(&cluster.run(what, &["--output", "json"]).stdout).ok()
}

/// The only agent, once it is active.
fn agent(cluster: &Cluster) -> Value {
    eventually("the agent is active", || {
        let agents = listed(cluster, "agents")?;
        assert!(agents.len() <= 1, "{agents:?}");
        agents.into_iter().find(|agent| agent["active"] == true)
    })
}

/// Waits until the agent has come back to the master, as the same one.
fn agent_is_back(cluster: &Cluster, before: &Value) {
    eventually("the agent has registered again", || {
        let now = agent(cluster);
        assert_eq!(now["id"], before["id"], "another agent");
        (now["reregistered_time"] != before["reregistered_time"]).then_some(())
    });
}

/// Waits until agent and framework are back at the master; nothing was lost.
fn all_is_well(cluster: &Cluster, before: &Value) {
    agent_is_back(cluster, before);
    eventually("the framework is active", || {
        let frameworks = listed(cluster, "frameworks")?;
        assert!(frameworks.len() <= 1, "{frameworks:?}");
        let framework = frameworks.first()?;
        (framework["active"] == true && framework["connected"] == true).then_some(())
    });
    nothing_lost(cluster);
}

fn cluster() -> Cluster {
    Cluster::up(Path::new(env!("CARGO_BIN_EXE_alcazar")))
}

#[test]
fn a_task_survives_the_death_of_its_agent() {
    let mut cluster = cluster();
    let task = waiting_task(&cluster);
    let before = agent(&cluster);
    Watched::new(cluster.daemon("agent")).kill();
    cluster.process().wait_for_line("agent-1 restarted");
    all_is_well(&cluster, &before);
    let_go(&task.flag);
    finishes(&cluster, task);
}

#[test]
fn a_task_that_ends_while_its_agent_is_dead_is_reported_all_the_same() {
    let mut cluster = cluster();
    let task = waiting_task(&cluster);
    let before = agent(&cluster);
    let process = Watched::new(cluster.daemon("agent"));
    // As long as `up` stands still, nobody starts the agent again.
    cluster.process().freeze();
    process.kill();
    let_go(&task.flag);
    task.shell.wait();
    cluster.process().thaw();
    cluster.process().wait_for_line("agent-1 restarted");
    agent_is_back(&cluster, &before);
    finishes(&cluster, task);
}

#[test]
fn a_task_does_not_notice_the_death_of_the_master() {
    let mut cluster = cluster();
    let task = waiting_task(&cluster);
    let before = agent(&cluster);
    Watched::new(cluster.daemon("master")).kill();
    cluster.process().wait_for_line("master restarted");
    all_is_well(&cluster, &before);
    let_go(&task.flag);
    finishes(&cluster, task);
}

#[test]
fn a_task_survives_the_death_of_agent_and_master_at_once() {
    let mut cluster = cluster();
    let task = waiting_task(&cluster);
    let before = agent(&cluster);
    let daemons = ["agent", "master"].map(|word| Watched::new(cluster.daemon(word)));
    // Neither is started again before both are dead.
    cluster.process().freeze();
    daemons.iter().for_each(Watched::kill);
    cluster.process().thaw();
    cluster.process().wait_for_line("agent-1 restarted");
    cluster.process().wait_for_line("master restarted");
    all_is_well(&cluster, &before);
    let_go(&task.flag);
    finishes(&cluster, task);
}
