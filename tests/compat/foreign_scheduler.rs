//! A scheduler that nobody here wrote: the `mesoshttp` package, five tasks, plaintext loopback.

use std::path::Path;
use std::process::Command;

use testkit::daemon::Daemon;
use testkit::process::Process;

/// Subscribes, launches one task per offer until there are five, and ends when all have finished.
const PROGRAM: &str = r#"
import sys, threading
from mesoshttp.client import MesosClient

client = MesosClient(mesos_urls=[sys.argv[1]], frameworkName='five', frameworkUser=sys.argv[2])
client.set_checkpoint(False)
launched, finished, done = [], [], threading.Event()

def subscribed(driver):
    client.driver = driver

def offers(offers):
    for offer in offers:
        if len(launched) == 5:
            offer.decline()
            continue
        name = 'task-%d' % len(launched)
        launched.append(name)
        offer.accept([{
            'name': name,
            'task_id': {'value': name},
            'agent_id': {'value': offer.get_offer()['agent_id']['value']},
            'resources': [
                {'name': 'cpus', 'type': 'SCALAR', 'scalar': {'value': 0.1}},
                {'name': 'mem', 'type': 'SCALAR', 'scalar': {'value': 32}},
            ],
            'command': {'value': 'echo ' + name},
        }])

def update(update):
    status = update['status']
    print('status', status['task_id']['value'], status['state'], flush=True)
    if status['state'] == 'TASK_FINISHED':
        finished.append(status['task_id']['value'])
        if len(finished) == 5:
            done.set()
    elif status['state'] not in ('TASK_STARTING', 'TASK_RUNNING'):
        done.set()

client.on(MesosClient.SUBSCRIBED, subscribed)
client.on(MesosClient.OFFERS, offers)
client.on(MesosClient.UPDATE, update)
threading.Thread(target=client.register, daemon=True).start()
if not done.wait(60):
    sys.exit('not done in time')
client.driver.tearDown()
print('finished', ' '.join(sorted(finished)), flush=True)
"#;

#[test]
fn a_scheduler_from_elsewhere_runs_five_tasks_on_a_plaintext_cluster() {
    let Some(python) = std::env::var_os("ALCAZAR_TEST_PYTHON") else {
        testkit::skipped("no Python with mesoshttp (ALCAZAR_TEST_PYTHON, set by cargo xtask test)");
        return;
    };
    let binary = Path::new(env!("CARGO_BIN_EXE_alcazar"));
    let master = Daemon::start(binary, "mesos-master", &[]);
    let flags = [format!("--master={}", master.address), "--resources=cpus:2;mem:512".to_owned()];
    let _agent = Daemon::start(binary, "mesos-agent", &flags);

    let mut command = Command::new(python);
    let user = if testkit::is_root() { "root".to_owned() } else { user_name() };
    command.args(["-c", PROGRAM, &format!("http://{}", master.address), &user]);
    let (status, output) = Process::start(command).wait();
    assert!(status.success(), "{output:#?}");
    assert_eq!(
        output.last().map(String::as_str),
        Some("finished task-0 task-1 task-2 task-3 task-4")
    );
}

fn user_name() -> String {
    let output = Command::new("id").arg("-un").output().expect("id is everywhere");
    String::from_utf8(output.stdout).expect("a name").trim().to_owned()
}
