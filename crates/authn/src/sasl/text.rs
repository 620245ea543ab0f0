//! Texts of errors in the form in which clients know them: `SASL(<code>): <generic>: <detail>`.

/// The client does not follow the mechanism.
pub(super) fn bad_protocol(detail: &str) -> String {
    format!("SASL(-5): bad protocol / cancel: {detail}")
}

/// What has no code of its own.
pub(super) fn generic_failure(detail: &str) -> String {
    format!("SASL(-1): generic failure: {detail}")
}

/// The client chose what was not offered. The name comes from outside: a part of it, escaped.
pub(super) fn no_mechanism(name: &str) -> String {
    let shown: String = name.chars().take(40).flat_map(char::escape_debug).collect();
    format!("SASL(-4): no mechanism available: Couldn't find mech {shown}")
}
