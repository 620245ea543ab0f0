//! What a crash must not cost.
#![expect(clippy::expect_used, reason = "a failed fixture fails its test, loudly")]

use std::path::Path;

use testkit::cluster::Cluster;
use testkit::process::Process;

/// A task that waits for a file; returns its `execute`, and the file.
fn waiting_task(cluster: &Cluster) -> (Process, std::path::PathBuf) {
    let flag = cluster.state_dir().join("../go-on");
    let script =
        format!("echo $$ is up; while ! test -e {}; do sleep 0.1; done; echo done", flag.display());
    let mut command = cluster.command("execute");
    command.args(["--command", &script]);
    let mut execute = Process::start(command);
    execute.wait_for_line("is up");
    (execute, flag)
}

fn kill(process: u32) {
    let pid = i32::try_from(process).ok().and_then(rustix::process::Pid::from_raw).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("a running process");
}

fn finishes(mut execute: Process, flag: &Path) {
    std::fs::write(flag, "").expect("our own directory");
    execute.wait_for_line("done");
    let (status, output) = execute.wait();
    assert_eq!(status.code(), Some(0), "{output:?}");
    assert!(output.iter().any(|line| line.contains("TASK_FINISHED")), "{output:?}");
    assert_eq!(output.iter().filter(|line| line.contains("is up")).count(), 1, "{output:?}");
}

#[test]
fn a_task_survives_the_death_of_its_agent() {
    let mut cluster = Cluster::up(Path::new(env!("CARGO_BIN_EXE_alcazar")));
    let (execute, flag) = waiting_task(&cluster);
    kill(cluster.daemon("agent"));
    cluster.process().wait_for_line("restarted");
    finishes(execute, &flag);
}

#[test]
fn a_task_that_ends_while_its_agent_is_dead_is_reported_all_the_same() {
    let mut cluster = Cluster::up(Path::new(env!("CARGO_BIN_EXE_alcazar")));
    let (execute, flag) = waiting_task(&cluster);
    std::fs::write(&flag, "").expect("our own directory");
    kill(cluster.daemon("agent"));
    cluster.process().wait_for_line("restarted");
    finishes(execute, &flag);
}

#[test]
fn a_task_does_not_notice_the_death_of_the_master() {
    let mut cluster = Cluster::up(Path::new(env!("CARGO_BIN_EXE_alcazar")));
    let (execute, flag) = waiting_task(&cluster);
    kill(cluster.daemon("master"));
    cluster.process().wait_for_line("restarted");
    finishes(execute, &flag);
}
