//! The `alcazar` binary: the cluster's daemons and the commands of its users.
//!
//! It joins the other crates: reads arguments, environment and files, and starts what they
//! describe. Called by one of the names of the original (`mesos-master`, `mesos-agent`,
//! `mesos-execute`) it behaves as that program.

mod args;
mod authentication;
mod client;
mod cluster;
mod commands;
mod credential;
mod duration;
mod exit;
mod find;
mod lock;
mod printer;
mod replace;
mod security;
mod signals;
mod state_dir;
mod supervised;
mod task;
mod up;
mod when;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use agent::containerizer::fetcher;
use anyhow::Context as _;
use clap::Parser as _;
use settings::Naming;

use args::{Alcazar, Command, Global, Show};
use client::Client;
use commands::doctor::What;
use printer::{Color, Printer, Tone};
use state_dir::StateDir;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    let name = Path::new(&name).file_name().and_then(OsStr::to_str).unwrap_or_default();
    let rest: Vec<OsString> = arguments.collect();
    match name {
        "mesos-master" => ended(commands::master::run(Naming::Mesos, rest)),
        "mesos-agent" => ended(commands::agent::run(Naming::Mesos, rest)),
        "mesos-execute" => ended(commands::mesos_execute::run(rest)),
        _ => match rest.first().and_then(|word| word.to_str()) {
            // These read their arguments by tables of their own.
            Some("master") => ended(commands::master::run(Naming::Alcazar, behind(rest))),
            Some("agent") => ended(commands::agent::run(Naming::Alcazar, behind(rest))),
            // Other processes of ours call these. First thing: they need a process of one thread.
            Some(executor::COMMAND) => executor::main(&behind(rest)),
            Some(fetcher::COMMAND) => fetcher::main(&behind(rest)),
            Some(executor::CONTAINER_INIT_COMMAND) => executor::container_init(&behind(rest)),
            _ => command(),
        },
    }
}

/// What stands behind the command's name.
fn behind(mut arguments: Vec<OsString>) -> Vec<OsString> {
    arguments.remove(0);
    arguments
}

/// Ends a daemon.
fn ended(outcome: anyhow::Result<u8>) -> ExitCode {
    match outcome {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            complain(&error, Color::Auto);
            ExitCode::from(exit::status_of(&error))
        }
    }
}

/// Everything that is no daemon.
fn command() -> ExitCode {
    // `clap` prints what it has to say about the arguments and ends with 0 or 2.
    let Alcazar { global, command } = Alcazar::parse();
    let execute = matches!(command, Command::Execute(_));
    match run(&global, command) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            complain(&error, global.color);
            let status = exit::status_of(&error);
            // The other numbers belong to the task.
            let own = execute && status != exit::USAGE;
            ExitCode::from(if own { exit::EXECUTE_FAILED } else { status })
        }
    }
}

/// One line, whatever the causes say.
fn complain(error: &anyhow::Error, color: Color) {
    let word = Tone::Bad.paint("error:", color.on_stderr());
    printer::say(&format!("{word} {}", printer::printable(&format!("{error:#}"))));
}

fn run(global: &Global, command: Command) -> anyhow::Result<u8> {
    let done = |()| exit::SUCCESS;
    let printer = |show: Show| Printer { format: show.output, color: global.color };
    let dir = || StateDir::resolve(global.state_dir.as_deref());
    let find = || Client::find(&dir()?, &global.elsewhere);
    match command {
        Command::Up(options) => {
            if global.elsewhere != args::Elsewhere::default() {
                let why = "`up` starts a cluster on this machine, --master names one elsewhere";
                return Err(exit::Failure::Usage(why.to_owned()).into());
            }
            let dir = dir()?;
            block_on(commands::up::run(&options, &dir, global.color)).map(done)
        }
        Command::Execute(options) => {
            block_on(commands::execute::run(&options, &mut find()?, global.color))
        }
        Command::Tasks(options) => {
            block_on(commands::tasks::run(&options, &mut find()?, printer(options.show))).map(done)
        }
        Command::Logs(options) => block_on(commands::logs::run(&options, &mut find()?)).map(done),
        Command::Kill(options) => block_on(commands::kill::run(&options, &mut find()?)).map(done),
        Command::Agents(options) => {
            block_on(commands::agents::run(&mut find()?, printer(options.show))).map(done)
        }
        Command::Frameworks(options) => {
            block_on(commands::frameworks::run(&options, &mut find()?, printer(options.show)))
                .map(done)
        }
        Command::State(options) => {
            block_on(commands::state::run(&mut find()?, printer(options.show))).map(done)
        }
        Command::Credentials(options) => {
            commands::credentials::run(&options, &global.elsewhere, global.color)
        }
        Command::Doctor(commands::doctor::Options { what: What::Tls(options) }) => {
            let printer = Printer { format: options.format(), color: global.color };
            if options.from_env {
                commands::doctor::tls::from_environment(printer)
            } else {
                block_on(commands::doctor::tls::from_cluster(&mut find()?, printer))
            }
        }
        Command::Doctor(commands::doctor::Options { what: What::Auth(options) }) => {
            let printer = Printer { format: options.format(), color: global.color };
            if options.from_env {
                commands::doctor::auth::from_environment(&options, printer)
            } else {
                block_on(commands::doctor::auth::from_cluster(&mut find()?, printer))
            }
        }
        Command::Completions(options) => commands::completions::run(&options).map(done),
        Command::Master(_) | Command::Agent(_) => {
            anyhow::bail!("the name of a daemon stands before all options")
        }
    }
}

/// Runs a client command. One thread is enough for all of them.
fn block_on<T>(command: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(command)
}

#[cfg(test)]
mod tests;
