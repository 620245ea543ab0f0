//! Builds the simulator and runs it.

use std::process::Command;

use anyhow::{Context, bail};

use crate::metadata::Graph;
use crate::steps::Steps;

/// Runs clusters as `arguments` say. The engines' own checks are on, as in tests.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let build = ["build", "--quiet", "--package", "alcazar-simulator"];
    Steps::default().cargo("build the simulator", &build, &[])?;
    let program = Graph::load()?.target().join("debug/alcazar-simulator");
    let status = Command::new(&program).args(arguments).status();
    let status = status.with_context(|| program.display().to_string())?;
    if !status.success() {
        bail!("the simulation ended with {status}");
    }
    Ok(())
}
