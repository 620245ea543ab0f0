//! Protobuf types, Mesos JSON and RecordIO: everything that has a form on the wire.
//!
//! One vocabulary serves the two families of the original: the types are named as in v1, and the
//! tables of [`descriptor`] know the v0 names, which matter for JSON only. Bytes from outside go
//! through [`check::decode`], text through [`json::read`].

/// The generated types, in modules that follow the packages of the `.proto` files.
#[allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::all,
    reason = "generated from our .proto sources, where the comments are"
)]
pub mod protocol {
    include!(concat!(env!("OUT_DIR"), "/protocol.rs"));
}

pub mod check;
pub mod descriptor;
mod encode;
pub mod json;
mod limits;
mod raw;
pub mod recordio;
pub mod resources;

pub use descriptor::{Described, Names};
pub use encode::{encode, reread};
pub use limits::Limits;
pub use protocol::mesos::{internal, v1};
pub use raw::Malformed;
