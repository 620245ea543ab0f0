//! Disks and the volumes on them.

use std::fmt;
use std::sync::Arc;

/// Keys with optional values, in order.
pub type Labels = Vec<(String, Option<String>)>;

/// Bytes whose meaning only the wire knows; compared as a whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Opaque(pub Arc<[u8]>);

/// The persistent volume on a disk.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Persistence {
    /// Unique per role and agent.
    pub id: String,
    /// Who created it; does not count when resources are compared.
    pub principal: Option<String>,
}

/// What kind of thing a disk comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DiskKind {
    /// A directory; it can be divided.
    Path,
    /// A file system of its own; it is used as a whole.
    Mount,
    /// A block device; it is used as a whole.
    Block,
    /// Storage that a provider has not yet made into any of the others; it can be divided unless
    /// it has an identity.
    Raw,
}

impl DiskKind {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Path => "PATH",
            Self::Mount => "MOUNT",
            Self::Block => "BLOCK",
            Self::Raw => "RAW",
        }
    }
}

/// The device or directory that disk space comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DiskSource {
    /// What it is.
    pub kind: DiskKind,
    /// Where it is mounted or lies, of PATH and MOUNT disks; the outer `None` is that nothing
    /// is said, the inner one that the path or mount has no root.
    pub root: Option<Option<String>>,
    /// Who makes the storage plugin.
    pub vendor: Option<String>,
    /// The identity that the storage plugin gave it.
    pub id: Option<String>,
    /// What else the storage plugin says; the order does not count when disks are compared.
    pub metadata: Option<Labels>,
    /// The storage profile.
    pub profile: Option<String>,
}

impl DiskSource {
    /// One of which only the kind is known.
    #[must_use]
    pub const fn new(kind: DiskKind) -> Self {
        Self { kind, root: None, vendor: None, id: None, metadata: None, profile: None }
    }

    /// Whether it can be used only as a whole.
    #[must_use]
    pub const fn is_indivisible(&self) -> bool {
        match self.kind {
            DiskKind::Path => false,
            DiskKind::Mount | DiskKind::Block => true,
            DiskKind::Raw => self.id.is_some(),
        }
    }
}

impl fmt::Display for DiskSource {
    /// The original's form in error texts: `MOUNT(vendor,id,profile):/root`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.as_str())?;
        let said = [&self.vendor, &self.id, &self.profile];
        if said.iter().any(|part| part.is_some()) {
            let [vendor, id, profile] = said.map(|part| part.as_deref().unwrap_or_default());
            write!(f, "({vendor},{id},{profile})")?;
        }
        match &self.root {
            Some(Some(root)) => write!(f, ":{root}"),
            Some(None) | None => Ok(()),
        }
    }
}

/// Which disk a disk resource is.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Disk {
    /// The volume on it, if there is one.
    pub persistence: Option<Persistence>,
    /// Where the volume appears in containers; does not count when resources are compared, since
    /// it says how the resource is used and not what it is.
    pub volume: Option<Opaque>,
    /// The device or directory it comes from; `None` is the agent's work directory.
    pub source: Option<DiskSource>,
}

impl Disk {
    /// Whether it can only be given or taken as a whole.
    #[must_use]
    pub fn is_indivisible(&self) -> bool {
        self.persistence.is_some() || self.source.as_ref().is_some_and(DiskSource::is_indivisible)
    }

    /// The disk without the volume on it; `None` if it is then plain disk space.
    #[must_use]
    pub fn without_volume(&self) -> Option<Self> {
        let source = self.source.clone()?;
        Some(Self { persistence: None, volume: None, source: Some(source) })
    }

    /// The same without what comparisons ignore; `None` if there is nothing of that.
    pub(super) fn compared(&self) -> Option<Self> {
        let principal = self.persistence.as_ref().is_some_and(|p| p.principal.is_some());
        let metadata = self.source.as_ref().and_then(|source| source.metadata.as_ref());
        let unsorted = metadata.is_some_and(|labels| !labels.is_sorted());
        if !principal && !unsorted && self.volume.is_none() {
            return None;
        }
        let mut same = self.clone();
        same.volume = None;
        if let Some(persistence) = &mut same.persistence {
            persistence.principal = None;
        }
        if let Some(labels) = same.source.as_mut().and_then(|source| source.metadata.as_mut()) {
            labels.sort_unstable();
        }
        Some(same)
    }
}

impl fmt::Display for Disk {
    /// The original's form in error texts: source, id and container path where there are any.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(source) = &self.source {
            source.fmt(f)?;
        }
        if let Some(persistence) = &self.persistence {
            if self.source.is_some() {
                f.write_str(",")?;
            }
            f.write_str(&persistence.id)?;
        }
        Ok(())
    }
}
