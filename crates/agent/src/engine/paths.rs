//! Where sandboxes lie; the layout of `master-agent-protocol.md` §16.1.

use std::path::{Path, PathBuf};

use super::event::RunPlace;

/// The sandbox of a run.
#[must_use]
pub fn sandbox(work_dir: &Path, place: &RunPlace) -> PathBuf {
    work_dir
        .join("slaves")
        .join(place.executor.agent.as_str())
        .join("frameworks")
        .join(place.executor.framework.as_str())
        .join("executors")
        .join(place.executor.executor.as_str())
        .join("runs")
        .join(place.container.as_str())
}

/// The checkpoints of a run.
#[must_use]
pub(crate) fn run_meta(work_dir: &Path, place: &RunPlace) -> PathBuf {
    sandbox(&work_dir.join("meta"), place)
}

/// Where the pid of a run's first process is checkpointed.
#[must_use]
pub(crate) fn forked_pid(work_dir: &Path, place: &RunPlace) -> PathBuf {
    run_meta(work_dir, place).join("pids").join("forked.pid")
}
