//! The record in one file of the embedded store `redb`.

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableError};

use crate::record::{decode_agent, decode_master, encode_agent, encode_master};
use crate::settings::{
    decode_machine, decode_quota, decode_weight, encode_machine, encode_quota, encode_weight,
    machine_key,
};
use crate::{Contents, Operation, Registry, RegistryError};

/// The version of the tables below. It grows when an older program would misread a newer file.
///
/// Version 2 has the principal that owns an agent id: a program that does not know of it would let
/// anybody have the id. Version 3 has drained and deactivated agents, machines, quotas and weights:
/// a program that does not know of them would offer what must not be offered. Versions 1 and 2 read
/// as they are.
pub const SCHEMA_VERSION: u64 = 3;

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const AGENTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("agents");
const MACHINES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("machines");
const MASTER: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("master");
const QUOTAS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("quotas");
const WEIGHTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("weights");
const VERSION_KEY: &str = "schema_version";
const LEADER_KEY: &str = "leader";

/// Keeps the record in a file. Every commit is one transaction, synced to the disk before it
/// returns; after a crash the file opens as the last finished commit left it.
pub struct RedbRegistry {
    path: PathBuf,
    database: Database,
    broken: bool,
}

impl RedbRegistry {
    /// Opens the file at `path`, or makes it. Only one process can have it open.
    pub fn open(path: &Path) -> Result<Self, RegistryError> {
        let failed =
            |source| RegistryError::Store { doing: "opening", path: path.to_owned(), source };
        let database = Database::create(path).map_err(|e| failed(Box::new(e)))?;
        let registry = Self { path: path.to_owned(), database, broken: false };
        match registry.schema_version().map_err(failed)? {
            None => registry.initialize().map_err(failed)?,
            Some(SCHEMA_VERSION) => {}
            Some(version) if version < SCHEMA_VERSION => registry.initialize().map_err(failed)?,
            Some(found) => {
                return Err(RegistryError::NewerSchema { path: path.to_owned(), found });
            }
        }
        Ok(registry)
    }

    fn schema_version(&self) -> Result<Option<u64>, Box<dyn Error + Send + Sync>> {
        let read = self.database.begin_read()?;
        match read.open_table(META) {
            Ok(meta) => Ok(meta.get(VERSION_KEY)?.map(|version| version.value())),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn initialize(&self) -> Result<(), Box<dyn Error + Send + Sync>> {
        let write = self.database.begin_write()?;
        {
            for table in [AGENTS, MACHINES, MASTER, QUOTAS, WEIGHTS] {
                write.open_table(table)?;
            }
            write.open_table(META)?.insert(VERSION_KEY, SCHEMA_VERSION)?;
        }
        Ok(write.commit()?)
    }

    /// The raw entries of a table.
    fn read(
        &self,
        table: TableDefinition<'_, &str, &[u8]>,
    ) -> Result<Vec<(String, Vec<u8>)>, RegistryError> {
        let read = || -> Result<_, Box<dyn Error + Send + Sync>> {
            let mut entries = Vec::new();
            for entry in self.database.begin_read()?.open_table(table)?.iter()? {
                let (key, bytes) = entry?;
                entries.push((key.value().to_owned(), bytes.value().to_owned()));
            }
            Ok(entries)
        };
        read().map_err(|error| self.failed("reading", error))
    }

    fn write(&self, operations: &[Operation]) -> Result<(), Box<dyn Error + Send + Sync>> {
        let write = self.database.begin_write()?;
        {
            let mut agents = write.open_table(AGENTS)?;
            let mut machines = write.open_table(MACHINES)?;
            let mut master = write.open_table(MASTER)?;
            let mut quotas = write.open_table(QUOTAS)?;
            let mut weights = write.open_table(WEIGHTS)?;
            for operation in operations {
                match operation {
                    Operation::DeleteAgent(id) => agents.remove(id.as_str())?,
                    Operation::DeleteMachine(machine) => {
                        machines.remove(machine_key(machine).as_str())?
                    }
                    Operation::DeleteQuota(role) => quotas.remove(role.as_str())?,
                    Operation::DeleteWeight(role) => weights.remove(role.as_str())?,
                    Operation::PutAgent(record) => {
                        agents.insert(record.id.as_str(), encode_agent(record).as_slice())?
                    }
                    Operation::PutMachine(record) => {
                        let key = machine_key(&record.machine);
                        machines.insert(key.as_str(), encode_machine(record).as_slice())?
                    }
                    Operation::PutMaster(info) => {
                        master.insert(LEADER_KEY, encode_master(info).as_slice())?
                    }
                    Operation::PutQuota(role, quota) => {
                        quotas.insert(role.as_str(), encode_quota(role, quota).as_slice())?
                    }
                    Operation::PutWeight(role, weight) => {
                        weights.insert(role.as_str(), encode_weight(*weight).as_slice())?
                    }
                };
            }
        }
        Ok(write.commit()?)
    }

    fn failed(&self, doing: &'static str, source: Box<dyn Error + Send + Sync>) -> RegistryError {
        RegistryError::Store { doing, path: self.path.clone(), source }
    }
}

impl Registry for RedbRegistry {
    fn recover(&mut self) -> Result<Contents, RegistryError> {
        let mut contents = Contents::default();
        for (id, bytes) in self.read(AGENTS)? {
            let record = decode_agent(&id, &bytes)?;
            contents.agents.insert(record.id.clone(), record);
        }
        for (key, bytes) in self.read(MACHINES)? {
            let record = decode_machine(&key, &bytes)?;
            contents.machines.insert(record.machine.clone(), record);
        }
        for (role, bytes) in self.read(QUOTAS)? {
            contents.quotas.extend([decode_quota(&role, &bytes)?]);
        }
        for (role, bytes) in self.read(WEIGHTS)? {
            contents.weights.extend([decode_weight(&role, &bytes)?]);
        }
        for (_, bytes) in self.read(MASTER)?.iter().filter(|(key, _)| key == LEADER_KEY) {
            contents.master = Some(decode_master(bytes)?);
        }
        Ok(contents)
    }

    fn commit(&mut self, operations: &[Operation]) -> Result<(), RegistryError> {
        if self.broken {
            return Err(RegistryError::Broken);
        }
        if operations.is_empty() {
            return Ok(());
        }
        let written = self.write(operations);
        self.broken = written.is_err();
        written.map_err(|e| self.failed("writing", e))
    }

    fn bytes(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |file| file.len())
    }
}

impl fmt::Debug for RedbRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbRegistry").field("path", &self.path).finish_non_exhaustive()
    }
}
