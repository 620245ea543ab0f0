//! Attacks on a cluster as `alcazar up` makes it.
#![expect(clippy::expect_used, reason = "a failed fixture fails its test, loudly")]

mod certificates;
mod task_user;
