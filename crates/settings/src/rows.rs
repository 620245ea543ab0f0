//! The table: every flag and variable there is, in the order of the documentation.

mod agent;
mod agent_containers;
mod agent_network;
mod common;
mod execute;
mod master;
mod own;
mod tls;
mod variables;

use crate::row::{Place, Program, Row, Section};

/// The whole table.
pub const SECTIONS: &[Section] = &[
    common::LOGGING,
    master::ADDRESS,
    master::REGISTRY,
    master::AGENTS,
    master::OFFERS,
    master::SECURITY,
    master::MISCELLANEOUS,
    agent::ADDRESS,
    agent::DIRECTORIES,
    agent::EXECUTORS,
    agent::SECURITY,
    agent_containers::CONTAINERS,
    agent_containers::IMAGES,
    agent_network::NETWORK,
    agent::MISCELLANEOUS,
    execute::TASK,
    own::TLS,
    tls::FLAGS,
    tls::MORE_FLAGS,
    own::AUTHENTICATION,
    own::EXECUTOR_TOKENS,
    own::USERS,
    variables::LIBPROCESS,
    tls::VARIABLES,
    tls::MORE_VARIABLES,
    tls::WITHOUT_EFFECT,
];

/// The flags about TLS whose values the crate `tls-policy` reads.
pub(crate) fn tls_flags() -> impl Iterator<Item = &'static Row> {
    tls::FLAGS.rows.iter().chain(tls::MORE_FLAGS.rows)
}

/// The flags of `program`, those of our own names included.
pub fn flags(program: Program) -> impl Iterator<Item = (&'static Section, &'static Row)> {
    SECTIONS
        .iter()
        .filter(move |s| s.programs.contains(&program) && s.place != Place::Variables)
        .flat_map(|section| section.rows.iter().map(move |row| (section, row)))
}
