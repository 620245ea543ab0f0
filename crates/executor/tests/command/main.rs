//! The command executor as a process, against an agent that only this test knows. This program
//! is its own `container-init` and `executor`.
#![expect(clippy::unwrap_used, reason = "a test")]

mod agent;
mod fixture;
mod stories;

use std::ffi::OsString;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

/// A test and its name.
macro_rules! tests {
    ($($module:ident :: $name:ident),* $(,)?) => {
        [$((stringify!($name), $module::$name as fn())),*]
    };
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    match arguments.get(1).and_then(|argument| argument.to_str()) {
        Some(alcazar_executor::CONTAINER_INIT_COMMAND) => {
            return alcazar_executor::container_init(&arguments[2..]);
        }
        Some(alcazar_executor::COMMAND) => return alcazar_executor::main(&arguments[2..]),
        _ => {}
    }
    let tests = tests![
        stories::a_task_ends_with_its_exit_code,
        stories::a_task_in_argv_form_gets_its_environment_and_nothing_else,
        stories::the_token_is_on_every_call_and_nowhere_near_the_task,
        stories::a_kill_is_polite_first,
        stories::a_task_that_ends_when_asked_is_reported_as_it_ended,
        stories::nothing_of_a_task_runs_when_its_end_is_reported,
        stories::a_task_that_runs_too_long_fails,
        stories::a_task_that_cannot_start_fails_with_the_reason,
        stories::a_shutdown_ends_task_and_executor,
        stories::updates_survive_the_agent,
        stories::without_checkpointing_the_task_dies_with_the_agent,
        stories::another_agent_is_told_nothing,
        stories::an_executor_that_was_started_in_plaintext_follows_its_agent_to_tls_and_back,
        stories::an_executor_that_verifies_its_agent_over_tls_never_follows_it_to_plaintext,
        stories::an_executor_without_the_right_token_is_refused,
        stories::a_task_of_the_same_user_cannot_look_into_the_executor,
    ];
    let trials = tests
        .into_iter()
        .map(|(name, test)| {
            Trial::test(name, move || {
                test();
                Ok(())
            })
        })
        .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
