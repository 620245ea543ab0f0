//! For people who write frameworks: a client of the v1 scheduler API.
//!
//! [`start`] subscribes a framework and keeps it subscribed: over lost connections, silent
//! masters and masters that hand on to another. The framework reads [`Notices`] and makes calls
//! through [`Scheduler`]:
//!
//! ```no_run
//! use alcazar_scheduler::{Config, Notice, acknowledgement, start};
//! use wire::v1::scheduler::event;
//!
//! # async fn framework(config: Config) -> Result<(), Box<dyn std::error::Error>> {
//! let (scheduler, mut notices) = start(config);
//! while let Some(notice) = notices.next().await {
//!     match notice? {
//!         Notice::Subscribed { framework_id, again } => {
//!             println!("we are {} (again: {again})", framework_id.value);
//!         }
//!         Notice::Event(event) if event.r#type() == event::Type::Update => {
//!             let Some(update) = event.update else { continue };
//!             if let Some(call) = acknowledgement(&update.status) {
//!                 scheduler.call(call).await?;
//!             }
//!         }
//!         Notice::Event(_) => { /* offers: ACCEPT or DECLINE */ }
//!         Notice::Disconnected { reason, retry_in } => {
//!             eprintln!("lost the master ({reason}), back in {retry_in:?}");
//!         }
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! [`session`] is the protocol as a machine without sockets, clock or entropy; [`api`] asks the
//! other HTTP interfaces of masters and agents.

pub mod api;
pub mod backoff;
pub mod session;

mod calls;
mod codec;
mod driver;

pub use calls::{acknowledgement, teardown};
pub use codec::{ContentType, EventError};
pub use driver::{CallError, Config, Notices, Scheduler, start};
pub use session::{Notice, SessionError};
