//! Reading back what an earlier run left (`master-agent-protocol.md` §16.3).
//!
//! A file that is missing or empty is what a crash between two writes leaves: what it belongs to
//! never came about. A file that cannot be read is another matter: with `strict` the agent does
//! not start, without it the file is counted and left out.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use wire::internal::slave::ResourceState;
use wire::internal::{StatusUpdateRecord, UpdateOperationStatusRecord};
use wire::{Described, v1};

use super::{Store, StoreError, file};
use crate::engine::event::TokenDigest;
use crate::engine::operations::OperationUuid;
use crate::engine::recovered::{
    Recovered, RecoveredExecutor, RecoveredFramework, RecoveredResources, RecoveredRun,
    RecoveredTask,
};
use crate::resource_format::upgrade;

/// Why an earlier run cannot be gone on from.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// A file cannot be read, and `strict` forbids to go on without it.
    #[error(
        "could not recover {}: {source}. To go on without it, start with --no-strict; to start as \
         a new agent, remove {}",
        path.display(),
        latest.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What makes the agent start as a new one when removed.
        latest: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file had to be changed and could not be.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One pass over the directory.
struct Reading<'a> {
    store: &'a Store,
    strict: bool,
    rebooted: bool,
    errors: u64,
}

impl Store {
    /// Everything that an earlier run left. `boot_id` is what the kernel calls this boot.
    ///
    /// Changes two things: records that a crash left half written are cut off, and the pids of
    /// an earlier boot are removed, since they mean nothing any more.
    ///
    /// # Errors
    ///
    /// If a file cannot be read and `strict` is set, or one cannot be changed.
    pub fn recover(&self, strict: bool, boot_id: &str) -> Result<Recovered, RecoverError> {
        let mut reading = Reading { store: self, strict, rebooted: false, errors: 0 };
        let before = reading.text(&self.meta.join("boot_id"))?;
        reading.rebooted = before.is_some_and(|before| before.trim_end() != boot_id);
        let mut recovered = reading.agent()?;
        recovered.rebooted = reading.rebooted;
        recovered.errors = reading.errors;
        self.note_boot(boot_id)?;
        Ok(recovered)
    }
}

