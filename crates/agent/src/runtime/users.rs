//! The users of tasks under our own commands, as far as the machine has to say something.

use std::path::Path;

use nix::unistd::{User, geteuid};

use crate::containerizer::{LaunchError, RunAs, check_passable, resolve_user};
use crate::engine::users::{Confined, TaskUserPolicy};

/// Why tasks could not run.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// The agent's own user has no name.
    #[error("the agent's own user, number {uid}, cannot be looked up: {cause}")]
    Own {
        /// Its number.
        uid: u32,
        /// Why not.
        cause: String,
    },
    /// The cluster's task user cannot be had.
    #[error("tasks cannot run: {0}")]
    TaskUser(LaunchError),
    /// The cluster's task user cannot reach its sandboxes.
    #[error("tasks of user '{user}' could not reach their sandboxes: {source}")]
    Impassable {
        /// The user.
        user: String,
        /// Which directory stands in the way.
        source: std::io::Error,
    },
}

/// The rule of our own commands, for the user that runs this program.
///
/// # Errors
///
/// If that user has no name.
pub fn own_task_users(
    default_user: String,
    allow_root_tasks: bool,
) -> Result<TaskUserPolicy, UserError> {
    let uid = geteuid();
    let own = |cause: String| UserError::Own { uid: uid.as_raw(), cause };
    let user = User::from_uid(uid)
        .map_err(|error| own(error.to_string()))?
        .ok_or_else(|| own("no such user".to_owned()))?;
    Ok(TaskUserPolicy::Confined(Confined {
        agent_user: user.name,
        agent_is_root: uid.is_root(),
        default_user,
        allow_root_tasks,
    }))
}

/// Checks, before anything starts, that tasks of the default user will be able to run.
pub(super) fn check(policy: &TaskUserPolicy, work_dir: &Path) -> Result<(), UserError> {
    let TaskUserPolicy::Confined(rule) = policy else { return Ok(()) };
    if !rule.agent_is_root {
        return Ok(());
    }
    let run_as = RunAs::User(rule.default_user.clone());
    let user = resolve_user(&run_as, rule.allow_root_tasks).map_err(UserError::TaskUser)?;
    let Some(user) = user else { return Ok(()) };
    check_passable(&work_dir.join("slaves"), &user)
        .map_err(|source| UserError::Impassable { user: rule.default_user.clone(), source })
}
