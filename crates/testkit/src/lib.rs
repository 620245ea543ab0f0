//! Fixtures for tests: clusters of real processes, certificates, recorded traffic.
