//! Attacks on a cluster as `alcazar up` makes it.

mod certificates;
mod task_user;
