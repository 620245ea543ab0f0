//! What outlives the agent's process: the layout and the file format of
//! `master-agent-protocol.md` §16.1–16.2, so that an agent of either kind can go on from the
//! other's work directory.
//!
//! Where the original differs: it trusts the page cache. Here [`Store::apply`] returns when the
//! record, and every directory entry that leads to it, would survive a crash of the machine.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use model::id::AgentId;
use wire::internal::slave::ResourceState;

use crate::engine::event::{ExecutorPlace, Record, RunPlace};
use crate::engine::operations::OperationUuid;
use crate::engine::paths;
use crate::resource_format::downgrade;

mod file;
mod read;
mod volumes;

pub use read::RecoverError;

/// The file, in `resources`, that holds an agent's remembered resources and operations.
const RESOURCES_AND_OPERATIONS: &str = "resources_and_operations.state";
/// What the original writes before it makes and removes volumes.
const TARGETS: [&str; 2] = ["resources_and_operations.target", "resources.target"];

/// The directory with all checkpoints, beneath the agent's work directory.
#[derive(Clone, Debug)]
pub struct Store {
    work_dir: PathBuf,
    meta: PathBuf,
}

/// Why a record could not be written. The agent cannot go on after this: what it was about to
/// promise would not be true.
#[derive(Debug, thiserror::Error)]
#[error("could not checkpoint {}: {source}", path.display())]
pub struct StoreError {
    /// The file or directory.
    pub path: PathBuf,
    /// Why not.
    #[source]
    pub source: io::Error,
}

fn at<T>(path: &Path, result: io::Result<T>) -> Result<T, StoreError> {
    result.map_err(|source| StoreError { path: path.to_owned(), source })
}

impl Store {
    /// The checkpoints beneath `work_dir`, which must exist. Makes the directory if it is not
    /// there, for the agent's user only: descriptions of tasks can hold what is nobody's business.
    ///
    /// # Errors
    ///
    /// If the directory cannot be made.
    pub fn open(work_dir: &Path) -> Result<Self, StoreError> {
        let meta = work_dir.join("meta");
        at(&meta, file::make_directories(&meta))?;
        Ok(Self { work_dir: work_dir.to_owned(), meta })
    }

    /// Writes one record, durably.
    ///
    /// # Errors
    ///
    /// If it could not be written; what was there before is still there.
    pub fn apply(&self, record: &Record) -> Result<(), StoreError> {
        match record {
            Record::Agent(info) => {
                let id = info.id.as_ref().map(|id| id.value.as_str()).unwrap_or_default();
                let directory = self.meta.join("slaves").join(id);
                self.replace(&directory.join("slave.info"), &|| {
                    file::framed(&downgrade((**info).clone()))
                })?;
                self.point(&self.meta.join("slaves/latest"), Path::new(id))
            }
            Record::Completed(place) => {
                self.replace(&self.run(place).join("executor.sentinel"), &Vec::new)
            }
            Record::Drain { agent, config } => {
                let path = self.agent(agent).join("drain.config");
                match config {
                    Some(config) => self.replace(&path, &|| file::framed(config)),
                    None => at(&path, file::remove(&path)),
                }
            }
            Record::Executor { place, info, generated } => {
                let directory = self.executor(place);
                self.replace(&directory.join("executor.info"), &|| {
                    file::framed(&downgrade((**info).clone()))
                })?;
                self.replace(&directory.join("executor_generated_for_command_task"), &|| {
                    u8::from(*generated).to_string().into_bytes()
                })
            }
            Record::Forget => {
                let latest = self.meta.join("slaves/latest");
                at(&latest, file::remove(&latest))
            }
            Record::Framework { agent, info, pid } => {
                let directory = self
                    .meta
                    .join("slaves")
                    .join(agent.as_str())
                    .join("frameworks")
                    .join(info.id.as_ref().map(|id| id.value.as_str()).unwrap_or_default());
                self.replace(&directory.join("framework.info"), &|| file::framed(&**info))?;
                self.replace(&directory.join("framework.pid"), &|| pid.clone().into_bytes())
            }
            Record::HttpExecutor(place) => {
                self.replace(&self.run(place).join("http.marker"), &Vec::new)
            }
            Record::LibprocessExecutor { place, pid } => {
                let path = self.run(place).join("pids/libprocess.pid");
                self.replace(&path, &|| pid.to_string().into_bytes())
            }
            Record::Tokens { place, present, next } => {
                let path = self.run(place).join("pids/token.sha256");
                // One file, so that there is no moment between the two.
                let lines = std::iter::once(present).chain(next);
                let text = lines.map(|token| file::hexadecimal(&token.0)).collect::<Vec<_>>();
                self.replace(&path, &|| text.join("\n").into_bytes())
            }
            Record::Operation { agent, uuid, record } => {
                let path = self.operation(agent, uuid).join("operation.updates");
                at(&path, file::append(&path, &file::framed(&**record)))
            }
            Record::OperationOver { agent, uuid } => {
                let path = self.operation(agent, uuid);
                at(&path, volumes::remove_directory(&path))
            }
            Record::Resources(state) => self.resources(state),
            Record::Run { place, token } => {
                let run = self.run(place);
                let pids = run.join("pids");
                at(&pids, file::make_directories(&pids))?;
                if let Some(token) = token {
                    let text = file::hexadecimal(&token.0);
                    self.replace(&pids.join("token.sha256"), &|| text.clone().into_bytes())?;
                }
                let latest = run.with_file_name("latest");
                self.point(&latest, Path::new(place.container.as_str()))
            }
            Record::Task { place, task } => {
                let directory = self.run(place).join("tasks").join(&task.task_id.value);
                self.replace(&directory.join("task.info"), &|| {
                    file::framed(&downgrade((**task).clone()))
                })
            }
            Record::Update { place, task, record } => {
                let path = self.run(place).join("tasks").join(task.as_str()).join("task.updates");
                at(&path, file::append(&path, &file::framed(&**record)))
            }
            Record::Volumes { create, remove } => {
                for volume in create {
                    at(&volume.path, volumes::create(volume))?;
                }
                for volume in remove {
                    at(&volume.path, volumes::remove(volume))?;
                }
                Ok(())
            }
        }
    }

