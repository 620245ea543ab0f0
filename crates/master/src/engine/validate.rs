//! Whether what came from outside may be acted on: in the original's order and, where a peer sees
//! them, in its words.

pub mod accept;
pub(super) mod agent;
pub mod call;
pub(super) mod check;
pub(super) mod constraints;
mod container;
pub(super) mod executor;
pub(super) mod framework;
pub(super) mod group;
pub(super) mod offer;
pub(super) mod operation;
mod resources;
pub(super) mod task;
pub(super) mod update;
