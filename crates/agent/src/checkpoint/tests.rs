use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::engine::event::TokenDigest;
use wire::internal::{StatusUpdate, StatusUpdateRecord, status_update_record};
use wire::v1;

const BOOT: &str = "boot-1";

fn place() -> RunPlace {
    RunPlace {
        executor: ExecutorPlace {
            agent: "A-S0".parse().unwrap(),
            framework: "A-0000".parse().unwrap(),
            executor: "e".parse().unwrap(),
        },
        container: "c".parse().unwrap(),
    }
}

fn agent_info() -> v1::AgentInfo {
    v1::AgentInfo {
        hostname: "h".into(),
        id: Some(v1::AgentId { value: "A-S0".into() }),
        resources: vec![v1::Resource {
            name: "cpus".into(),
            scalar: Some(v1::value::Scalar { value: 1.0 }),
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn task() -> v1::Task {
    v1::Task {
        name: "t".into(),
        task_id: v1::TaskId { value: "t".into() },
        framework_id: v1::FrameworkId { value: "A-0000".into() },
        agent_id: v1::AgentId { value: "A-S0".into() },
        state: v1::TaskState::TaskStaging.into(),
        ..Default::default()
    }
}

fn update(number: u8) -> StatusUpdateRecord {
    StatusUpdateRecord {
        r#type: status_update_record::Type::Update.into(),
        update: Some(StatusUpdate {
            framework_id: v1::FrameworkId { value: "A-0000".into() },
            executor_id: None,
            slave_id: None,
            status: v1::TaskStatus {
                task_id: v1::TaskId { value: "t".into() },
                state: v1::TaskState::TaskRunning.into(),
                ..Default::default()
            },
            timestamp: 1.5,
            uuid: Some(vec![number; 16].into()),
            latest_state: None,
        }),
        uuid: None,
    }
}

/// All records of an agent with one framework, executor and task.
fn story() -> Vec<Record> {
    let framework = v1::FrameworkInfo {
        user: "u".into(),
        name: "f".into(),
        id: Some(v1::FrameworkId { value: "A-0000".into() }),
        checkpoint: Some(true),
        ..Default::default()
    };
    let executor = v1::ExecutorInfo {
        executor_id: v1::ExecutorId { value: "e".into() },
        ..Default::default()
    };
    vec![
        Record::Agent(Box::new(agent_info())),
        Record::Framework {
            agent: "A-S0".parse().unwrap(),
            info: Box::new(framework),
            pid: "@0.0.0.0:0".into(),
        },
        Record::Executor { place: place().executor, info: Box::new(executor), generated: true },
        Record::Run { place: place(), token: Some(TokenDigest([0xab; 32])) },
        Record::Task { place: place(), task: Box::new(task()) },
        Record::HttpExecutor(place()),
        Record::Update { place: place(), task: "t".parse().unwrap(), record: Box::new(update(1)) },
        Record::Update { place: place(), task: "t".parse().unwrap(), record: Box::new(update(2)) },
    ]
}

fn written(records: &[Record]) -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    for record in records {
        store.apply(record).unwrap();
    }
    (directory, store)
}

fn bytes(directory: &tempfile::TempDir, path: &str) -> Vec<u8> {
    fs::read(directory.path().join("meta/slaves/A-S0").join(path)).unwrap()
}

const RUN: &str = "frameworks/A-0000/executors/e/runs/c";

#[test]
fn files_lie_where_the_original_puts_them_in_its_format() {
    let (directory, _) = written(&story());
    // 35 bytes: the host name, one resource in the older form, the id.
    let info = bytes(&directory, "slave.info");
    assert_eq!(
        info,
        [
            &[35, 0, 0, 0][..],
            &[0x0a, 1, b'h'],
            &[0x1a, 22, 0x0a, 4, b'c', b'p', b'u', b's', 0x10, 0],
            &[0x1a, 9, 0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0x32, 1, b'*'],
            &[0x32, 6, 0x0a, 4, b'A', b'-', b'S', b'0'],
        ]
        .concat()
        .as_slice()
    );
    assert_eq!(bytes(&directory, "frameworks/A-0000/framework.pid"), b"@0.0.0.0:0");
    let generated = "frameworks/A-0000/executors/e/executor_generated_for_command_task";
    assert_eq!(bytes(&directory, generated), b"1");
    assert_eq!(bytes(&directory, &format!("{RUN}/http.marker")), b"");
    assert_eq!(bytes(&directory, &format!("{RUN}/pids/token.sha256")), "ab".repeat(32).as_bytes());
    let updates = bytes(&directory, &format!("{RUN}/tasks/t/task.updates"));
    let record = wire::encode(&update(1));
    assert_eq!(updates[..4], u32::try_from(record.len()).unwrap().to_le_bytes());
    assert_eq!(updates[4..4 + record.len()], record);
    assert_eq!(updates.len(), 2 * (4 + record.len()));
    let link = |path: &str| fs::read_link(directory.path().join(path)).unwrap();
    assert_eq!(link("meta/slaves/latest"), Path::new("A-S0"));
    assert_eq!(link("meta/slaves/A-S0/frameworks/A-0000/executors/e/runs/latest"), Path::new("c"));
    let mode = |path: &str| {
        fs::metadata(directory.path().join(path)).unwrap().permissions().mode() & 0o777
    };
    assert_eq!(mode("meta"), 0o700);
    assert_eq!(mode("meta/slaves/A-S0/slave.info"), 0o600);
}

#[test]
fn everything_written_is_read_back() {
    let (_directory, store) = written(&story());
    let found = store.recover(true, BOOT).unwrap();
    assert!(!found.rebooted);
    assert_eq!(found.agent, Some(("A-S0".parse().unwrap(), agent_info())));
    let framework = &found.frameworks[0];
    assert_eq!(framework.pid, "@0.0.0.0:0");
    let executor = &framework.executors[0];
    assert!(executor.generated);
    assert_eq!(executor.run.token, Some(TokenDigest([0xab; 32])));
    assert!(executor.run.http && !executor.run.completed && executor.run.pid.is_none());
    assert_eq!(executor.run.tasks[0].task, task());
    assert_eq!(executor.run.tasks[0].updates, [update(1), update(2)]);
}

/// Whatever prefix of the records a crash leaves is a state that can be gone on from.
#[test]
fn every_prefix_of_the_records_recovers() {
    for length in 0..=story().len() {
        let (_directory, store) = written(&story()[..length]);
        let found = store.recover(true, BOOT).unwrap();
        assert_eq!(found.agent.is_some(), length >= 1, "{length}");
        assert_eq!(found.errors, 0, "{length}");
    }
}

#[test]
fn a_record_that_a_crash_left_half_written_is_cut_off_and_the_next_one_follows_the_last_whole_one()
{
    let whole = wire::encode(&update(1)).len() + 4;
    // Within the length, behind it, within the message, and all but its last byte.
    for kept in [0, 1, 3, 4, 5, whole / 2, whole - 1] {
        let (directory, store) = written(&story()[..7]);
        let path = directory.path().join("meta/slaves/A-S0").join(RUN).join("tasks/t/task.updates");
        let mut content = fs::read(&path).unwrap();
        let half = file::framed(&update(2))[..kept].to_vec();
        content.extend_from_slice(&half);
        fs::write(&path, &content).unwrap();
        let found = store.recover(true, BOOT).unwrap();
        assert_eq!(found.frameworks[0].executors[0].run.tasks[0].updates, [update(1)], "{kept}");
        store.apply(&story()[7]).unwrap();
        let found = store.recover(true, BOOT).unwrap();
        assert_eq!(
            found.frameworks[0].executors[0].run.tasks[0].updates,
            [update(1), update(2)],
            "{kept}"
        );
    }
}

#[test]
fn an_unreadable_file_stops_a_strict_agent_and_is_counted_by_another() {
    let (directory, store) = written(&story());
    let path = directory.path().join("meta/slaves/A-S0/frameworks/A-0000/framework.info");
    fs::write(&path, [3, 0, 0, 0, 0xff, 0xff, 0xff]).unwrap();
    let error = store.recover(true, BOOT).unwrap_err().to_string();
    assert!(error.contains("framework.info") && error.contains("slaves/latest"), "{error}");
    let found = store.recover(false, BOOT).unwrap();
    assert_eq!(found.errors, 1);
    assert!(found.agent.is_some() && found.frameworks.is_empty());
}

#[test]
fn pids_of_an_earlier_boot_are_removed() {
    let (directory, store) = written(&story());
    let pid = directory.path().join("meta/slaves/A-S0").join(RUN).join("pids/forked.pid");
    fs::write(&pid, "4711").unwrap();
    let run = |found: crate::engine::recovered::Recovered| {
        (found.rebooted, found.frameworks[0].executors[0].run.pid)
    };
    assert_eq!(run(store.recover(true, BOOT).unwrap()), (false, Some(4711)));
    assert_eq!(run(store.recover(true, "boot-2").unwrap()), (true, None));
    assert!(!pid.exists());
    assert_eq!(run(store.recover(true, "boot-2").unwrap()), (false, None));
}

#[test]
fn a_forgotten_agent_starts_as_a_new_one() {
    let (_directory, store) = written(&story());
    store.apply(&Record::Forget).unwrap();
    store.apply(&Record::Forget).unwrap();
    assert_eq!(store.recover(true, BOOT).unwrap().agent, None);
}
