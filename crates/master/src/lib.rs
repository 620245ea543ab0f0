//! The master: a pure engine, its runtime, its HTTP interface.

pub mod engine;
