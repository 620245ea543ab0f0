//! A master on real sockets, with peers that are not ours to command.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "tests")]

mod access;
mod agent;
mod crash;
mod fixture;
mod operator;
mod operators;
mod scheduler;
