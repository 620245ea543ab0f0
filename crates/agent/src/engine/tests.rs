//! Stories: what an agent does, told from outside, through events and effects only.

mod crash;
mod executors;
pub(crate) mod fixture;
mod launching;
mod random;
mod registering;
mod tls_trust;
mod updating;
