//! From TLS settings to one policy plus notices.
