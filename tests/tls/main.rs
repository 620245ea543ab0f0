//! TLS as others speak it: OpenSSL's commands, curl, scanners, a browser, Python.
#![expect(clippy::expect_used, reason = "a failed fixture fails its test, loudly")]

mod tls_matrix;
