//! What cargo knows about the workspace and everything beneath it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use cargo_metadata::{Metadata, MetadataCommand, Package, PackageId};

/// The resolved dependency graph.
#[derive(Debug)]
pub(crate) struct Graph {
    metadata: Metadata,
}

impl Graph {
    pub(crate) fn load() -> anyhow::Result<Self> {
        let metadata = MetadataCommand::new()
            .other_options(["--locked".to_owned()])
            .exec()
            .context("cargo metadata (is Cargo.lock up to date?)")?;
        Ok(Self { metadata })
    }

    /// The directory of the workspace.
    pub(crate) fn root(&self) -> &Path {
        self.metadata.workspace_root.as_std_path()
    }

    /// Where cargo puts what it builds.
    pub(crate) fn target(&self) -> &Path {
        self.metadata.target_directory.as_std_path()
    }

    /// Our own packages.
    pub(crate) fn members(&self) -> Vec<&Package> {
        self.metadata.workspace_packages()
    }

    /// Everybody else's.
    pub(crate) fn foreign(&self) -> impl Iterator<Item = &Package> {
        self.metadata.packages.iter().filter(|p| !self.metadata.workspace_members.contains(&p.id))
    }

    /// Who depends on whom: for each package the names of those that name it directly.
    pub(crate) fn dependents(&self) -> BTreeMap<&PackageId, Vec<&str>> {
        let mut dependents: BTreeMap<&PackageId, Vec<&str>> = BTreeMap::new();
        let nodes = self.metadata.resolve.iter().flat_map(|r| &r.nodes);
        for node in nodes {
            for dependency in &node.dependencies {
                dependents
                    .entry(dependency)
                    .or_default()
                    .push(self.metadata[&node.id].name.as_str());
            }
        }
        dependents
    }
}
