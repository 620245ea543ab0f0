//! The transport over real sockets, with real certificates, against peers that behave and peers
//! that do not.

mod fixture;

mod deadlines;
mod senders;
mod survival;
