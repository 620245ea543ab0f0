//! As whom tasks run: a decision from names alone. Whether a user exists, and which numbers
//! stand behind the name, the containerizer finds out when it launches.

use crate::containerizer::RunAs;

/// The rule of this agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskUserPolicy {
    /// Under our own commands: never as the caller, never as root by accident.
    Confined(Confined),
    /// Under the original's names: as `--switch_user` says. With it, as the user that the
    /// command or the framework names; without it, as the agent.
    SwitchUser(bool),
}

/// What [`TaskUserPolicy::Confined`] needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confined {
    /// The name of the user that the agent itself runs as.
    pub agent_user: String,
    /// Whether the agent may become other users.
    pub agent_is_root: bool,
    /// The cluster's task user, taken where a framework names nobody. Only an agent that is
    /// root can honour it.
    pub default_user: String,
    /// Whether tasks may run as root on an agent that is root.
    pub allow_root_tasks: bool,
}

/// Why a task may not run as the user that it names. The text goes to the framework.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserRefused {
    /// The agent is not root, so it can run tasks only as its own user.
    #[error(
        "Agent runs tasks as its own user '{own}' only, since it is not root; the task names user \
         '{named}'"
    )]
    NotOwnUser {
        /// The agent's user.
        own: String,
        /// Whom the task names.
        named: String,
    },
    /// The agent is root and was not told to run tasks as root.
    #[error("Agent refuses to run tasks as user 'root'")]
    Root,
}

impl TaskUserPolicy {
    /// Decides about a task or executor that names `named`; an empty name names nobody.
    ///
    /// # Errors
    ///
    /// If this agent must not, or cannot, run anything as that user.
    pub fn decide(&self, named: &str) -> Result<RunAs, UserRefused> {
        match self {
            Self::SwitchUser(true) if !named.is_empty() => Ok(RunAs::User(named.to_owned())),
            Self::SwitchUser(_) => Ok(RunAs::Agent),
            Self::Confined(rule) if rule.agent_is_root => {
                let user = if named.is_empty() { &rule.default_user } else { named };
                if user == "root" && !rule.allow_root_tasks {
                    Err(UserRefused::Root)
                } else {
                    Ok(RunAs::User(user.to_owned()))
                }
            }
            Self::Confined(rule) if named.is_empty() || named == rule.agent_user => {
                Ok(RunAs::Agent)
            }
            Self::Confined(rule) => Err(UserRefused::NotOwnUser {
                own: rule.agent_user.clone(),
                named: named.to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn confined(agent_is_root: bool, allow_root_tasks: bool) -> TaskUserPolicy {
        TaskUserPolicy::Confined(Confined {
            agent_user: if agent_is_root { "root" } else { "alice" }.to_owned(),
            agent_is_root,
            default_user: "nobody".to_owned(),
            allow_root_tasks,
        })
    }

    fn user(name: &str) -> Result<RunAs, UserRefused> {
        Ok(RunAs::User(name.to_owned()))
    }

    #[test]
    fn an_agent_that_is_root_runs_tasks_as_the_task_user_unless_another_is_named() {
        assert_eq!(confined(true, false).decide(""), user("nobody"));
        assert_eq!(confined(true, false).decide("alice"), user("alice"));
    }

    #[test]
    fn root_tasks_are_refused_unless_allowed_by_name() {
        assert_eq!(confined(true, false).decide("root"), Err(UserRefused::Root));
        assert_eq!(confined(true, true).decide("root"), user("root"));
    }

    #[test]
    fn an_agent_that_is_not_root_runs_tasks_as_its_own_user_only() {
        assert_eq!(confined(false, false).decide(""), Ok(RunAs::Agent));
        assert_eq!(confined(false, false).decide("alice"), Ok(RunAs::Agent));
        for other in ["root", "bob", "nobody"] {
            let refused = confined(false, true).decide(other).unwrap_err();
            assert!(refused.to_string().contains("'alice' only"), "{refused}");
        }
    }

    #[test]
    fn under_the_original_names_switch_user_decides() {
        assert_eq!(TaskUserPolicy::SwitchUser(true).decide("root"), user("root"));
        assert_eq!(TaskUserPolicy::SwitchUser(true).decide(""), Ok(RunAs::Agent));
        assert_eq!(TaskUserPolicy::SwitchUser(false).decide("bob"), Ok(RunAs::Agent));
    }
}
