//! Row G3 of the ledger: a task never runs as whoever started the cluster.

use std::path::Path;

use testkit::cluster::Cluster;

#[test]
fn tasks_run_as_the_task_user_and_root_is_refused() {
    if !testkit::is_root() {
        testkit::skipped("only root's tasks run as somebody else");
        return;
    }
    let cluster = Cluster::up(Path::new(env!("CARGO_BIN_EXE_alcazar")));
    let output = cluster.run("execute", &["--command", "id -un; id -Gn"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let who = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(who.starts_with("nobody\n"), "{who}");
    assert!(!who.contains("root"), "{who}");

    let output = cluster.run("execute", &["--user", "root", "--command", "id -un"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{stderr}");
    assert!(stderr.contains("root"), "{stderr}");
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn a_task_sees_no_secret_of_its_executor() {
    let cluster = Cluster::up(Path::new(env!("CARGO_BIN_EXE_alcazar")));
    // Open descriptors, environment, and the environment and arguments of the parent.
    let script = "ls -l /proc/self/fd; env; test -d /proc/$PPID && echo the parent is there; \
                  cat /proc/$PPID/environ && echo the environment was read; \
                  cat /proc/$PPID/cmdline; true";
    let output = cluster.run("execute", &["--command", script]);
    let seen = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(seen.lines().any(|line| line.starts_with("MESOS_SANDBOX=/")), "{seen}");
    if testkit::is_root() {
        // The parent is there, and is somebody else's.
        assert!(seen.contains("the parent is there"), "{seen}");
        assert!(!seen.contains("the environment was read"), "{seen}");
    }
    let seen = seen.to_lowercase();
    for word in ["memfd", "token", "private key"] {
        assert!(!seen.contains(word), "{word} in {seen}");
    }
}
