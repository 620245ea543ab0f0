//! Running tasks as a framework of one's own: what `execute` and `mesos-execute` share.

pub(crate) mod fit;
pub(crate) mod run;
