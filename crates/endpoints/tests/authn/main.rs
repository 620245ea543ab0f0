//! Doors that ask for credentials: what is asked of whom, in which order, and what is written down.

#![allow(clippy::unwrap_used, reason = "tests")]

mod authn_doors;
mod authn_realms;
mod authn_signatures;
