//! For people who write frameworks: a client of the scheduler API.
//!
//! [`session`] is the protocol as a machine without sockets.

pub mod backoff;
pub mod calls;
pub mod session;

pub use calls::acknowledgement;
