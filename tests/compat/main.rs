//! Others' bytes: recorded peers of the original replayed against our daemons, and clients that
//! nobody here wrote.
#![expect(clippy::expect_used, reason = "a failed fixture fails its test, loudly")]

mod foreign_scheduler;
mod instance;
mod mesos_execute;
mod replay;
mod replay_agent;
mod replay_master;
mod replay_stories;
mod rewrite;
mod scheduler_stream;
mod swarm;
