//! The nouns of a cluster and their arithmetic.
//!
//! What every other crate means by an agent id, a principal, a role or a moment in time. This
//! crate knows no protobuf, no sockets and no clock: a value arrives as an argument or not at all.
//!
//! Historic words: the wire says *slave* where we say *agent*.

pub mod id;
pub mod identity;
pub mod machine;
pub mod principal;
pub mod quota;
pub mod resources;
pub mod role;
pub mod time;
pub mod weight;
