//! Schedulers that nobody here wrote, the packages `mesoshttp` (Python) and `mesos-framework`
//! (JavaScript): five tasks each, plaintext loopback.

use std::path::Path;
use std::process::Command;

use testkit::daemon::Daemon;
use testkit::process::Process;

/// Subscribes, launches one task per offer until there are five, and ends when all have finished.
const MESOSHTTP: &str = r#"
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

/// The same; each task wants a port, too. The package finds the tasks a place itself.
const MESOS_FRAMEWORK: &str = r#"
const { Scheduler, Mesos } = require('mesos-framework');
const mesos = Mesos.getMesos();
const [host, port] = process.argv[1].split(':');
const finished = [];
const scheduler = new Scheduler({
    masterUrl: host, port, frameworkName: 'five', user: process.argv[2],
    logging: { path: process.argv[3], fileName: 'log', level: 'error' },
    tasks: { task: {
        instances: 5,
        commandInfo: new mesos.CommandInfo(null, null, true, 'test "$PORT0" || echo $HOST', null, null),
        resources: { cpus: 0.1, mem: 32, disk: 0, ports: 1 },
    } },
});
scheduler.on('ready', () => scheduler.subscribe());
scheduler.on('error', error => console.log('error', error.message, error.stack));
scheduler.on('update', ({ status }) => {
    console.log('status', status.task_id.value, status.state);
    if (status.state === 'TASK_FINISHED') {
        finished.push(status.task_id.value.split('.')[1]);
    } else if (!['TASK_STARTING', 'TASK_RUNNING'].includes(status.state)) {
        process.exit(1);
    }
    if (finished.length === 5) {
        scheduler.on('sent_teardown', () => {
            console.log('finished', finished.sort().join(' '));
            process.exit(0);
        });
        scheduler.teardown();
    }
});
setTimeout(() => { console.log('not done in time'); process.exit(1); }, 60000);
"#;

#[test]
fn a_scheduler_in_javascript_runs_five_tasks_on_a_plaintext_cluster() {
    let variables = ["ALCAZAR_TEST_NODE", "ALCAZAR_TEST_NODE_MODULES"].map(std::env::var_os);
    let [Some(node), Some(modules)] = variables else {
        testkit::skipped(
            "no Node.js with mesos-framework (ALCAZAR_TEST_NODE, set by cargo xtask test)",
        );
        return;
    };
    let (master, _agent) = cluster("cpus:2;mem:512;ports:[31000-31010]");
    let logs = tempfile::tempdir().expect("a directory");
    let mut command = Command::new(node);
    command.env("NODE_PATH", modules).args(["--no-deprecation", "--eval", MESOS_FRAMEWORK]);
    command.args([&master.address.to_string(), &user()]).arg(logs.path());
    let (status, output) = Process::start(command).wait();
    assert!(status.success(), "{output:#?}");
    assert_eq!(
        output.last().map(String::as_str),
        Some("finished task-1 task-2 task-3 task-4 task-5"),
        "{output:#?}"
    );
}

#[test]
fn a_scheduler_from_elsewhere_runs_five_tasks_on_a_plaintext_cluster() {
    let Some(python) = std::env::var_os("ALCAZAR_TEST_PYTHON") else {
        testkit::skipped("no Python with mesoshttp (ALCAZAR_TEST_PYTHON, set by cargo xtask test)");
        return;
    };
    let (master, _agent) = cluster("cpus:2;mem:512");
    let mut command = Command::new(python);
    command.args(["-c", MESOSHTTP, &format!("http://{}", master.address), &user()]);
    let (status, output) = Process::start(command).wait();
    assert!(status.success(), "{output:#?}");
    assert_eq!(
        output.last().map(String::as_str),
        Some("finished task-0 task-1 task-2 task-3 task-4")
    );
}

/// A master and an agent that has these resources.
fn cluster(resources: &str) -> (Daemon, Daemon) {
    let binary = Path::new(env!("CARGO_BIN_EXE_alcazar"));
    let master = Daemon::start(binary, "mesos-master", &[]);
    let flags = [format!("--master={}", master.address), format!("--resources={resources}")];
    let agent = Daemon::start(binary, "mesos-agent", &flags);
    (master, agent)
}

/// As whom tasks run.
fn user() -> String {
    let output = Command::new("id").arg("-un").output().expect("id is everywhere");
    String::from_utf8(output.stdout).expect("a name").trim().to_owned()
}
