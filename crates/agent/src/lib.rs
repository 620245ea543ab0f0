//! The agent: a pure engine, its runtime, its HTTP interface, its containerizer.

pub mod containerizer;
