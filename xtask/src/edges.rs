//! Which crate may depend on which: arrows point down only (ARCHITECTURE.md).

use std::collections::{BTreeMap, BTreeSet};

use anyhow::bail;
use cargo_metadata::DependencyKind;

use crate::metadata::Graph;

/// A crate, and which of ours it may use. `testkit` may be used by tests only, and by everybody's;
/// the benchmarks, which are never shipped either, start the same emulated clusters.
const ALLOWED: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("wire", &["model"]),
    // Pure crates do not know each other; the programs join them.
    ("allocator", &["model"]),
    ("authn", &["model"]),
    ("authz", &["model"]),
    ("libprocess", &["model"]),
    ("pki", &["model"]),
    ("settings", &["model"]),
    ("tls-policy", &["model"]),
    // Drivers.
    ("endpoints", &["authn", "libprocess", "model", "tls-policy", "transport", "wire"]),
    ("launch", &["model", "tls-policy"]),
    ("registry", &["model", "wire"]),
    ("transport", &["authn", "libprocess", "model", "tls-policy", "wire"]),
    ("scheduler", &["authn", "libprocess", "model", "transport", "wire"]),
    // Programs.
    ("executor", &["launch", "libprocess", "model", "tls-policy", "transport", "wire"]),
    (
        "agent",
        &[
            "authn",
            "endpoints",
            "launch",
            "libprocess",
            "model",
            "settings",
            "tls-policy",
            "transport",
            "wire",
        ],
    ),
    (
        "master",
        &[
            "allocator",
            "authn",
            "authz",
            "endpoints",
            "libprocess",
            "model",
            "registry",
            "settings",
            "tls-policy",
            "transport",
            "wire",
        ],
    ),
    (
        "cli",
        &[
            "agent",
            "authn",
            "endpoints",
            "executor",
            "libprocess",
            "master",
            "model",
            "pki",
            "registry",
            "scheduler",
            "settings",
            "tls-policy",
            "transport",
            "wire",
        ],
    ),
    (
        "bench",
        &[
            "allocator",
            "authn",
            "endpoints",
            "libprocess",
            "master",
            "model",
            "registry",
            "testkit",
            "tls-policy",
            "transport",
            "wire",
        ],
    ),
    (
        "testkit",
        &["authn", "endpoints", "libprocess", "model", "pki", "tls-policy", "transport", "wire"],
    ),
    ("simulator", &["agent", "authz", "libprocess", "master", "model", "registry", "wire"]),
];

/// What a pure crate must not reach, directly: an engine that could open a socket sooner or later does.
const PURE: &[&str] =
    &["model", "wire", "allocator", "authn", "authz", "libprocess", "settings", "tls-policy"];
const IMPURE: &[&str] = &["tokio", "hyper", "openssl", "rustix", "nix", "redb"];

pub(crate) fn check(graph: &Graph) -> anyhow::Result<()> {
    let allowed: BTreeMap<&str, BTreeSet<&str>> =
        ALLOWED.iter().map(|(name, to)| (*name, to.iter().copied().collect())).collect();
    let mut wrong = Vec::new();
    for package in graph.members() {
        let Some(name) = package.name.strip_prefix("alcazar-") else { continue };
        let Some(allowed) = allowed.get(name) else {
            wrong.push(format!("crate {name} has no row in the table of allowed edges"));
            continue;
        };
        for dependency in &package.dependencies {
            let development = dependency.kind == DependencyKind::Development;
            if let Some(to) = dependency.name.strip_prefix("alcazar-") {
                if to == "testkit" && !development && name != "bench" {
                    wrong.push(format!("{name} uses testkit outside its tests"));
                } else if !development && !allowed.contains(to) {
                    wrong.push(format!("{name} must not depend on {to}"));
                }
            } else if !development
                && PURE.contains(&name)
                && IMPURE.contains(&dependency.name.as_str())
            {
                wrong.push(format!("{name} is pure and must not depend on {}", dependency.name));
            }
        }
    }
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    Ok(())
}
