//! Runs the parts of a command one after the other and keeps how long each took.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// What was run so far, in order.
#[derive(Debug, Default)]
pub(crate) struct Steps(Vec<(String, Duration)>);

impl Steps {
    /// Runs a part that is our own code.
    pub(crate) fn check<T>(
        &mut self,
        name: &str,
        part: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        eprintln!("xtask: {name}");
        let start = Instant::now();
        let result = part();
        self.0.push((name.to_owned(), start.elapsed()));
        result.with_context(|| name.to_owned())
    }

    /// Runs `cargo` with these arguments and variables.
    pub(crate) fn cargo(
        &mut self,
        name: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> anyhow::Result<()> {
        self.check(name, || {
            let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
            let status = Command::new(cargo)
                .args(arguments)
                .envs(environment.iter().copied())
                .status()
                .context("cargo cannot be started")?;
            if !status.success() {
                bail!("`cargo {}` ended with {status}", arguments.join(" "));
            }
            Ok(())
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Prints how long each part took.
    pub(crate) fn print(&self) {
        let width = self.0.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        let total: Duration = self.0.iter().map(|(_, took)| *took).sum();
        eprintln!();
        for (name, took) in &self.0 {
            eprintln!("xtask: {name:width$} {:7.1} s", took.as_secs_f64());
        }
        eprintln!("xtask: {:width$} {:7.1} s", "in all", total.as_secs_f64());
    }
}
