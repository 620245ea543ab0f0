//! The agent as its callers see it.

mod authn_doors;
mod executors;
mod fixture;
mod guarded;
mod recorded;
