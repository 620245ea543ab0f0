//! Figures about speed and memory. `cargo xtask bench` builds this and runs it.
//!
//! One program in several roles: called as `tls` it measures, and starts itself as the servers
//! that are measured, each a process of its own. It is the client itself. What is compared is
//! measured by turns within one run; no figure makes it fail.

mod allocator;
mod arguments;
mod auth;
mod authority;
mod bare;
mod child;
mod cluster;
mod daemon;
mod figures;
mod hammer;
mod resources;
mod serve;
mod state;
mod tls;

use std::process::ExitCode;

use anyhow::bail;
use testkit::swarm::process;

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

usage: alcazar-bench auth [mechanism …] [--runs <number>] [--agents <number>] [--principals one|each]

  cram-md5, scram-sha-256, scram-sha-256-plus (over TLS)
               agents that authenticate and register with a restarted master
  (no mechanism: all of them; without --principals both)

usage: alcazar-bench master [sockets] [idle] [memory] [--agents <number>] [--tasks <number>]
           [--frameworks <number>] [--against <ip:port> [--pid <number>]]

  sockets      emulated agents and frameworks against a real master, ours or any at that address
  idle         of these no more than the memory that registered agents take
  memory       20,000 agents that register again with the engine alone
  (no part: both; with --against only sockets)

usage: alcazar-bench allocator [quota] [refusals] [crowd]

  allocation runs in the original's set-ups, beside the original's figures

usage: alcazar-bench resources [arithmetic] [filter] [contains] [parse] [ranges] [--runs <number>]

  arithmetic on resources beside the original's figures
  (no part: all of them)

usage: alcazar-bench state [--agents <number>] [--tasks <number>]

  memory of agents and tasks, and reads of their state over HTTP: quiet, beneath /health and while
  it changes; tasks are so many running and as many ended ones of each agent (10,000 agents and
  10 tasks, as in the original's figures)

usage: alcazar-bench swarm --against <ip:port> [--agents <number>]
           [--principal <name> --secret-file <path> [--principals one|each] [--mechanisms <name,…>]]
           [--tls-roots <path> --tls-chain <path> --tls-key <path>]
           [--frameworks <number> [--tasks <number>] [--life <seconds>]] [--churn <seconds>]

  emulated agents that authenticate and register with any master, until interrupted; with
  `--principals each` the name of each is the given one with its number behind it; frameworks
  keep so many tasks of that life (each 100, 10 s) running; with `--churn` every so many seconds
  an agent crashes, disappears, loses its connections or joins
";

/// A swarm in a process of its own: this program, in another role.
fn swarm_process(settings: &testkit::swarm::Settings) -> anyhow::Result<process::SwarmProcess> {
    let mut command = std::process::Command::new(std::env::current_exe()?);
    command.args(["swarm", "--by-pipe"]);
    process::SwarmProcess::start(command, settings)
}

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
        ["tls", rest @ ..] => tls::run(&arguments::tls(rest)?),
        ["auth", rest @ ..] => auth::run(&arguments::auth(rest)?),
        ["master", rest @ ..] => cluster::run(&arguments::master(rest)?),
        ["allocator", rest @ ..] => allocator::run(rest),
        ["resources", rest @ ..] => resources::run(rest),
        ["state", rest @ ..] => state::run(rest),
        // How a swarm is started in a process of its own.
        ["swarm", "--by-pipe"] => process::serve(),
        ["swarm", rest @ ..] => {
            let swarm = arguments::swarm(rest)?;
            process::against(swarm.master, &swarm.settings, swarm.demand, swarm.churn)
        }
        // How `child` starts the servers.
        ["serve", how, directory, key] => {
            serve::run(how.parse()?, &authority::Paths::of(directory.as_ref(), key.parse()?))
        }
        _ => bail!("{USAGE}"),
    }
}
