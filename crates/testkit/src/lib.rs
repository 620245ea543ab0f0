//! Fixtures for tests: clusters of real processes, recorded traffic of the original, foreign
//! clients. A development dependency only.
//!
//! Everything that a test starts listens on loopback, on a port from the operating system, and
//! is stopped by its process id when the fixture is dropped.
#![expect(clippy::expect_used, reason = "a fixture that cannot be built fails its test, loudly")]

pub mod captures;
#[cfg(feature = "certificates")]
pub mod certificates;
pub mod cluster;
pub mod daemon;
pub mod http;
pub mod port;
pub mod process;
pub mod shared;
#[cfg(feature = "swarm")]
pub mod swarm;
pub mod tools;
#[cfg(feature = "swarm")]
pub mod usage;

/// Whether the test runs as root. What needs namespaces, cgroups, mounts or other users asks
/// this first and otherwise says that it was skipped.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Says on standard error that a test, or a part of one, was skipped and why.
pub fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}
