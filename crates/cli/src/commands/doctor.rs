//! `alcazar doctor`: says what is wrong before somebody else finds out.

pub(crate) mod auth;
pub(crate) mod tls;

mod asked;
mod library;
mod report;

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) what: What,
}

/// What is looked at.
#[derive(Debug, Subcommand)]
pub(crate) enum What {
    /// Say how far TLS protects, what an attacker on the network could still do, and which one
    /// line ends it
    #[command(after_help = tls::HELP)]
    Tls(tls::Options),
    /// Say who is asked who they are and who is not, what is weak about it, and which one line
    /// ends it
    #[command(after_help = auth::HELP)]
    Auth(auth::Options),
}
