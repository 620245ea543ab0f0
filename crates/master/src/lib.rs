//! The master: a pure engine, its runtime, its HTTP interface.

pub mod engine;
pub mod http;
pub mod runtime;
pub mod telemetry;
pub mod views;
