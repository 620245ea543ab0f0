//! What every backend promises, and what only the one on disk can.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use alcazar_registry::{
    AgentRecord, Contents, MachineMode, MachineRecord, MemoryRegistry, Operation, Orders,
    RedbRegistry, Registry, RegistryError, SCHEMA_VERSION, Standing,
};
use model::id::AgentId;
use model::machine::Machine;
use model::principal::Owner;
use model::quota::Quota;
use model::resources::{Quantities, Scalar};
use model::role::Role;
use model::time::Timestamp;
use model::weight::Weight;
use proptest::prelude::*;
use wire::v1;

fn id(n: u8) -> AgentId {
    AgentId::new(&format!("master-S{n}")).unwrap()
}

fn record(n: u8, standing: Standing) -> AgentRecord {
    let owner = Owner {
        certificate: (!n.is_multiple_of(3)).then(|| format!("spiffe://a.local/agent/host-{n}")),
        principal: n.is_multiple_of(2).then(|| format!("p{n}")),
    };
    AgentRecord { id: id(n), owner, standing, orders: Orders::default() }
}

fn admitted(n: u8, hostname: &str) -> Operation {
    let info = v1::AgentInfo {
        hostname: hostname.to_owned(),
        id: Some(v1::AgentId { value: id(n).to_string() }),
        ..v1::AgentInfo::default()
    };
    Operation::PutAgent(record(n, Standing::Admitted(Box::new(info))))
}

fn role(n: u8) -> Role {
    Role::new(&format!("eng/r{n}")).unwrap()
}

fn machine(n: u8) -> (Machine, v1::MachineId) {
    let hostname = n.is_multiple_of(2).then(|| format!("Host-{n}"));
    let ip = (!n.is_multiple_of(4)).then(|| format!("10.0.0.{n}"));
    let posted = v1::MachineId { hostname, ip };
    (Machine::new(posted.hostname(), posted.ip()).unwrap(), posted)
}

/// What operators set.
fn any_setting() -> impl Strategy<Value = Operation> {
    let quota = |n: u8, cpus: u64, limit: u64| {
        let mut guarantees = Quantities::default();
        guarantees.add("cpus", Scalar::from_thousandths(cpus));
        let limits = [("cpus", Scalar::from_thousandths(cpus + limit)), ("gpus", Scalar::ZERO)];
        let limits = limits.into_iter().collect();
        Operation::PutQuota(role(n), Quota::new(guarantees, limits).unwrap())
    };
    let put_machine = |n: u8, down: bool, start: i64| {
        let (machine, posted) = machine(n);
        let mode = if down { MachineMode::Down } else { MachineMode::Draining };
        let start = v1::TimeInfo { nanoseconds: start };
        let unavailability = v1::Unavailability { start, duration: None };
        let window = u32::from(n / 2);
        let place = u32::from(n % 2);
        let record = MachineRecord { machine, posted, mode, unavailability, window, place };
        Operation::PutMachine(Box::new(record))
    };
    prop_oneof![
        (1u8..6, 0u64..1 << 50, 0u64..9).prop_map(move |(n, cpus, more)| quota(n, cpus, more)),
        (1u8..6).prop_map(|n| Operation::DeleteQuota(role(n))),
        (1u8..6, 1e-3..1e6)
            .prop_map(|(n, weight)| Operation::PutWeight(role(n), Weight::new(weight).unwrap())),
        (1u8..6).prop_map(|n| Operation::DeleteWeight(role(n))),
        (1u8..6, any::<bool>(), any::<i64>()).prop_map(move |(n, d, s)| put_machine(n, d, s)),
        (1u8..6).prop_map(|n| Operation::DeleteMachine(machine(n).0)),
    ]
}

