//! Executors: what runs in a container beside the task.
//!
//! - [`session`] keeps an executor subscribed to its agent and its status updates safe until
//!   they are acknowledged; pure.
//! - [`link`] is the session together with the sockets and the clock: what an executor is
//!   written with.
//! - [`command`] runs one task: what to start, when to kill, what to report; pure, with a thin
//!   driver.
//!
//! The program has two hidden commands, which exist only for other processes of ours:
//! [`COMMAND`] and [`CONTAINER_INIT_COMMAND`].

pub mod command;
pub mod environment;
pub mod link;
pub mod session;

mod client;
mod duration;

pub use command::main;
pub use launch::init::{COMMAND as CONTAINER_INIT_COMMAND, main as container_init};
pub use launch::{exit, material};

/// The hidden command under which the program is the command executor.
pub const COMMAND: &str = "executor";
