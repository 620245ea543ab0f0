//! What a daemon counts about its connections.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counts since the start. Shared by the server and the messenger of one program.
        #[derive(Debug, Default)]
        pub struct Counters { $(pub(crate) $name: Counter,)* }

        /// The counts at one moment.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Snapshot { $($(#[$doc])* pub $name: u64,)* }

        impl Counters {
            /// The counts now. Each is exact; together they are not of one instant.
            #[must_use]
            pub fn snapshot(&self) -> Snapshot {
                Snapshot { $($name: self.$name.0.load(Ordering::Relaxed),)* }
            }
        }

        impl Snapshot {
            /// Names and values, for those who print all of them.
            #[must_use]
            pub fn entries(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)*]
            }
        }
    };
}

counters! {
    /// Connections accepted, whatever became of them.
    connections_accepted,
    /// Connections ended because a limit on their number was reached.
    connections_evicted,
    /// Connections ended because a head, a body or a write took too long.
    deadlines_missed,
    /// TLS handshakes that failed or took too long, as server.
    handshake_failures,
    /// Connections that spoke something that is not HTTP, or broke a limit.
    malformed,
    /// Messages whose sender did not bind: dropped.
    messages_dropped_unbound,
    /// Messages without an addressee or a sender that could be read: dropped.
    messages_malformed,
    /// Messages accepted into a queue of the program.
    messages_received,
    /// Messages for an actor that does not exist here.
    messages_undeliverable,
    /// Messages written to a connection.
    messages_sent,
    /// Writes to the connections that messages are sent over: several messages share one.
    message_writes,
    /// Messages lost because their connection failed or its queue was full.
    messages_lost,
    /// Our messages that were answered with something else than 202.
    messages_refused_by_peer,
    /// Connections that could not be opened, or whose other end was not who it should be.
    dial_failures,
    /// HTTP requests received.
    requests,
}

/// One count.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn increment(&self) {
        self.add(1);
    }
}
