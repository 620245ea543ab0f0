use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use testkit::cluster::Cluster;
use testkit::process::{Process, Watched, eventually};

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_alcazar"))
}

/// One clear line on standard error, and no cluster.
#[track_caller]
fn refused(output: &Output, word: &str) {
    let stderr = String::from_utf8(output.stderr.clone()).expect("text");
    assert!(!output.status.success(), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains(word), "{stderr}");
}

#[test]
fn a_second_up_on_the_same_state_directory_is_refused() {
    let cluster = Cluster::up(binary());
    refused(&cluster.run("up", &["--port", "0"]), "already");
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let directory = tempfile::tempdir().expect("a directory");
    make_traversable(directory.path());
    let output = Command::new(binary())
        .args(["up", "--port", &port, "--state-dir"])
        .arg(directory.path().join("state"))
        .output()
        .expect("the binary starts");
    refused(&output, &port);
}

#[test]
fn a_state_directory_that_cannot_be_written_is_named() {
    // Not even root writes below a file, nor in /proc.
    for path in ["/proc/alcazar", "/dev/null/alcazar"] {
        let output = Command::new(binary())
            .args(["up", "--port", "0", "--state-dir", path])
            .output()
            .expect("the binary starts");
        refused(&output, path);
    }
}

#[test]
fn a_directory_without_write_permission_is_named() {
    if testkit::is_root() {
        testkit::skipped("root writes everywhere");
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let closed = directory.path().join("closed");
    std::fs::create_dir(&closed).expect("our own directory");
    set_mode(&closed, 0o555);
    let state = closed.join("state");
    refused(&up_in(&state), &state.display().to_string());
}

#[test]
fn a_directory_that_the_task_user_cannot_enter_is_named() {
    if !testkit::is_root() {
        testkit::skipped("only root's tasks run as somebody else");
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    make_traversable(directory.path());
    let closed = directory.path().join("closed");
    std::fs::create_dir(&closed).expect("our own directory");
    set_mode(&closed, 0o700);
    let output = up_in(&closed.join("state"));
    refused(&output, "nobody");
    refused(&output, &format!("cannot enter {}:", closed.display()));
}

#[test]
fn two_agents_are_two_and_the_next_up_has_the_same_ones() {
    let mut cluster =
        Cluster::up_with(binary(), &["--agents", "2", "--resources", "cpus:1;mem:128;disk:128"]);
    let before = active_agents(&cluster, 2);
    let (status, output) = cluster.interrupt();
    assert!(status.success(), "{output:?}");
    cluster.start(&[]);
    assert_eq!(active_agents(&cluster, 2), before);
}

/// The ids of all agents, once so many are active and none else is known.
#[track_caller]
fn active_agents(cluster: &Cluster, count: usize) -> BTreeSet<String> {
    eventually("all agents are active", || {
        let output = cluster.run("agents", &["--output", "json"]);
        let agents: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).ok()?;
        assert!(agents.len() <= count, "{agents:?}");
        let active = agents.iter().filter(|agent| agent["active"] == true);
        let ids: BTreeSet<String> =
            active.map(|agent| agent["id"].as_str().expect("an id").to_owned()).collect();
        (ids.len() == count).then_some(ids)
    })
}

fn up_in(state_dir: &Path) -> Output {
    Command::new(binary())
        .args(["up", "--port", "0", "--state-dir"])
        .arg(state_dir)
        .output()
        .expect("the binary starts")
}

#[test]
fn a_task_outlives_up_and_is_found_by_the_next_one() {
    let mut cluster = Cluster::up(binary());
    let flag = cluster.state_dir().join("../go-on");
    let script =
        format!("echo started; while ! test -e {}; do sleep 0.1; done; echo done", flag.display());
    let mut command = cluster.command("execute");
    command.args(["--command", &script]);
    let mut execute = Process::start(command);
    execute.wait_for_line("started");

    let (status, output) = cluster.interrupt();
    assert!(status.success(), "{output:?}");
    cluster.start(&[]);
    std::fs::write(&flag, "").expect("our own directory");
    execute.wait_for_line("done");
    let (status, output) = execute.wait();
    assert_eq!(status.code(), Some(0), "{output:?}");
}

#[test]
fn daemons_end_with_up_however_it_ends() {
    let mut cluster = Cluster::up(binary());
    let (master, agent) = (cluster.daemon("master"), cluster.daemon("agent"));
    let daemons = [Watched::new(master), Watched::new(agent)];
    cluster.kill_up();
    for daemon in &daemons {
        daemon.wait();
    }
}

fn make_traversable(directory: &Path) {
    set_mode(directory, 0o755);
}

fn set_mode(directory: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(mode)).expect("ours");
}
