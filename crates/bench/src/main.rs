//! Figures about speed and memory. `cargo xtask bench` builds this and runs it.
//!
//! One program in several roles: called as `tls` it measures, and starts itself as the servers
//! that are measured, each a process of its own. It is the client itself. What is compared is
//! measured by turns within one run; no figure makes it fail.

mod authority;
mod bare;
mod child;
mod figures;
mod hammer;
mod proc;
mod serve;
mod tls;

use std::process::ExitCode;

use anyhow::{Context as _, bail};

/// What the daemons allocate with.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const USAGE: &str = "\
usage: alcazar-bench tls [part …] [--runs <number>] [--connections <number>]

  handshakes   server CPU per full and per resumed handshake, against a bare accept loop
  bulk         throughput of a download, against the same loop and `openssl s_server -WWW`
  messages     libprocess messages per second over one link, TLS against plaintext
  idle         memory and CPU of idle TLS connections
  (no part: all of them)
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("alcazar-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> anyhow::Result<()> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["tls", rest @ ..] => tls::run(&plan(rest)?),
        // How `child` starts the servers.
        ["serve", how, directory, key] => {
            serve::run(how.parse()?, &authority::Paths::of(directory.as_ref(), key.parse()?))
        }
        _ => bail!("{USAGE}"),
    }
}

fn plan(words: &[&str]) -> anyhow::Result<tls::Plan> {
    let mut plan = tls::Plan::default();
    let mut words = words.iter();
    while let Some(&word) = words.next() {
        let mut number = || {
            let next = words.next().and_then(|word| word.parse::<usize>().ok());
            next.filter(|number| *number > 0).with_context(|| format!("{word} needs a number"))
        };
        match word {
            "--runs" => plan.runs = number()?,
            "--connections" => plan.connections = number()?,
            part => plan.parts.push(part.parse()?),
        }
    }
    Ok(plan)
}
