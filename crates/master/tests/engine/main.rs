//! The engine's promises, each told as a story, and as properties of any sequence of events.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod agents;
mod announcements;
mod attacks;
mod authentication;
mod bounds;
mod claims;
mod constraints;
mod domains;
mod drain;
mod drivers;
mod failover;
mod frameworks;
mod inverse_offers;
mod operations;
mod operator_maintenance;
mod operator_properties;
mod operator_quota;
mod operator_recovery;
mod operator_resources;
mod operator_weights;
mod properties;
mod recorded;
mod refusals;
mod removals;
mod tasks;
mod throttle;
mod untouched;
mod updates;
mod views;
mod world;
