//! A cluster on this machine: what `alcazar up` does, step by step.

pub(crate) mod checks;
pub(crate) mod daemon;
pub(crate) mod plan;
pub(crate) mod supervise;
pub(crate) mod trust;
