//! What master and agent answer alike over HTTP.
//!
//! Routes are data ([`route::Route`]): a path, its methods, the realm whose rules apply, the
//! action that the caller performs, and the handler. A route without realm and action does not
//! compile; what strangers may reach stands in one list ([`route::Table::unauthenticated`]).
//! Handlers return values ([`reply::Reply`] or a [`refusal::Refusal`]); one function,
//! [`site::Site::answer`], turns them into responses and holds the 401/403/404 rule.
//!
//! Status codes, texts and order of checks are those of the original (`http-apis.md` §2 of the
//! reference). Where we differ, the module says so.

pub mod access;
mod admission;
pub mod audit;
pub mod authentication;
pub mod body;
pub mod call;
pub mod common;
pub mod document;
pub mod exchange;
pub mod files;
mod heavy;
pub mod media;
pub mod path;
mod pool;
pub mod query;
pub mod refusal;
pub mod reply;
pub mod request;
pub mod resources;
pub mod rope;
pub mod route;
pub mod serve;
pub mod site;
pub mod stream;
pub mod tls;
pub mod verbosity;
pub mod workers;
