//! UPIDs, the message codec, routing of paths, and the binding of senders.
//!
//! Everything here is pure: bytes and facts go in, values come out. Sockets belong to the
//! `transport` crate. The protocol is described in `libprocess-and-tls.md` §1–§6 of the reference.

pub mod sender;
pub mod upid;
