//! Pages that promise a test by its name: the test must exist.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// The pages, and where tests live.
const PAGES: &[&str] = &["docs/security/invariants.md", "docs/dev/status.md"];
const SOURCES: &[&str] = &["crates", "tests", "xtask"];

pub(crate) fn check(root: &Path) -> anyhow::Result<()> {
    let mut tests = BTreeSet::new();
    for folder in SOURCES {
        collect(&root.join(folder), &mut tests)?;
    }
    let mut wrong = Vec::new();
    for page in PAGES {
        let text = std::fs::read_to_string(root.join(page)).context(*page)?;
        for (number, line) in text.lines().enumerate() {
            // Every second piece stands between backticks.
            for name in line.split('`').skip(1).step_by(2) {
                if is_test_name(name) && !tests.contains(name) {
                    wrong.push(format!("{page}:{}: no test is called `{name}`", number + 1));
                }
            }
        }
    }
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    Ok(())
}

/// A sentence in snake case: what else stands between backticks has dots, colons or few words.
fn is_test_name(name: &str) -> bool {
    name.matches('_').count() >= 3
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn collect(folder: &Path, into: &mut BTreeSet<String>) -> anyhow::Result<()> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    for entry in entries {
        let path: PathBuf = entry?.path();
        if path.is_dir() {
            collect(&path, into)?;
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text =
                std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            let mut is_test = false;
            for line in text.lines().map(str::trim_start) {
                if line.starts_with("#[") {
                    is_test =
                        line.starts_with("#[test]") || line.starts_with("#[tokio::test") || is_test;
                    is_test &= !line.starts_with("#[ignore");
                    continue;
                }
                let line = line.strip_prefix("async ").unwrap_or(line);
                if let (true, Some(rest)) = (is_test, line.strip_prefix("fn ")) {
                    into.insert(rest.chars().take_while(|c| *c != '(' && *c != '<').collect());
                }
                is_test &= line.starts_with("//") || line.is_empty();
            }
        }
    }
    Ok(())
}
