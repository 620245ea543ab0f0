//! Our `mesos-execute`, by that name, as a script for the original calls it.

use std::path::Path;
use std::process::{Command, ExitStatus};

use testkit::daemon::Daemon;
use testkit::process::Process;

/// Runs it to its end.
fn mesos_execute(arguments: &[&str]) -> (ExitStatus, Vec<String>) {
    let directory = tempfile::tempdir().expect("a directory");
    let link = directory.path().join("mesos-execute");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_alcazar"), &link).expect("a link");
    let mut command = Command::new(&link);
    command
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .current_dir(directory.path())
        .args(arguments);
    Process::start(command).wait()
}

#[test]
fn it_prints_the_updates_and_succeeds_whatever_becomes_of_the_task() {
    let binary = Path::new(env!("CARGO_BIN_EXE_alcazar"));
    let master = Daemon::start(binary, "mesos-master", &[]);
    let address = format!("--master={}", master.address);
    let flags = [address.clone(), "--resources=cpus:2;mem:512".to_owned()];
    let _agent = Daemon::start(binary, "mesos-agent", &flags);

    for (command, end) in [("--command=true", "TASK_FINISHED"), ("--command=exit 3", "TASK_FAILED")]
    {
        let (status, output) = mesos_execute(&[&address, "--name=a task", command]);
        assert_eq!(status.code(), Some(0), "{output:#?}");
        let line = |text: &str| output.iter().position(|line| line.starts_with(text));
        let steps = [
            "Subscribed with ID ".to_owned(),
            "Submitted task 'a task' to agent '".to_owned(),
            "Received status update TASK_RUNNING for task 'a task'".to_owned(),
            format!("Received status update {end} for task 'a task'"),
        ];
        let places: Vec<Option<usize>> = steps.iter().map(|step| line(step)).collect();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{output:#?}");
    }
}

#[test]
fn it_fails_and_says_why_if_nothing_can_be_run() {
    // Nobody listens there, and nobody is asked.
    let master = "--master=127.0.0.1:1";
    for (arguments, word) in [
        (&["--name=a", "--command=true"][..], "master"),
        (&[master, "--command=true"], "name"),
        (&[master, "--name=a"], "command"),
        (&[master, "--name=a", "--command=true", "--resources=cpus:many"], "cpus:many"),
        (&[master, "--name=a", "--command=true", "--no-such-flag=1"], "no-such-flag"),
    ] {
        let (status, output) = mesos_execute(arguments);
        assert!(status.code().is_some_and(|code| code != 0), "{arguments:?}: {output:#?}");
        assert!(output.iter().any(|line| line.contains(word)), "{arguments:?}: {output:#?}");
    }
}
