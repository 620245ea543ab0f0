//! Protobuf types, Mesos JSON and RecordIO: everything that has a form on the wire.

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

pub use protocol::mesos::{internal, v1};
