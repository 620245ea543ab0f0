//! The command line of `alcazar`.

use std::ffi::OsString;
use std::path::PathBuf;

use authn::secret::Secret;
use clap::{Args, Parser, Subcommand};

use crate::commands;
use crate::exit;
use crate::printer::{Color, Format};

/// Mesos' wire version, for `--version`.
pub(crate) const VERSION: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (speaks Apache Mesos 1.12.0)");

/// A secure cluster manager that speaks Apache Mesos.
#[derive(Debug, Parser)]
#[command(name = "alcazar", version = VERSION, after_help = exit::HELP, max_term_width = 100)]
pub(crate) struct Alcazar {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// Where the cluster keeps its state [default: /var/lib/alcazar for root, else
    /// ~/.local/state/alcazar]
    #[arg(
        long,
        global = true,
        display_order = 900,
        value_name = "DIR",
        env = "ALCAZAR_STATE_DIR",
        hide_env_values = true
    )]
    pub(crate) state_dir: Option<PathBuf>,
    /// When to use colours
    #[arg(
        long,
        global = true,
        display_order = 901,
        value_enum,
        default_value_t,
        value_name = "WHEN"
    )]
    pub(crate) color: Color,
    #[command(flatten)]
    pub(crate) elsewhere: Elsewhere,
}

/// A cluster that `up` did not start on this machine, and what its masters and agents are
/// believed by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "A cluster elsewhere")]
pub(crate) struct Elsewhere {
    /// The master, such as https://master.example:5050; http:// for a cluster in plaintext
    #[allow(rustdoc::bare_urls, reason = "the text is shown in a terminal")]
    #[arg(
        long,
        global = true,
        display_order = 910,
        value_name = "URL",
        env = "ALCAZAR_MASTER",
        hide_env_values = true
    )]
    pub(crate) master: Option<String>,
    /// The certificates that vouch for the cluster's, PEM [default: the system's]
    #[arg(
        long,
        global = true,
        display_order = 911,
        value_name = "FILE",
        env = "ALCAZAR_TLS_CA",
        hide_env_values = true
    )]
    pub(crate) tls_ca: Option<PathBuf>,
    /// Your certificate and its intermediates, PEM
    #[arg(
        long,
        global = true,
        display_order = 912,
        value_name = "FILE",
        env = "ALCAZAR_TLS_CERTIFICATE",
        hide_env_values = true
    )]
    pub(crate) tls_certificate: Option<PathBuf>,
    /// Its key, PEM
    #[arg(
        long,
        global = true,
        display_order = 913,
        value_name = "FILE",
        env = "ALCAZAR_TLS_KEY",
        hide_env_values = true
    )]
    pub(crate) tls_key: Option<PathBuf>,
    /// Believe whoever answers: anybody in between can pose as the cluster
    #[arg(long, global = true, display_order = 914)]
    pub(crate) danger_unverified: bool,
    /// Who you are, where the cluster asks for a secret [default: $DEFAULT_PRINCIPAL]
    #[arg(long, global = true, display_order = 920, value_name = "NAME")]
    pub(crate) principal: Option<String>,
    /// The secret; whoever lists this machine's processes can read it
    /// [default: $DEFAULT_SECRET]
    #[arg(long, global = true, display_order = 921, value_name = "SECRET", value_parser = secret)]
    pub(crate) secret: Option<Secret>,
    /// A file with the secret: its first line, or `-` for standard input
    #[arg(
        long,
        global = true,
        display_order = 922,
        value_name = "FILE",
        conflicts_with = "secret"
    )]
    pub(crate) secret_file: Option<PathBuf>,
    /// Send the secret to agents too, for logs and the doctor, and not to the master alone
    #[arg(long, global = true, display_order = 923)]
    pub(crate) secret_to_agents: bool,
    /// Send the secret even where anybody could read it: in plaintext, to whoever answers
    #[arg(long, global = true, display_order = 924)]
    pub(crate) danger_expose_secret: bool,
}

fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::from(text))
}

/// What every command takes that shows something.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Show {
    /// How to print
    #[arg(long, short, value_enum, default_value_t, value_name = "FORM")]
    pub(crate) output: Format,
}

/// The commands, in the order of `--help`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a secure cluster on this machine
    Up(commands::up::Options),
    /// Run a command on the cluster and wait for it
    Execute(commands::execute::Options),
    /// Show the tasks
    Tasks(commands::tasks::Options),
    /// Show what a task printed
    Logs(commands::logs::Options),
    /// Kill a task
    Kill(commands::kill::Options),
    /// Show the agents
    Agents(commands::agents::Options),
    /// Show the frameworks
    Frameworks(commands::frameworks::Options),
    /// Show the cluster as a whole
    State(commands::state::Options),
    /// Look after files with principals and secrets
    Credentials(commands::credentials::Options),
    /// Say what is weak in a cluster or in an environment
    Doctor(commands::doctor::Options),
    /// Run a master; `alcazar master --help` shows its flags
    #[command(disable_help_flag = true)]
    Master(Flags),
    /// Run an agent; `alcazar agent --help` shows its flags
    #[command(disable_help_flag = true)]
    Agent(Flags),
    /// Print a completion script for a shell
    Completions(commands::completions::Options),
}

/// The flags of a daemon. They are read by their own table, which `main` asks before it asks
/// this; here they stand for `--help` and completions alone.
#[derive(Debug, Args)]
pub(crate) struct Flags {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "--FLAG=VALUE")]
    flags: Vec<OsString>,
}