impl Reading<'_> {
    /// `None` counts an error that may be gone on from.
    fn lenient<T>(
        &mut self,
        path: &Path,
        result: io::Result<Option<T>>,
    ) -> Result<Option<T>, RecoverError> {
        match result {
            Ok(value) => Ok(value),
            Err(source) if self.strict => Err(RecoverError::Unreadable {
                path: path.to_owned(),
                latest: self.store.meta.join("slaves/latest"),
                source,
            }),
            Err(source) => {
                tracing::warn!(path = %path.display(), error = %source, "left out of recovery");
                self.errors += 1;
                Ok(None)
            }
        }
    }

    fn text(&mut self, path: &Path) -> Result<Option<String>, RecoverError> {
        let invalid = |e: std::string::FromUtf8Error| {
            io::Error::new(io::ErrorKind::InvalidData, e.to_string())
        };
        let text = file::read(path)
            .and_then(|content| content.map(String::from_utf8).transpose().map_err(invalid));
        Ok(self.lenient(path, text)?.filter(|text| !text.is_empty()))
    }

    fn message<T: Described>(&mut self, path: &Path) -> Result<Option<T>, RecoverError> {
        let messages = file::read_messages::<T>(path);
        let messages = self.lenient(path, messages)?;
        Ok(messages.and_then(|found| found.messages.into_iter().next()))
    }

    /// The names of the directories in a directory, sorted.
    fn directories(&mut self, path: &Path) -> Result<Vec<String>, RecoverError> {
        let list = || -> io::Result<Option<Vec<String>>> {
            let entries = match fs::read_dir(path) {
                Ok(entries) => entries,
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(e) => return Err(e),
            };
            let mut names = Vec::new();
            for entry in entries {
                let entry = entry?;
                // `latest` is a link, and not followed here.
                if entry.file_type()?.is_dir()
                    && let Ok(name) = entry.file_name().into_string()
                {
                    names.push(name);
                }
            }
            names.sort();
            Ok(Some(names))
        };
        let names = list();
        Ok(self.lenient(path, names)?.unwrap_or_default())
    }

    /// The name that a link leads to; the original's links hold whole paths.
    fn link(&mut self, path: &Path) -> Result<Option<String>, RecoverError> {
        let target = match fs::read_link(path) {
            Ok(target) => Ok(Some(target)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        };
        let target = self.lenient(path, target)?;
        Ok(target.and_then(|t| t.file_name()?.to_str().map(str::to_owned)))
    }

    fn agent(&mut self) -> Result<Recovered, RecoverError> {
        let slaves = self.store.meta.join("slaves");
        let mut recovered = Recovered { resources: self.resources()?, ..Recovered::default() };
        let Some(id) = self.link(&slaves.join("latest"))?.and_then(|id| id.parse().ok()) else {
            return Ok(recovered);
        };
        let directory = slaves.join(format!("{id}"));
        let Some(info) = self.message::<v1::AgentInfo>(&directory.join("slave.info"))? else {
            return Ok(recovered);
        };
        recovered.agent = Some((id, upgrade(info)));
        recovered.drain = self.message(&directory.join("drain.config"))?;
        recovered.resources.updates = self.operations(&directory.join("operations"))?;
        let frameworks = directory.join("frameworks");
        for name in self.directories(&frameworks)? {
            if let Some(framework) = self.framework(&frameworks.join(&name), &name)? {
                recovered.frameworks.push(framework);
            }
        }
        Ok(recovered)
    }

    /// What an agent remembers of its resources belongs to the machine, and outlives its id.
    fn resources(&mut self) -> Result<RecoveredResources, RecoverError> {
        let directory = self.store.meta.join("resources");
        let state: Option<ResourceState> =
            self.message(&directory.join(super::RESOURCES_AND_OPERATIONS))?;
        let target: Option<ResourceState> = self.message(&directory.join(super::TARGETS[0]))?;
        if state.is_none() && target.is_none() {
            // The original did not always know operations.
            return Ok(RecoveredResources {
                resources: self.list(&directory.join("resources.info"))?.unwrap_or_default(),
                target: self.list(&directory.join(super::TARGETS[1]))?,
                ..RecoveredResources::default()
            });
        }
        let state = state.unwrap_or_default();
        let operations = match &target {
            Some(target) => target.operations.clone(),
            None => state.operations,
        };
        Ok(RecoveredResources {
            resources: upgrade(state.resources),
            target: target.map(|target| upgrade(target.resources)),
            operations,
            updates: BTreeMap::new(),
        })
    }

    fn list(&mut self, path: &Path) -> Result<Option<Vec<v1::Resource>>, RecoverError> {
        let found = file::read_messages::<v1::Resource>(path);
        Ok(self.lenient(path, found)?.map(|found| upgrade(found.messages)))
    }

    fn operations(
        &mut self,
        directory: &Path,
    ) -> Result<BTreeMap<OperationUuid, Vec<UpdateOperationStatusRecord>>, RecoverError> {
        let mut all = BTreeMap::new();
        for name in self.directories(directory)? {
            let uuid = uuid::Uuid::parse_str(&name).ok();
            let Some(uuid) = uuid.and_then(|uuid| OperationUuid::from_wire(uuid.as_bytes())) else {
                continue;
            };
            let records = self.records(&directory.join(&name).join("operation.updates"))?;
            all.insert(uuid, records);
        }
        Ok(all)
    }

    fn framework(
        &mut self,
        directory: &Path,
        name: &str,
    ) -> Result<Option<RecoveredFramework>, RecoverError> {
        let info = self.message::<v1::FrameworkInfo>(&directory.join("framework.info"))?;
        let pid = self.text(&directory.join("framework.pid"))?;
        let (Ok(id), Some(info)) = (name.parse(), info) else { return Ok(None) };
        let mut executors = Vec::new();
        let all = directory.join("executors");
        for name in self.directories(&all)? {
            if let Some(executor) = self.executor(&all.join(&name), &name)? {
                executors.push(executor);
            }
        }
        Ok(Some(RecoveredFramework { id, info, pid: pid.unwrap_or_default(), executors }))
    }

    fn executor(
        &mut self,
        directory: &Path,
        name: &str,
    ) -> Result<Option<RecoveredExecutor>, RecoverError> {
        let info = self.message::<v1::ExecutorInfo>(&directory.join("executor.info"))?;
        let generated = self.text(&directory.join("executor_generated_for_command_task"))?;
        let latest = self.link(&directory.join("runs/latest"))?;
        let (Ok(id), Some(info), Some(latest)) = (name.parse(), info, latest) else {
            return Ok(None);
        };
        let run = self.run(&directory.join("runs").join(&latest), &latest)?;
        Ok(run.map(|run| RecoveredExecutor {
            id,
            info: upgrade(info),
            generated: generated.is_some_and(|text| text.trim_end() == "1"),
            run,
        }))
    }

    fn run(&mut self, directory: &Path, name: &str) -> Result<Option<RecoveredRun>, RecoverError> {
        let Ok(container) = name.parse() else { return Ok(None) };
        let forked = directory.join("pids/forked.pid");
        if self.rebooted {
            file::remove(&forked).map_err(|source| StoreError { path: forked.clone(), source })?;
        }
        let pid = self.text(&forked)?;
        let libprocess = directory.join("pids/libprocess.pid");
        if self.rebooted {
            file::remove(&libprocess)
                .map_err(|source| StoreError { path: libprocess.clone(), source })?;
        }
        let libprocess = self.text(&libprocess)?;
        let tokens = self.text(&directory.join("pids/token.sha256"))?;
        let mut tokens = tokens.iter().flat_map(|text| text.lines()).map(file::from_hexadecimal);
        let token = tokens.next().flatten().map(TokenDigest);
        let next_token = tokens.next().flatten().map(TokenDigest);
        let mut tasks = Vec::new();
        let all = directory.join("tasks");
        for name in self.directories(&all)? {
            if let Some(task) = self.task(&all.join(&name), &name)? {
                tasks.push(task);
            }
        }
        Ok(Some(RecoveredRun {
            container,
            completed: directory.join("executor.sentinel").exists(),
            pid: pid.and_then(|text| text.trim_end().parse().ok()),
            http: directory.join("http.marker").exists(),
            libprocess: libprocess.and_then(|text| text.trim_end().parse().ok()),
            token,
            next_token,
            tasks,
        }))
    }

    fn task(
        &mut self,
        directory: &Path,
        name: &str,
    ) -> Result<Option<RecoveredTask>, RecoverError> {
        let task = self.message::<v1::Task>(&directory.join("task.info"))?;
        let (Ok(id), Some(task)) = (name.parse(), task) else { return Ok(None) };
        let updates: Vec<StatusUpdateRecord> = self.records(&directory.join("task.updates"))?;
        Ok(Some(RecoveredTask { id, task: upgrade(task), updates }))
    }

    /// The records of a file that is appended to.
    fn records<T: Described>(&mut self, path: &Path) -> Result<Vec<T>, RecoverError> {
        let found = file::read_messages::<T>(path);
        let Some(found) = self.lenient(path, found)? else { return Ok(Vec::new()) };
        if found.whole < found.size {
            tracing::warn!(
                path = %path.display(),
                bytes = found.size - found.whole,
                "cutting off a record that a crash left half written"
            );
            file::truncate(path, found.whole)
                .map_err(|source| StoreError { path: path.to_owned(), source })?;
        }
        Ok(found.messages)
    }
}
