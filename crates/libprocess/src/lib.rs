//! UPIDs, the message codec, routing of paths, and the binding of senders.
//!
//! Everything here is pure: bytes and facts go in, values come out. Sockets belong to the
//! `transport` crate. The protocol is libprocess': messages are HTTP/1.1 requests that name
//! their sender in a header, and one port serves them and ordinary HTTP alike.
//!
//! Read first: [`decode::Decoder`] (bytes to messages and requests), [`sender::bind`] (from a
//! claimed sender to a bound one),
//! [`allowed::may_send`] (who may send what), [`route::route`] (from a path to an actor).

pub mod allowed;
pub mod answer;
pub mod channel;
pub mod decode;
pub mod head;
pub mod message;
pub mod route;
pub mod sender;
pub mod upid;
