//! `alcazar credentials`: credential files, changed so that no daemon ever reads half of one.

mod change;
mod look;
mod secret;
mod store;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use model::identity::Kind;
use model::principal::Kinds;

use crate::args::{Elsewhere, Show};
use crate::exit::Failure;
use crate::printer::{Color, Printer};

/// The table for `--help`.
pub(crate) const HELP: &str = "\
Exit status:
  0  done; `check`: nothing is wrong, or the secret is the one
  1  failed; `check`: something is weak, or the secret is another
  2  wrong arguments, or a file that cannot be used
  5  no such principal";

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) what: What,
}

/// What is done.
#[derive(Debug, Subcommand)]
pub(crate) enum What {
    /// Add a principal to a file, which is made if there is none
    #[command(after_help = HELP)]
    Add(Add),
    /// Show who is in a file, and what is kept of their secrets
    #[command(after_help = HELP)]
    List(List),
    /// Put what verifies a secret in the place of the secret itself
    #[command(after_help = HELP)]
    Hash(Hash),
    /// Give a principal a new secret; the old one is valid as well until `--finish`
    #[command(after_help = HELP)]
    Rotate(Rotate),
    /// Remove a principal from a file
    #[command(after_help = HELP)]
    Remove(Remove),
    /// Say what is wrong or weak in a file, or whether a secret is a principal's
    #[command(after_help = HELP)]
    Check(Check),
}

/// The file of a master's `--credentials`, or of an agent's `--http_credentials`.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The credential file: --credentials of a master, --http_credentials of an agent
    pub(crate) file: PathBuf,
}

/// Where a secret comes from.
#[derive(Debug, Args)]
pub(crate) struct Source {
    /// Read the secret from the first line of FILE, or of standard input if it is `-` [default: a
    /// prompt; what is piped in, if there is no terminal]
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,
    /// Make a secret of 256 random bits
    #[arg(long, conflicts_with = "from")]
    pub(crate) generate: bool,
}

/// Where a secret goes besides.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// Also write principal and secret to FILE, as --credential of an agent takes it
    #[arg(long, value_name = "FILE")]
    pub(crate) credential: Option<PathBuf>,
    /// Print the secret
    #[arg(long)]
    pub(crate) show: bool,
}

/// What is kept of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// A verifier: for SCRAM-SHA-256 and for HTTP Basic
    #[value(name = "scram-sha-256")]
    Scram,
    /// A hash: for HTTP Basic and for PLAIN only
    #[value(name = "argon2id")]
    Argon2id,
    /// The secret itself: for CRAM-MD5, and for masters of the original
    #[value(name = "plain")]
    Plain,
}

#[derive(Debug, Args)]
pub(crate) struct Add {
    #[command(flatten)]
    place: Place,
    /// Who
    principal: String,
    /// What its bearer may speak as: agent, framework, operator; several with commas
    #[arg(long, value_name = "KINDS", value_parser = kinds)]
    kinds: Kinds,
    /// What to keep of the secret
    #[arg(long, value_name = "FORM", value_enum, default_value = "scram-sha-256")]
    keep: Form,
    /// How often SCRAM-SHA-256 hashes; more only helps secrets that can be guessed
    #[arg(long, value_name = "N", default_value_t = authn::accounts::derive::ITERATIONS,
          value_parser = iterations)]
    iterations: u32,
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    place: Place,
    /// Print the secrets that are kept as they are
    #[arg(long)]
    reveal: bool,
    #[command(flatten)]
    pub(crate) show: Show,
}

#[derive(Debug, Args)]
pub(crate) struct Hash {
    #[command(flatten)]
    place: Place,
    /// Whose [default: everybody's]
    principals: Vec<String>,
    /// What to keep of the secrets
    #[arg(long, value_name = "FORM", value_enum, default_value = "scram-sha-256")]
    keep: Form,
    /// How often SCRAM-SHA-256 hashes
    #[arg(long, value_name = "N", default_value_t = authn::accounts::derive::ITERATIONS,
          value_parser = iterations)]
    iterations: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Rotate {
    #[command(flatten)]
    place: Place,
    /// Who
    principal: String,
    /// End the rotation: only the new secret is valid
    #[arg(long, conflicts_with_all = ["from", "generate", "credential", "show"])]
    finish: bool,
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Args)]
pub(crate) struct Remove {
    #[command(flatten)]
    place: Place,
    /// Who
    principal: String,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    #[command(flatten)]
    place: Place,
    /// Whose secret to verify [default: look at the whole file]
    principal: Option<String>,
    /// Read the secret from the first line of FILE, or of standard input if it is `-` [default: a
    /// prompt; what is piped in, if there is no terminal]
    #[arg(long, value_name = "FILE", requires = "principal")]
    from: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) show: Show,
}

fn kinds(text: &str) -> Result<Kinds, String> {
    let all = Kind::ALL.map(Kind::as_str).join(", ");
    text.parse().map_err(|error| format!("{error}; expected some of {all}"))
}

fn iterations(text: &str) -> Result<u32, String> {
    use authn::accounts::derive::{ITERATIONS, MOST_ITERATIONS};
    let number = text.parse::<u32>().ok();
    let wrong = || format!("expected a number from {ITERATIONS} to {MOST_ITERATIONS}");
    number.filter(|n| (ITERATIONS..=MOST_ITERATIONS).contains(n)).ok_or_else(wrong)
}

/// Does it, and says with which exit status.
pub(crate) fn run(options: &Options, elsewhere: &Elsewhere, color: Color) -> anyhow::Result<u8> {
    if elsewhere.secret.is_some() || elsewhere.secret_file.is_some() {
        let why = "a secret comes from a prompt, a pipe or --from FILE; --secret and --secret-file \
                   are for clusters that ask who you are";
        return Err(Failure::Usage(why.to_owned()).into());
    }
    let printer = |show: Show| Printer { format: show.output, color };
    match &options.what {
        What::Add(options) => change::add(options),
        What::List(options) => look::list(options, printer(options.show)),
        What::Hash(options) => change::hash(options),
        What::Rotate(options) => change::rotate(options),
        What::Remove(options) => change::remove(options),
        What::Check(options) => look::check(options, printer(options.show)),
    }
}

/// That nobody in the file is called so.
fn unknown(place: &Place, principal: &str) -> anyhow::Error {
    let file = place.file.display();
    Failure::NotFound(format!("there is no \"{}\" in {file}", principal.escape_debug())).into()
}
