//! What has a form on the wire, held to the original's tables and to its recorded traffic.

mod captures;
mod check;
mod json;
mod properties;
mod random;
mod recordio;
mod tables;
