//! Programs that are not ours and that tests start. `cargo xtask test` fetches them.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// What of Debian's packages has a program whose name is not the package's.
const PACKAGES: &[(&str, &str)] =
    &[("certutil", "libnss3-tools"), ("cfssl", "golang-cfssl"), ("cfssljson", "golang-cfssl")];

/// How long any of them may take, in seconds: less than a test may.
const LIMIT: &str = "150";

/// A command that runs `program` to its end, which comes in time. `None`, and a notice that names
/// the line which would install it, where it is missing.
#[must_use]
pub fn tool(program: &str) -> Option<Command> {
    path(program).map(limited)
}

/// The same for a program that goes on until it is killed, which
/// [`crate::process::Process`] does.
#[must_use]
pub fn server(program: &str) -> Option<Command> {
    path(program).map(Command::new)
}

fn path(program: &str) -> Option<PathBuf> {
    let there = find(&[program]);
    if there.is_none() {
        let package = PACKAGES.iter().find(|(name, _)| *name == program);
        let package = package.map_or(program, |(_, package)| package);
        crate::skipped(&format!("no {program} (on Debian: apt-get install {package})"));
    }
    there
}

/// A browser without a window, in whichever packaging.
#[must_use]
pub fn browser() -> Option<Command> {
    let there = find(&["chromium-headless-shell", "chromium"]);
    if there.is_none() {
        crate::skipped("no chromium (on Debian: apt-get install chromium-headless-shell)");
    }
    there.map(limited)
}

/// The Python interpreter that has our packages.
#[must_use]
pub fn python() -> Option<Command> {
    let python = std::env::var_os("ALCAZAR_TEST_PYTHON").map(PathBuf::from);
    if python.is_none() {
        crate::skipped(
            "no Python with our packages: `cargo xtask test` makes it where there is one with venv \
             (on Debian: apt-get install python3-venv)",
        );
    }
    python.map(limited)
}

/// Runs a command to its end without input and returns standard output and standard error, as
/// text.
///
/// # Panics
/// If it cannot be started.
#[must_use]
pub fn run(command: &mut Command) -> (Output, String) {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let text = [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat();
    (output, text)
}

fn find(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let mut candidates =
        names.iter().flat_map(|name| directories.iter().map(move |directory| directory.join(name)));
    candidates.find(|candidate| candidate.is_file())
}

/// The same, but ended when it takes too long.
fn limited(program: PathBuf) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", LIMIT]).arg(program);
    command
}
