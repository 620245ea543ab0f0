//! JSON as Mesos writes and reads it.
//!
//! * [`write()`] and [`read()`] convert any message: keys in the order of declaration, enums by name,
//!   explicit defaults printed, unknown keys ignored.
//! * [`object`] and [`array()`] build JSON by hand the way the original prints it, keys in the order
//!   of the calls, for endpoints that are not the print of one message.
//!
//! Neither makes a tree of values: a message goes from its protobuf form straight to text, along
//! the tables of [`crate::descriptor`].
//!
//! ```
//! use alcazar_wire::json::{self, Style};
//! use alcazar_wire::v1;
//!
//! let id = v1::TaskId { value: "one".to_owned() };
//! let mut out = Vec::new();
//! json::object(&mut out, |o| {
//!     o.field("task_id", json::message(&id, Style::V1));
//!     o.array("roles", |a| {
//!         a.push("*");
//!     });
//!     o.field("weight", 1.0);
//! });
//! assert_eq!(out, br#"{"task_id":{"value":"one"},"roles":["*"],"weight":1.0}"#);
//! ```

mod build;
mod parse;
mod read;
mod text;
mod write;

pub use build::{Array, Object, Proto, Raw, ToJson, array, message, object};
pub use parse::JsonError;
pub use read::{read, read_list};
pub use write::{Style, members, transcode, write};

pub use crate::descriptor::Names;
