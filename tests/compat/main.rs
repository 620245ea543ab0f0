//! Others' bytes: recorded peers of the original replayed against our daemons, and clients that
//! nobody here wrote.

mod foreign_scheduler;
mod instance;
mod replay_agent;
mod replay_master;
mod rewrite;
mod scheduler_stream;
