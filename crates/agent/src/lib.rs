//! The agent: a pure engine, its runtime, its HTTP interface, its containerizer.

pub mod checkpoint;
pub mod containerizer;
pub mod engine;
pub mod http;
pub mod message;
pub mod resource_format;
pub mod runtime;
pub mod views;
