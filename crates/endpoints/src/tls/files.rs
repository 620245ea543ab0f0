//! The files behind TLS, and whether they have changed.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tls_policy::{
    ChainRules, Inbound, MaterialPair, Outbound, PassphraseSource, TlsRules, TrustAnchors,
};

/// What files looked like at one moment.
pub(super) type Look = BTreeMap<PathBuf, Option<Mark>>;

/// What tells one content of a file from the next without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    file: (u64, u64),
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl From<Metadata> for Mark {
    fn from(metadata: Metadata) -> Self {
        Self {
            file: (metadata.dev(), metadata.ino()),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// How the files that `rules` name look now.
pub(super) async fn look(rules: &Arc<TlsRules>) -> Look {
    let rules = Arc::clone(rules);
    tokio::task::spawn_blocking(move || marks(&rules)).await.unwrap_or_default()
}

/// How they look when they have not changed for a while, which is waited for so many times.
pub(super) async fn settled(rules: &Arc<TlsRules>, pause: Duration, most: u32) -> Look {
    let mut seen = look(rules).await;
    for _ in 0..most {
        tokio::time::sleep(pause).await;
        let now = look(rules).await;
        if now == seen {
            break;
        }
        seen = now;
    }
    seen
}

fn marks(rules: &TlsRules) -> Look {
    let mut look = Look::new();
    let mut add = |path: &Path| {
        // What symbolic links lead to counts. A file that is not there, or not to be read, is one
        // that may come.
        look.insert(path.to_owned(), std::fs::metadata(path).ok().map(Mark::from));
    };
    for path in files(rules) {
        add(path);
    }
    for directory in directories(rules) {
        add(directory);
        let Ok(entries) = std::fs::read_dir(directory) else { continue };
        for entry in entries.flatten().take(transport::tls::MOST_ENTRIES) {
            add(&entry.path());
        }
    }
    look
}

fn chains(rules: &TlsRules) -> impl Iterator<Item = &ChainRules> {
    let inbound = match &rules.inbound {
        Inbound::ClientCertificate(chain, _) => Some(chain),
        Inbound::AnyClient(_) | Inbound::ComponentIdentity(_) => None,
    };
    let outbound = match &rules.outbound {
        Outbound::Verified(chain, _) => Some(chain),
        Outbound::ComponentIdentity(_) | Outbound::Unverified(_) => None,
    };
    inbound.into_iter().chain(outbound)
}

fn files(rules: &TlsRules) -> Vec<&Path> {
    let mut all: Vec<&Path> = Vec::new();
    for MaterialPair { certificate_chain, key, passphrase } in &rules.materials.pairs {
        all.extend([certificate_chain.as_path(), key.as_path()]);
        if let Some(PassphraseSource::File(path)) = passphrase {
            all.push(path);
        }
    }
    for chain in chains(rules) {
        if let TrustAnchors::Files { file: Some(file), .. } = &chain.anchors {
            all.push(file);
        }
    }
    if let Inbound::ComponentIdentity(identity) = &rules.inbound {
        all.push(&identity.trust_bundle);
    }
    if let Outbound::ComponentIdentity(identity) = &rules.outbound {
        all.push(&identity.trust_bundle);
    }
    all.extend(rules.revocation.as_deref());
    all
}

fn directories(rules: &TlsRules) -> impl Iterator<Item = &Path> {
    chains(rules).filter_map(|chain| match &chain.anchors {
        TrustAnchors::Files { dir, .. } => dir.as_deref(),
        TrustAnchors::System => None,
    })
}

#[cfg(test)]
mod tests {
    use tls_policy::{IdentityRules, MaterialPaths, TlsPolicy};

    use super::*;

    #[tokio::test]
    async fn tls_files_are_seen_to_change_to_come_and_to_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let identity = IdentityRules {
            trust_bundle: path("roots"),
            trust_domain: model::identity::TrustDomain::new("d").unwrap(),
        };
        let materials = MaterialPaths::one(path("leaf"), path("key"));
        let TlsPolicy::Tls(rules) = TlsPolicy::identities(materials, identity) else { panic!() };
        let rules = Arc::new(rules);
        for name in ["leaf", "key", "roots"] {
            let before = look(&rules).await;
            std::fs::write(path(name), "one").unwrap();
            let there = look(&rules).await;
            assert_ne!(before, there, "{name}");
            assert_eq!(there, look(&rules).await, "{name}");
            std::fs::write(path("new"), "two").unwrap();
            std::fs::rename(path("new"), path(name)).unwrap();
            let replaced = look(&rules).await;
            assert_ne!(there, replaced, "{name}");
            std::fs::remove_file(path(name)).unwrap();
            assert_ne!(replaced, look(&rules).await, "{name}");
        }
        std::fs::write(path("elsewhere"), "x").unwrap();
        let quiet = look(&rules).await;
        assert_eq!(quiet, settled(&rules, Duration::from_millis(1), 3).await);
    }
}
