//! Stories: what an agent does, told from outside, through events and effects only.

mod authenticating;
mod crash;
mod draining;
mod executors;
pub(crate) mod fixture;
mod launching;
mod libprocess_executors;
mod operations;
mod operations_crash;
mod random;
mod registering;
mod tls_trust;
mod tokens;
mod updating;
