//! Sockets, TLS and HTTP: listeners, links, streams.
