//! Builds the program with the benchmarks and runs it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, bail};

use crate::metadata::Graph;
use crate::steps::Steps;

const USAGE: &str = "\
usage: cargo xtask bench
       cargo xtask bench tls [part …] [--runs <number>] [--connections <number>]
       cargo xtask bench auth [mechanism …] [--runs <number>] [--agents <number>] [--principals one|each]
       cargo xtask bench master [sockets] [idle] [memory] [--agents <number>] [--against <ip:port>] …
       cargo xtask bench allocator [quota] [refusals] [crowd]
       cargo xtask bench resources [part …] [--runs <number>]
       cargo xtask bench state [--agents <number>] [--tasks <number>]
       cargo xtask bench swarm --against <ip:port> …

  tls    handshakes, bulk, messages, idle: TLS against the library alone and against plaintext
  auth   cram-md5, scram-sha-256: agents that authenticate and register with a restarted master
  master  registering, launching, reading, memory: emulated agents and frameworks against a real
          master, ours or any at an address, and against the engine alone
  allocator  allocation runs in the original's set-ups, beside the original's figures
  resources  arithmetic on resources beside the original's figures
  state  reading the state of a large cluster over HTTP, quiet and while it changes; memory for
         what is in it
  swarm  emulated agents against a master that runs already, until interrupted; not a benchmark
  (no name: all benchmarks)

`--libssl system` links the libssl of this machine, `vendored` the one that releases have. Without
it the one is taken that the `openssl` command has, if we can link it: that command is compared with.
";

/// Which TLS library is linked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Libssl {
    System,
    Vendored,
}

/// Runs the benchmarks that `arguments` name.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let mut words = arguments.iter().map(String::as_str);
    let names = match words.next() {
        None => vec!["tls", "auth", "allocator", "master", "resources", "state"],
        Some(
            name @ ("allocator" | "auth" | "master" | "resources" | "state" | "swarm" | "tls"),
        ) => vec![name],
        Some(_) => bail!("{USAGE}"),
    };
    let mut libssl = None;
    let mut passed_on = Vec::new();
    while let Some(word) = words.next() {
        if word == "--libssl" {
            libssl = Some(match words.next() {
                Some("system") => Libssl::System,
                Some("vendored") => Libssl::Vendored,
                _ => bail!("{USAGE}"),
            });
        } else {
            passed_on.push(word);
        }
    }
    let program = build(libssl.unwrap_or_else(usual))?;
    for name in names {
        let status = Command::new(&program).arg(name).args(&passed_on).status();
        let status = status.with_context(|| program.display().to_string())?;
        if !status.success() {
            bail!("the benchmark `{name}` ended with {status}");
        }
    }
    Ok(())
}

/// The system's, if it can be linked and is that of the `openssl` command.
fn usual() -> Libssl {
    let said = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let linkable = said("pkg-config", &["--modversion", "openssl"]);
    // "OpenSSL 3.0.19 27 Jan 2026 (Library: …)"
    let command = said("openssl", &["version"]);
    match (linkable, command.as_deref().and_then(|text| text.split(' ').nth(1))) {
        (Some(linkable), Some(command)) if linkable == command => Libssl::System,
        _ => Libssl::Vendored,
    }
}

fn build(libssl: Libssl) -> anyhow::Result<PathBuf> {
    // The second is what `auth` storms.
    let mut arguments = vec!["build", "--release", "--quiet"];
    arguments.extend(["--package", "alcazar-bench", "--package", "alcazar-cli"]);
    let mut environment = Vec::new();
    if libssl == Libssl::System {
        arguments.push("--no-default-features");
        environment.push(("OPENSSL_NO_VENDOR", "1"));
    }
    Steps::default().cargo("build the benchmarks", &arguments, &environment)?;
    Ok(Graph::load()?.target().join("release/alcazar-bench"))
}
