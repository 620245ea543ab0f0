//! x
pub(crate) mod checks;
pub(crate) mod daemon;
pub(crate) mod supervise;
