//! What the agent has: what its configuration states, as operations have changed it.
//!
//! What was reserved or made a volume at run time is remembered: it stands in the agent's
//! checkpoints, is told to every master at (re-)registration, and takes the place of what it was
//! made from. Volumes are directories; they are made and removed with the records.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use model::resources::{CheckpointedError, DiskKind, Resource, Resources};
use wire::v1;

use crate::containerizer::VolumeLink;

/// See the module's text.
#[derive(Clone, Debug, Default)]
pub(super) struct Inventory {
    configured: Resources,
    total: Resources,
}

/// The directory of a persistent volume.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VolumeDirectory {
    /// Where it is.
    pub path: PathBuf,
    /// Whether it is the root of a file system of its own, which is emptied and stays.
    pub is_mount: bool,
}

/// Why the agent's resources cannot become others. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InventoryError {
    #[error(transparent)]
    Checkpointed(#[from] CheckpointedError),
    #[error("{0} is allocated, and what an agent has is not")]
    Allocated(Resource),
    #[error("the volume '{id}' cannot have a directory: {reason}")]
    Volume { id: String, reason: String },
}

impl Inventory {
    /// Of an agent whose configuration states `resources`. What does not count is left out: a
    /// driver has read them before.
    pub(super) fn new(resources: &[v1::Resource]) -> Self {
        let configured: Resources =
            resources.iter().filter_map(|r| wire::resources::read_one(r).ok()).collect();
        Self { total: configured.clone(), configured }
    }

    /// All that the agent has.
    pub(super) fn total(&self) -> &Resources {
        &self.total
    }

    /// What must be remembered over restarts.
    pub(super) fn checkpointed(&self) -> Resources {
        self.total.checkpointed()
    }

    /// Whether all of `resources`, as a task or executor states them, that must be remembered is.
    pub(super) fn unknown<'a>(
        &self,
        resources: impl Iterator<Item = &'a v1::Resource>,
    ) -> Option<String> {
        let known = self.checkpointed();
        resources
            .filter(|resource| crate::resource_format::needs_checkpoint(resource))
            .find(|resource| {
                !wire::resources::read_one(resource)
                    .is_ok_and(|resource| known.contains(&resource.unallocated().into()))
            })
            .map(|resource| resource.name.clone())
    }

    /// The same with `checkpointed` in place of what is remembered.
    pub(super) fn with_checkpointed(
        &self,
        checkpointed: &Resources,
    ) -> Result<Self, InventoryError> {
        if let Some(resource) = checkpointed.iter().find(|r| r.allocation.is_some()) {
            return Err(InventoryError::Allocated(resource.clone()));
        }
        let total = self.configured.with_checkpointed(checkpointed)?;
        volumes(&total, Path::new(""))?;
        Ok(Self { configured: self.configured.clone(), total })
    }

    /// The same with `total` in place of all.
    pub(super) fn with_total(&self, total: Resources) -> Result<Self, InventoryError> {
        volumes(&total, Path::new(""))?;
        Ok(Self { configured: self.configured.clone(), total })
    }

    /// The directories to be made and removed when `next` takes the place of this.
    pub(super) fn changed_volumes(
        &self,
        next: &Self,
        work_dir: &Path,
    ) -> (Vec<VolumeDirectory>, Vec<VolumeDirectory>) {
        // What is here was checked when it came.
        let before = volumes(&self.total, work_dir).unwrap_or_default();
        let after = volumes(&next.total, work_dir).unwrap_or_default();
        let difference = |a: &BTreeSet<_>, b: &BTreeSet<_>| a.difference(b).cloned().collect();
        (difference(&after, &before), difference(&before, &after))
    }
}

/// The persistent volumes among what a container may use. They were checked when the task came.
pub(super) fn volume_links(work_dir: &Path, resources: &[v1::Resource]) -> Vec<VolumeLink> {
    let link = |resource: &v1::Resource| {
        let volume = resource.disk.as_ref()?.volume.as_ref()?;
        let resource_read = wire::resources::read_one(resource).ok()?;
        let directory = volume_directory(work_dir, &resource_read).ok()??;
        Some(VolumeLink {
            container_path: volume.container_path.clone(),
            directory: directory.path,
            shared: resource_read.shared,
        })
    };
    resources.iter().filter_map(link).collect()
}

fn volumes(
    resources: &Resources,
    work_dir: &Path,
) -> Result<BTreeSet<VolumeDirectory>, InventoryError> {
    resources.iter().filter_map(|r| volume_directory(work_dir, r).transpose()).collect()
}

/// Where the persistent volume lies that `resource` is. `None`: it is none, or its provider keeps
/// it.
pub(super) fn volume_directory(
    work_dir: &Path,
    resource: &Resource,
) -> Result<Option<VolumeDirectory>, InventoryError> {
    let (Some(id), None) = (resource.persistence_id(), &resource.provider) else {
        return Ok(None);
    };
    let bad = |reason: String| InventoryError::Volume { id: id.to_owned(), reason };
    // Both become parts of a path.
    model::id::check(id).map_err(|error| bad(error.to_string()))?;
    let role = resource
        .reserved_to()
        .ok_or_else(|| bad("it is not reserved".to_owned()))?
        .as_str()
        .replace('/', " ");
    let source = resource.disk.as_ref().and_then(|disk| disk.source.as_ref());
    let root = source.and_then(|source| source.root.clone().flatten());
    let base = match source.map(|source| source.kind) {
        None => work_dir.to_owned(),
        // A root that is not absolute lies in the work directory.
        Some(DiskKind::Path) => work_dir.join(root.unwrap_or_default()),
        Some(DiskKind::Mount) => {
            let root = root.ok_or_else(|| bad("its mount has no root".to_owned()))?;
            return Ok(Some(VolumeDirectory { path: work_dir.join(root), is_mount: true }));
        }
        Some(DiskKind::Block | DiskKind::Raw) => {
            return Err(bad("this agent keeps no volumes on block or raw disks".to_owned()));
        }
    };
    let path = base.join("volumes/roles").join(role).join(id);
    Ok(Some(VolumeDirectory { path, is_mount: false }))
}
