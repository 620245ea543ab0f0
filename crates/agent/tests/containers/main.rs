//! The containerizer with real processes. This program is its own `container-init`, `executor`
//! and `fetcher`.
#![expect(clippy::unwrap_used, reason = "a test")]

mod fetching;
mod fixture;
mod living;
mod recovering;

use std::ffi::OsString;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

/// A test and its name.
macro_rules! tests {
    ($($module:ident :: $name:ident),* $(,)?) => {
        [$((concat!(stringify!($module), "::", stringify!($name)), $module::$name as fn())),*]
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
        fetching::a_file_of_the_machine_is_fetched,
        fetching::a_file_is_fetched_from_a_server,
        fetching::redirections_are_followed_within_limits,
        fetching::what_cannot_be_fetched_is_named,
        fetching::a_fetch_is_given_up_when_the_container_is_destroyed,
        fetching::a_silent_server_is_given_up,
        fetching::what_the_user_may_not_read_is_not_fetched,
        fetching::an_https_server_must_be_vouched_for,
        living::a_container_lives_and_ends,
        living::a_shell_command_is_run_by_a_shell,
        living::nothing_of_the_agent_is_inherited,
        living::the_material_is_on_standard_input_and_nowhere_else,
        living::nothing_survives_a_destroyed_container,
        living::a_container_that_does_not_end_when_asked_is_killed,
        living::nothing_survives_a_killed_first_process,
        living::a_container_runs_as_its_user,
        living::root_by_another_name_is_refused,
        living::a_user_that_cannot_reach_its_sandbox_is_told_which_directory,
        living::what_is_not_supported_is_refused_before_anything_is_made,
        living::a_program_that_is_not_there_ends_its_container,
        living::strangers_are_unknown,
        living::a_volume_is_in_the_sandbox_and_stays_when_the_container_ends,
        recovering::a_container_survives_its_agent,
        recovering::nothing_survives_a_recovered_container_that_is_killed,
        recovering::a_container_that_ended_meanwhile_has_ended,
        recovering::a_container_that_nobody_knows_is_ended,
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
