//! Who is it? Whole daemons, called by the Mesos names and by ours, and those who try to be
//! somebody else.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a failed fixture fails its test")]

mod agent_fixture;
mod agent_master;
mod agent_session;
mod credentials;
mod doctor;
mod executor_contained;
mod executor_tokens;
mod executor_v0;
mod http_doors;
#[path = "../compat/instance.rs"]
mod instance;
mod master_attacks;
mod master_desk;
mod master_guesses;
mod master_peers;
mod master_replay;
#[path = "../tls/nodes.rs"]
#[allow(dead_code, reason = "shared with the tests of TLS, which need more of it")]
mod nodes;
mod relay;
#[path = "../compat/replay.rs"]
#[allow(dead_code, reason = "shared with the tests of compatibility, which need more of it")]
mod replay;
#[path = "../compat/rewrite.rs"]
mod rewrite;
#[path = "../compat/scheduler_stream.rs"]
#[allow(dead_code, reason = "shared with the tests of compatibility, which need more of it")]
mod scheduler_stream;
mod sessions;
mod two_daemons;
mod workshop;
