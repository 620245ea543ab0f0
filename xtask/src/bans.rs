//! The rules of `deny.toml` that need nothing but `cargo metadata`.

use std::collections::BTreeSet;

use anyhow::{Context, bail};
use serde::Deserialize;
use spdx::{Expression, ParseMode};

use crate::metadata::Graph;

#[derive(Deserialize)]
struct Deny {
    bans: Bans,
    licenses: Licenses,
    sources: Sources,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Banned>,
}

#[derive(Deserialize)]
struct Banned {
    #[serde(rename = "crate")]
    name: String,
    #[serde(default)]
    wrappers: Vec<String>,
}

#[derive(Deserialize)]
struct Licenses {
    allow: BTreeSet<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sources {
    unknown_registry: String,
    unknown_git: String,
}

pub(crate) fn check(graph: &Graph) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(graph.root().join("deny.toml")).context("deny.toml")?;
    let deny: Deny = toml::from_str(&text).context("deny.toml")?;
    if deny.sources.unknown_registry != "deny" || deny.sources.unknown_git != "deny" {
        bail!("deny.toml: `[sources]` must deny unknown registries and git repositories");
    }
    let dependents = graph.dependents();
    let mut wrong = Vec::new();
    for package in graph.foreign() {
        let name = format!("{} {}", package.name, package.version);
        if let Some(banned) = deny.bans.deny.iter().find(|b| b.name == *package.name) {
            let by = dependents.get(&package.id).map(Vec::as_slice).unwrap_or_default();
            if !by.iter().all(|d| banned.wrappers.iter().any(|w| w == d)) {
                wrong.push(format!("{name} is banned; it comes with {}", by.join(", ")));
            }
        }
        match &package.source {
            Some(source) if source.repr.starts_with("registry+") => {}
            Some(source) => wrong.push(format!("{name} comes from {source}")),
            None => wrong.push(format!("{name} is a path outside the workspace")),
        }
        match package.license.as_deref() {
            None => wrong.push(format!("{name} names no licence")),
            Some(license) => match Expression::parse_mode(license, ParseMode::LAX) {
                Err(error) => wrong.push(format!("{name}: licence `{license}`: {}", error.reason)),
                Ok(expression) => {
                    let allowed =
                        |r: &spdx::LicenseReq| deny.licenses.allow.contains(&r.to_string());
                    if !expression.evaluate(allowed) {
                        wrong.push(format!("{name}: licence `{license}` is not allowed"));
                    }
                }
            },
        }
    }
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    Ok(())
}
