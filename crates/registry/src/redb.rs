//! The record in one file of the embedded store `redb`.

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableError};

use crate::record::{decode_agent, decode_master, encode_agent, encode_master};
use crate::{Contents, Operation, Registry, RegistryError};

/// The version of the tables below. It grows when an older program would misread a newer file.
///
/// Version 2 has the principal that owns an agent id: a program that does not know of it would let
/// anybody have the id. Version 1 reads as it is.
pub const SCHEMA_VERSION: u64 = 2;

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const AGENTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("agents");
const MASTER: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("master");
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
            write.open_table(AGENTS)?;
            write.open_table(MASTER)?;
            write.open_table(META)?.insert(VERSION_KEY, SCHEMA_VERSION)?;
        }
        Ok(write.commit()?)
    }

    /// The raw entries: agents by id, and the leader's.
    #[expect(clippy::type_complexity, reason = "named by its one reader, right below")]
    fn read(
        &self,
    ) -> Result<(Vec<(String, Vec<u8>)>, Option<Vec<u8>>), Box<dyn Error + Send + Sync>> {
        let read = self.database.begin_read()?;
        let mut agents = Vec::new();
        for entry in read.open_table(AGENTS)?.iter()? {
            let (id, bytes) = entry?;
            agents.push((id.value().to_owned(), bytes.value().to_owned()));
        }
        let leader =
            read.open_table(MASTER)?.get(LEADER_KEY)?.map(|bytes| bytes.value().to_owned());
        Ok((agents, leader))
    }

    fn write(&self, operations: &[Operation]) -> Result<(), Box<dyn Error + Send + Sync>> {
        let write = self.database.begin_write()?;
        {
            let mut agents = write.open_table(AGENTS)?;
            let mut master = write.open_table(MASTER)?;
            for operation in operations {
                match operation {
                    Operation::DeleteAgent(id) => {
                        agents.remove(id.as_str())?;
                    }
                    Operation::PutAgent(record) => {
                        agents.insert(record.id.as_str(), encode_agent(record).as_slice())?;
                    }
                    Operation::PutMaster(info) => {
                        master.insert(LEADER_KEY, encode_master(info).as_slice())?;
                    }
                }
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
        let (entries, leader) = self.read().map_err(|e| self.failed("reading", e))?;
        let mut agents = std::collections::BTreeMap::new();
        for (id, bytes) in entries {
            let record = decode_agent(&id, &bytes)?;
            agents.insert(record.id.clone(), record);
        }
        let master = leader.map(|bytes| decode_master(&bytes)).transpose()?;
        Ok(Contents { master, agents })
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
}

impl fmt::Debug for RedbRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbRegistry").field("path", &self.path).finish_non_exhaustive()
    }
}