    /// Writes the resources twice: for agents of the original that know no operations, and, as
    /// what counts, with the operations.
    fn resources(&self, state: &ResourceState) -> Result<(), StoreError> {
        let directory = self.meta.join("resources");
        let plain = directory.join("resources.info");
        let content: Vec<u8> =
            downgrade(state.resources.clone()).iter().flat_map(file::framed).collect();
        // Most often only an operation moved on.
        if at(&plain, file::read(&plain))?.as_ref() != Some(&content) {
            self.replace(&plain, &|| content.clone())?;
        }
        self.replace(&directory.join(RESOURCES_AND_OPERATIONS), &|| file::framed(state))?;
        // What an agent of the original was about to do when it ended is done.
        for leftover in TARGETS {
            let path = directory.join(leftover);
            at(&path, file::remove(&path))?;
        }
        Ok(())
    }

    fn agent(&self, id: &AgentId) -> PathBuf {
        self.meta.join("slaves").join(id.as_str())
    }

    fn operation(&self, agent: &AgentId, uuid: &OperationUuid) -> PathBuf {
        self.agent(agent).join("operations").join(uuid.to_string())
    }

    fn run(&self, place: &RunPlace) -> PathBuf {
        paths::run_meta(&self.work_dir, place)
    }

    fn executor(&self, place: &ExecutorPlace) -> PathBuf {
        self.meta
            .join("slaves")
            .join(place.agent.as_str())
            .join("frameworks")
            .join(place.framework.as_str())
            .join("executors")
            .join(place.executor.as_str())
    }

    fn replace(&self, path: &Path, content: &dyn Fn() -> Vec<u8>) -> Result<(), StoreError> {
        at(path, file::replace(path, &content()))
    }

    fn point(&self, link: &Path, target: &Path) -> Result<(), StoreError> {
        at(link, file::point(link, target))
    }

    /// Notes which boot of the machine this is, after everything of an earlier one was dealt
    /// with.
    fn note_boot(&self, boot_id: &str) -> Result<(), StoreError> {
        self.replace(&self.meta.join("boot_id"), &|| boot_id.as_bytes().to_vec())
    }
}

/// What the kernel calls this boot of the machine.
///
/// # Errors
///
/// If the kernel does not say.
pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim_end().to_owned())
}

#[cfg(test)]
mod tests;
