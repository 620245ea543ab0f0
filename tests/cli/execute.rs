use std::path::Path;
use std::process::Output;

use testkit::cluster::Cluster;
use testkit::process::Process;

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_alcazar"))
}

fn text(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_task_prints_where_its_owner_sees_it_and_its_exit_code_is_theirs() {
    let cluster = Cluster::up(binary());

    let output = cluster.run("execute", &["--command", "echo hello; echo oops >&2; echo bye"]);
    let (stdout, stderr) = text(&output);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert_eq!(stdout, "hello\nbye\n");
    assert!(stderr.contains("oops\n"), "{stderr}");
    assert!(stderr.contains("TASK_FINISHED"), "{stderr}");

    let output = cluster.run("execute", &["--command", "exit 3"]);
    let (_, stderr) = text(&output);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("TASK_FAILED"), "{stderr}");

    // What has ended is still listed, with its state, for people and for programs.
    let (table, _) = text(&cluster.run("tasks", &[]));
    assert!(table.contains("TASK_FINISHED") && table.contains("TASK_FAILED"), "{table}");
    let (json, _) = text(&cluster.run("tasks", &["--output", "json"]));
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let tasks = json.as_array().expect("an array");
    assert_eq!(tasks.len(), 2, "{json}");
    assert!(tasks.iter().all(|task| task["id"].is_string()), "{json}");
}

#[test]
fn output_arrives_while_the_task_runs() {
    let cluster = Cluster::up(binary());
    // The second line comes only once the first one has been seen here.
    let flag = cluster.state_dir().join("../seen");
    let script =
        format!("echo first; while ! test -e {}; do sleep 0.1; done; echo second", flag.display());
    let mut command = cluster.command("execute");
    command.args(["--command", &script]);
    let mut execute = Process::start(command);
    execute.wait_for_line("first");
    std::fs::write(&flag, "").expect("our own directory");
    execute.wait_for_line("second");
    let (status, _) = execute.wait();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn an_interrupted_execute_kills_its_task() {
    let cluster = Cluster::up(binary());
    let mut command = cluster.command("execute");
    command.args(["--command", "echo started; exec sleep 1000"]);
    let mut execute = Process::start(command);
    execute.wait_for_line("started");
    execute.signal(rustix::process::Signal::INT);
    let (status, output) = execute.wait();
    assert!(!status.success(), "{output:?}");
    assert!(output.iter().any(|line| line.contains("TASK_KILLED")), "{output:?}");
}

#[test]
fn a_task_that_fits_nowhere_is_said_so_before_anybody_waits_for_it() {
    let cluster = Cluster::up(binary());
    let output = cluster.run("execute", &["--resources", "cpus:1000", "--command", "true"]);
    let (_, stderr) = text(&output);
    assert!(!output.status.success());
    assert!(stderr.contains("cpus"), "{stderr}");
}

#[test]
fn logs_and_kill_find_a_task_by_its_id() {
    let cluster = Cluster::up(binary());
    let mut command = cluster.command("execute");
    command.args(["--name", "sleeper", "--command", "echo from the task; exec sleep 1000"]);
    let mut execute = Process::start(command);
    execute.wait_for_line("from the task");

    let (json, _) = text(&cluster.run("tasks", &["--output", "json"]));
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let id = json[0]["id"].as_str().expect("an id").to_owned();
    let (logs, stderr) = text(&cluster.run("logs", &[&id]));
    assert_eq!(logs, "from the task\n", "{stderr}");

    let killed = cluster.run("kill", &[&id]);
    assert!(killed.status.success(), "{:?}", text(&killed));
    let (status, output) = execute.wait();
    assert!(!status.success());
    assert!(output.iter().any(|line| line.contains("TASK_KILLED")), "{output:?}");
}

#[test]
fn followed_logs_end_with_the_task_and_everything_that_is_listed_has_an_id() {
    let cluster = Cluster::up(binary());
    let flag = cluster.state_dir().join("../go-on");
    let script =
        format!("echo first; while ! test -e {}; do sleep 0.1; done; echo last", flag.display());
    let mut command = cluster.command("execute");
    command.args(["--command", &script]);
    let mut execute = Process::start(command);
    execute.wait_for_line("first");

    let listed = |what: &str| {
        let (json, stderr) = text(&cluster.run(what, &["--output", "json"]));
        serde_json::from_str::<serde_json::Value>(&json).unwrap_or_else(|e| panic!("{e}: {stderr}"))
    };
    let [agent, framework, task] = ["agents", "frameworks", "tasks"].map(|what| {
        let listed = listed(what);
        let [only] = &listed.as_array().expect("an array")[..] else {
            panic!("one of {what}: {listed}");
        };
        let id = only["id"].as_str().unwrap_or_else(|| panic!("{what} without id: {only}"));
        assert!(!id.is_empty(), "{only}");
        id.to_owned()
    });
    let state = listed("state");
    assert!(state["id"].as_str().is_some_and(|id| !id.is_empty()), "{state}");
    assert_eq!(state["slaves"][0]["id"], agent.as_str(), "{state}");
    assert_eq!(state["frameworks"][0]["id"], framework.as_str(), "{state}");
    let (table, stderr) = text(&cluster.run("state", &[]));
    assert!(table.contains("1 active"), "{table}{stderr}");

    let mut command = cluster.command("logs");
    command.args(["--follow", &task]);
    let mut logs = Process::start(command);
    logs.wait_for_line("first");
    std::fs::write(&flag, "").expect("our own directory");
    let (status, output) = logs.wait();
    assert_eq!(status.code(), Some(0), "{output:?}");
    assert_eq!(output, ["first", "last"]);
    let (status, output) = execute.wait();
    assert_eq!(status.code(), Some(0), "{output:?}");
}
