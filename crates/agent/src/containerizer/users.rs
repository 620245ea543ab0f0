//! From the name of a user to what the kernel knows.

use std::ffi::CString;

use launch::User;
use nix::unistd::{User as Entry, geteuid, getgrouplist};

use super::{LaunchError, RunAs};

/// Finds the user as whom a container runs; `None` is the agent's own. Asks the machine's user
/// database, which may take its time.
///
/// Whatever name has the uid of root is root: unless `allow_root`, it is refused.
///
/// # Errors
/// [`LaunchError::User`] if there is no such user or the agent may not become it.
pub fn resolve(run_as: &RunAs, allow_root: bool) -> Result<Option<User>, LaunchError> {
    let RunAs::User(name) = run_as else { return Ok(None) };
    let refused = |cause: String| LaunchError::User { user: name.clone(), cause };
    let entry = Entry::from_name(name)
        .map_err(|error| refused(error.desc().to_owned()))?
        .ok_or_else(|| refused("there is no such user on this machine".to_owned()))?;
    let us = geteuid();
    if !us.is_root() {
        return if entry.uid == us {
            Ok(None)
        } else {
            Err(refused("the agent is not root and cannot become another user".to_owned()))
        };
    }
    if entry.uid.is_root() && !allow_root {
        return Err(refused("its uid is 0, and tasks may not run as root".to_owned()));
    }
    let c_name = CString::new(name.as_str()).map_err(|error| refused(error.to_string()))?;
    let groups =
        getgrouplist(&c_name, entry.gid).map_err(|error| refused(error.desc().to_owned()))?;
    Ok(Some(User {
        uid: entry.uid.as_raw(),
        gid: entry.gid.as_raw(),
        groups: groups.into_iter().map(nix::unistd::Gid::as_raw).collect(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(result: Result<Option<User>, LaunchError>) -> String {
        match result {
            Err(LaunchError::User { cause, .. }) => cause,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_user_that_does_not_exist_is_refused() {
        let nobody_has_this = RunAs::User("no such user".to_owned());
        assert!(cause(resolve(&nobody_has_this, true)).contains("no such user"));
        // Numbers are not names: `0` must not become root.
        assert!(cause(resolve(&RunAs::User("0".to_owned()), true)).contains("no such user"));
        assert!(cause(resolve(&RunAs::User(String::new()), true)).contains("no such user"));
    }

    #[test]
    fn the_agents_own_user_needs_no_change() {
        assert_eq!(resolve(&RunAs::Agent, false).unwrap(), None);
    }

    #[test]
    fn root_is_refused_unless_allowed() {
        let root = RunAs::User("root".to_owned());
        if !testkit::is_root() {
            assert!(cause(resolve(&root, true)).contains("not root"));
            return;
        }
        assert!(cause(resolve(&root, false)).contains("may not run as root"));
        assert_eq!(resolve(&root, true).unwrap().unwrap().uid, 0);
        let nobody = resolve(&RunAs::User("nobody".to_owned()), false).unwrap().unwrap();
        assert_ne!(nobody.uid, 0);
        assert!(nobody.groups.contains(&nobody.gid));
    }
}
