//! TLS as others speak it: OpenSSL's commands, curl, scanners, a browser, Python.
#![expect(clippy::expect_used, reason = "a failed fixture fails its test, loudly")]

mod fixture;
mod openssl;
mod tls_clients;
mod framework;
mod nodes;
mod tls_matrix;
mod tls_upgrade;
