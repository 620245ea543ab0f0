//! How a program gets into a container: the stages between an agent's decision and the first
//! instruction of somebody else's program.
//!
//! ```text
//! agent ── container-init ──────────────── container-init enter ⇒ executor ── … enter ⇒ task
//!          keeps the agent's user;          becomes the user,
//!          reaps and kills what is left     then the program
//! ```
//!
//! Everything that other systems do between `fork` and `exec`, where almost nothing is allowed,
//! happens here in small processes of our own ([`enter`]), which replace themselves by the
//! program when they are done. What each has to do arrives on its standard input as a
//! [`Start`]; nothing secret is in an argument or a variable.
//!
//! - The first stage ([`init`]) begins to work only when that arrives: whoever started it can
//!   first write down its pid. If the writer dies before, it ends without having done anything.
//! - It stays, as the ancestor that inherits every orphan of the container. When the program
//!   ends, it kills what is left, and only when nothing is left does it end itself, with the
//!   program's status. It keeps the user of the agent, so that a container of another user
//!   cannot kill it.
//! - All stages run from a sealed memory file ([`image::Image`]): no container can change the
//!   program of a process outside it, and the user of a task needs no way to our file.

pub mod enter;
pub mod exit;
pub mod image;
pub mod init;
pub mod material;
pub mod start;
pub mod tree;

mod descriptors;

pub use start::{Input, Program, Start, User};