fn any_operation() -> impl Strategy<Value = Operation> {
    let since = (0u64..1 << 40).prop_map(|n| Timestamp::new(Duration::from_nanos(n)));
    prop_oneof![
        (0u8..6, "[a-z]{1,5}").prop_map(|(n, hostname)| admitted(n, &hostname)),
        (0u8..6, since.clone()).prop_map(|(n, since)| {
            Operation::PutAgent(record(n, Standing::Unreachable { since }))
        }),
        (0u8..6, since)
            .prop_map(|(n, since)| Operation::PutAgent(record(n, Standing::Gone { since }))),
        (0u8..6).prop_map(|n| Operation::DeleteAgent(id(n))),
        "[a-z]{1,5}".prop_map(|id| {
            Operation::PutMaster(Box::new(v1::MasterInfo { id, ..v1::MasterInfo::default() }))
        }),
        any_setting(),
    ]
}

/// Commits `batches` and returns what the record then says.
fn contents_after(registry: &mut dyn Registry, batches: &[Vec<Operation>]) -> Contents {
    for batch in batches {
        registry.commit(batch).unwrap();
    }
    registry.recover().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_backend_keeps_what_was_written_and_the_disk_keeps_it_after_reopening(
        batches in prop::collection::vec(prop::collection::vec(any_operation(), 0..6), 0..6)
    ) {
        let mut expected = Contents::default();
        for operation in batches.iter().flatten() {
            expected.apply(operation.clone());
        }
        prop_assert_eq!(&contents_after(&mut MemoryRegistry::default(), &batches), &expected);

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry.redb");
        let mut registry = RedbRegistry::open(&path).unwrap();
        prop_assert_eq!(&contents_after(&mut registry, &batches), &expected);
        drop(registry);
        let mut reopened = RedbRegistry::open(&path).unwrap();
        prop_assert_eq!(&reopened.recover().unwrap(), &expected);
    }
}

#[test]
fn a_copy_taken_at_any_moment_opens_as_some_finished_commit_left_it() {
    // What a crash leaves behind is the file as it is at that moment; commits are synced, so a
    // copy made between two of them stands for a process killed there, without closing.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.redb");
    let mut registry = RedbRegistry::open(&path).unwrap();
    let mut expected = Contents::default();
    for n in 0..20 {
        let copy = folder.path().join(format!("copy-{n}.redb"));
        std::fs::copy(&path, &copy).unwrap();
        assert_eq!(RedbRegistry::open(&copy).unwrap().recover().unwrap(), expected);
        let batch = [admitted(n, "a"), admitted(n + 100, "b")];
        registry.commit(&batch).unwrap();
        batch.into_iter().for_each(|operation| expected.apply(operation));
    }
}

#[test]
fn a_process_that_is_killed_keeps_every_commit_it_was_told_of() {
    use std::io::{BufRead, BufReader};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.redb");
    // The child is this very test program, told by the environment to write without end.
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writer_for_the_kill_test", "--nocapture"])
        .env("ALCAZAR_REGISTRY_WRITER", &path)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut told = 0;
    for line in lines.map(Result::unwrap) {
        if let Some(n) = line.strip_prefix("committed ") {
            told = n.parse::<usize>().unwrap();
            if told == 25 {
                break;
            }
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let contents = RedbRegistry::open(&path).unwrap().recover().unwrap();
    assert_eq!(told, 25);
    assert!(contents.agents.len() >= told, "{} < {told}", contents.agents.len());
}

#[test]
fn writer_for_the_kill_test() {
    let Some(path) = std::env::var_os("ALCAZAR_REGISTRY_WRITER") else { return };
    let mut registry = RedbRegistry::open(path.as_ref()).unwrap();
    for n in 1..=100_000usize {
        let agent = AgentId::new(&format!("S{n}")).unwrap();
        let since = Timestamp::default();
        let standing = Standing::Unreachable { since };
        let orders = Orders::default();
        let record = AgentRecord { id: agent, owner: Owner::default(), standing, orders };
        registry.commit(&[Operation::PutAgent(record)]).unwrap();
        println!("committed {n}");
    }
}

#[test]
fn a_second_process_cannot_open_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.redb");
    let _first = RedbRegistry::open(&path).unwrap();
    let error = RedbRegistry::open(&path).unwrap_err();
    assert!(error.to_string().contains("registry.redb"), "{error}");
}

#[test]
fn a_file_of_a_newer_program_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.redb");
    drop(RedbRegistry::open(&path).unwrap());
    let database = redb::Database::create(&path).unwrap();
    let write = database.begin_write().unwrap();
    let meta = redb::TableDefinition::<&str, u64>::new("meta");
    write.open_table(meta).unwrap().insert("schema_version", 99).unwrap();
    write.commit().unwrap();
    drop(database);
    assert!(matches!(RedbRegistry::open(&path), Err(RegistryError::NewerSchema { found: 99, .. })));
}

