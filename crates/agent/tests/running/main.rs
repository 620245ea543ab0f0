//! An agent as a running program: real sockets, certificates, checkpoints, containers and
//! executors, and a master that does what the test says. This program is its own
//! `container-init`, `executor` and `fetcher`.
#![expect(clippy::unwrap_used, reason = "a test")]

mod fixture;
mod stories;

use std::ffi::OsString;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

/// A test and its name.
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        [$((stringify!($name), stories::$name as fn())),*]
    };
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    match arguments.get(1).and_then(|argument| argument.to_str()) {
        Some(executor::CONTAINER_INIT_COMMAND) => {
            return executor::container_init(&arguments[2..]);
        }
        Some(executor::COMMAND) => return executor::main(&arguments[2..]),
        Some(alcazar_agent::containerizer::fetcher::COMMAND) => {
            return alcazar_agent::containerizer::fetcher::main(&arguments[2..]);
        }
        _ => {}
    }
    let tests = tests![
        a_task_runs_to_its_end_and_what_it_printed_can_be_read,
        a_task_survives_its_agent_and_no_update_is_lost,
        a_killed_task_ends_and_nothing_of_it_is_left,
        a_call_without_its_containers_token_is_refused,
        strangers_get_nothing_and_messages_without_a_bound_sender_are_dropped,
        in_plaintext_a_task_runs_too,
        an_agent_over_tls_without_trust_for_executors_does_not_start,
        an_agent_that_is_told_to_shut_down_ends,
        authn_an_executor_renews_its_token_and_is_known_by_it_to_the_next_agent,
    ];
    let trials = tests.into_iter().map(|(name, test)| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}
