//! The agent as its callers see it.

mod executors;
mod fixture;
mod guarded;
mod recorded;
