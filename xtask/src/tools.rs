//! What tests need besides the toolchain. It is fetched under `target/tools`; nothing outside the
//! workspace is changed.

mod debian;
mod node;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// The version that is installed where no cargo-nextest is found.
const NEXTEST: &str = "0.9.143";

/// Python packages that tests run as foreign clients and scanners, pinned.
const PYTHON_PACKAGES: &[&str] = &["mesoshttp==0.4.2", "sslyze==6.3.1"];

/// Where the tools are.
#[derive(Debug)]
pub(crate) struct Tools {
    /// Binaries that were installed here, searched first.
    bin: PathBuf,
    /// A Python interpreter that has the packages of [`PYTHON_PACKAGES`], if one can be had.
    python: Option<PathBuf>,
    /// Node.js with the packages of [`node`], if they can be had.
    node: Option<node::Node>,
}

impl Tools {
    /// Finds or fetches everything.
    pub(crate) fn fetch() -> anyhow::Result<Self> {
        let home = target_directory()?.join("tools");
        std::fs::create_dir_all(&home).with_context(|| home.display().to_string())?;
        let bin = home.join("bin");
        if !has_cargo_subcommand("nextest") && !bin.join("cargo-nextest").exists() {
            eprintln!("xtask: building cargo-nextest {NEXTEST} under {}", home.display());
            run(Command::new("cargo")
                .args(["install", "cargo-nextest", "--locked"])
                .args(["--version", NEXTEST, "--root"])
                .arg(&home))?;
        }
        debian::fetch(&home, &bin);
        let python = python(&home)?;
        let node = node::fetch(&home, python.as_deref());
        Ok(Self { bin, python, node })
    }

    /// Variables for the tests.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let mut variables = Vec::new();
        if let Ok(path) = std::env::var("PATH") {
            variables.push(("PATH", format!("{}:{path}", self.bin.display())));
        }
        if let Some(python) = &self.python {
            variables.push(("ALCAZAR_TEST_PYTHON", python.display().to_string()));
        }
        if let Some(node) = &self.node {
            variables.push(("ALCAZAR_TEST_NODE", node.program.display().to_string()));
            variables.push(("ALCAZAR_TEST_NODE_MODULES", node.modules.display().to_string()));
        }
        variables
    }
}

/// Whether `cargo <name>` exists.
pub(crate) fn has_cargo_subcommand(name: &str) -> bool {
    Command::new("cargo")
        .args([name, "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// A virtual environment with the foreign clients, made once per set of versions.
fn python(home: &Path) -> anyhow::Result<Option<PathBuf>> {
    let environment = home.join("python");
    let interpreter = environment.join("bin/python");
    let stamp = environment.join("packages.txt");
    let wanted = PYTHON_PACKAGES.join("\n");
    if std::fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return Ok(Some(interpreter));
    }
    let usable = Command::new("python3")
        .args(["-c", "import venv, ensurepip"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !usable {
        eprintln!(
            "xtask: no Python with venv: tests with foreign clients will be skipped \
             (on Debian: apt-get install python3-venv)"
        );
        return Ok(None);
    }
    eprintln!("xtask: fetching {} into {}", PYTHON_PACKAGES.join(", "), environment.display());
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment))?;
    let installed = run(Command::new(&interpreter)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(PYTHON_PACKAGES));
    if let Err(error) = installed {
        eprintln!("xtask: tests with foreign clients and scanners will be skipped: {error:#}");
        return Ok(None);
    }
    std::fs::write(&stamp, wanted).with_context(|| stamp.display().to_string())?;
    Ok(Some(interpreter))
}

fn target_directory() -> anyhow::Result<PathBuf> {
    let metadata =
        cargo_metadata::MetadataCommand::new().no_deps().exec().context("cargo metadata")?;
    Ok(metadata.target_directory.into_std_path_buf())
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("{command:?}"))?;
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(())
}
