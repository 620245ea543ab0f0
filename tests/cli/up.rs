use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use testkit::cluster::Cluster;
use testkit::process::Process;

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
    let watch = |process: u32| {
        let pid = i32::try_from(process).ok().and_then(rustix::process::Pid::from_raw);
        rustix::process::pidfd_open(pid.expect("a pid"), rustix::process::PidfdFlags::empty())
            .expect("a running process")
    };
    let descriptors = [watch(master), watch(agent)];
    cluster.kill_up();
    for descriptor in &descriptors {
        // A pidfd becomes readable when its process has ended.
        let mut poll = [rustix::event::PollFd::new(descriptor, rustix::event::PollFlags::IN)];
        let patience = rustix::event::Timespec { tv_sec: 30, tv_nsec: 0 };
        let ready = rustix::event::poll(&mut poll, Some(&patience)).expect("poll");
        assert_eq!(ready, 1, "a daemon outlived `up`");
    }
}

fn make_traversable(directory: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755)).expect("ours");
}