/// Writes a file as the program of schema 2 did: no tables but these.
fn file_of_version_2(path: &std::path::Path) {
    let database = redb::Database::create(path).unwrap();
    let write = database.begin_write().unwrap();
    let table = |name| redb::TableDefinition::<&str, &[u8]>::new(name);
    // Unreachable since 7 nanoseconds, no owner.
    let unreachable = b"\x18\x07".as_slice();
    write.open_table(table("agents")).unwrap().insert("S1", unreachable).unwrap();
    write.open_table(table("master")).unwrap();
    let meta = redb::TableDefinition::<&str, u64>::new("meta");
    write.open_table(meta).unwrap().insert("schema_version", 2).unwrap();
    write.commit().unwrap();
}

#[test]
fn a_file_of_an_older_program_is_read_and_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.redb");
    file_of_version_2(&path);
    let mut registry = RedbRegistry::open(&path).unwrap();
    let before = registry.recover().unwrap();
    let standing = &before.agents[&AgentId::new("S1").unwrap()].standing;
    let since = Timestamp::new(Duration::from_nanos(7));
    assert_eq!(*standing, Standing::Unreachable { since });
    assert!(before.quotas.is_empty() && before.weights.is_empty() && before.machines.is_empty());
    registry.commit(&[Operation::PutWeight(role(1), Weight::new(2.0).unwrap())]).unwrap();
    drop(registry);
    let after = RedbRegistry::open(&path).unwrap().recover().unwrap();
    assert_eq!(after.weights[&role(1)].as_f64(), 2.0);
    assert_eq!(after.agents, before.agents);
    let database = redb::Database::open(&path).unwrap();
    let read = redb::ReadableDatabase::begin_read(&database).unwrap();
    let meta = redb::TableDefinition::<&str, u64>::new("meta");
    let version = read.open_table(meta).unwrap().get("schema_version").unwrap().unwrap().value();
    assert_eq!(version, SCHEMA_VERSION);
}

#[test]
fn damaged_settings_are_named_and_never_taken_for_none() {
    let garbage = |table: &'static str, key: &str, bytes: &[u8], named: &str| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry.redb");
        drop(RedbRegistry::open(&path).unwrap());
        let database = redb::Database::create(&path).unwrap();
        let write = database.begin_write().unwrap();
        let table = redb::TableDefinition::<&str, &[u8]>::new(table);
        write.open_table(table).unwrap().insert(key, bytes).unwrap();
        write.commit().unwrap();
        drop(database);
        let error = RedbRegistry::open(&path).unwrap().recover().unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    };
    garbage("weights", "a", b"\xff\xff", "weight of a");
    // Field 1, a double: not a number.
    garbage("weights", "a", b"\x09\x00\x00\x00\x00\x00\x00\xf8\x7f", "weight of a");
    garbage("weights", "a", b"", "weight of a");
    garbage("quotas", "a", b"\x0a\x01b", "quota of a");
    garbage("quotas", "..", b"\x0a\x02..", "quota of ..");
    garbage("machines", "h\0", b"", "machine h");
    garbage("machines", "h\0", b"\x0a\x03\x0a\x01g\x1a\x02\x0a\x00", "machine h");
}

#[test]
fn a_damaged_record_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.redb");
    drop(RedbRegistry::open(&path).unwrap());
    let database = redb::Database::create(&path).unwrap();
    let write = database.begin_write().unwrap();
    let agents = redb::TableDefinition::<&str, &[u8]>::new("agents");
    write.open_table(agents).unwrap().insert("S1", b"\xff\xff".as_slice()).unwrap();
    write.commit().unwrap();
    drop(database);
    let error = RedbRegistry::open(&path).unwrap().recover().unwrap_err();
    assert!(error.to_string().contains("agent S1"), "{error}");
}
