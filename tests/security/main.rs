//! Attacks on a cluster as `alcazar up` makes it.
#![expect(missing_docs, reason = "a test target exports nothing")]

mod certificates;
mod task_user;
