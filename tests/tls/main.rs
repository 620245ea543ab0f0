//! TLS as others speak it: OpenSSL's commands, curl, scanners, a browser, Python. And TLS of whole
//! clusters: the original's levels, new certificates, the way from plaintext and back.
#![expect(clippy::expect_used, reason = "a failed fixture fails its test, loudly")]

mod fixture;
mod framework;
mod nodes;
mod openssl;
mod tls_clients;
mod tls_curl;
mod tls_doctor;
mod tls_flags;
mod tls_levels;
mod tls_matrix;
mod tls_outgoing;
mod tls_rotation;
mod tls_scans;
mod tls_stock;
mod tls_tutorial;
mod tls_upgrade;
