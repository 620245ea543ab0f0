//! Engines decide; they do not look at clocks, draw random numbers or touch files and sockets.
//! Inside `master` and `agent` no crate boundary says so, hence this look at the text.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// Where the rule holds.
const PURE_FOLDERS: &[&str] = &["crates/master/src/engine", "crates/agent/src/engine"];

/// What must not stand there, and why.
const FORBIDDEN: &[(&str, &str)] = &[
    ("tokio::", "an engine does not wait"),
    ("std::fs", "an engine touches no files"),
    ("std::net::Tcp", "an engine opens no sockets"),
    ("std::process", "an engine starts nothing"),
    ("std::env", "an engine reads no environment"),
    ("SystemTime::now", "time is an argument"),
    ("time::Instant::now", "time is an argument"),
    ("rand::rng()", "randomness is seeded by the driver"),
    ("thread_rng", "randomness is seeded by the driver"),
    ("Uuid::new_v4", "identifiers come from the seeded generator"),
    ("transport::", "an engine does not know the transport"),
    ("hyper::", "an engine does not know HTTP"),
];

pub(crate) fn check(root: &Path) -> anyhow::Result<()> {
    let mut wrong = Vec::new();
    for folder in PURE_FOLDERS {
        let folder = root.join(folder);
        let mut files = Vec::new();
        rust_files(&folder, &mut files)?;
        if files.is_empty() {
            bail!("{} holds no Rust files: has the engine moved?", folder.display());
        }
        for file in files {
            let text =
                std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            for (number, line) in text.lines().enumerate() {
                if line.trim_start().starts_with("//") {
                    continue;
                }
                for (word, reason) in FORBIDDEN {
                    if line.contains(word) {
                        wrong.push(format!(
                            "{}:{}: `{word}`: {reason}",
                            file.display(),
                            number + 1
                        ));
                    }
                }
            }
        }
    }
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    Ok(())
}

fn rust_files(folder: &Path, into: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    for entry in entries {
        let path = entry?.path();
        // Tests may play the driver, which does touch files.
        if path.file_stem().is_some_and(|stem| stem == "tests") {
            continue;
        }
        if path.is_dir() {
            rust_files(&path, into)?;
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
    Ok(())
}
