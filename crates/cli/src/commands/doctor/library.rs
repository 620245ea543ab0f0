//! The TLS library: which one is linked, and how long somebody mends it.

use serde_json::{Value, json};

/// The TLS library that this program runs with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Library {
    /// What it says of itself: `OpenSSL 3.5.1 1 Jul 2025`.
    pub(crate) version: String,
    /// Its release line: `3.5`.
    pub(crate) line: Option<String>,
    /// The last day on which that line is mended: `2030-04-08`; `None` if nobody here knows.
    pub(crate) supported_until: Option<&'static str>,
}

/// The last day of each release line, as the OpenSSL project gives them.
const ENDS: [(&str, &str); 10] = [
    ("1.1", "2023-09-11"),
    ("3.0", "2026-09-07"),
    ("3.1", "2025-03-14"),
    ("3.2", "2025-11-23"),
    ("3.3", "2026-04-09"),
    ("3.4", "2026-10-22"),
    ("3.5", "2030-04-08"),
    ("3.6", "2026-11-01"),
    ("4.0", "2027-05-14"),
    ("1.0", "2019-12-31"),
];

impl Library {
    /// Of what a library says of itself.
    pub(crate) fn of(version: &str) -> Self {
        let number = version.split(' ').nth(1).unwrap_or_default();
        let mut parts = number.split('.');
        let line = match (version.starts_with("OpenSSL "), parts.next(), parts.next()) {
            (true, Some(major), Some(minor)) => Some(format!("{major}.{minor}")),
            _ => None,
        };
        let end = ENDS.iter().find(|(name, _)| line.as_deref() == Some(name));
        let supported_until = end.map(|(_, day)| *day);
        Self { version: version.to_owned(), line, supported_until }
    }

    /// Whether somebody mends it on the day `today` (`2026-01-31`); `None` if nobody here knows.
    pub(crate) fn is_supported(&self, today: &str) -> Option<bool> {
        self.supported_until.map(|end| today <= end)
    }

    pub(crate) fn json(&self, today: &str) -> Value {
        json!({
            "version": self.version,
            "line": self.line,
            "supported_until": self.supported_until,
            "supported": self.is_supported(today),
        })
    }

    /// One line for people.
    pub(crate) fn text(&self, today: &str) -> String {
        match (self.supported_until, self.is_supported(today)) {
            (Some(end), Some(true)) => format!("{}, supported until {end}", self.version),
            (Some(end), _) => {
                format!("{}, whose release line has had no fixes since {end}", self.version)
            }
            (None, _) => format!("{}; how long it is supported is not known here", self.version),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_tls_library_is_that_of_its_release_line() {
        for (version, line, end) in [
            ("OpenSSL 3.0.19 27 Jan 2026", Some("3.0"), Some("2026-09-07")),
            ("OpenSSL 3.5.1 1 Jul 2025", Some("3.5"), Some("2030-04-08")),
            ("OpenSSL 3.6.3 9 Jun 2026", Some("3.6"), Some("2026-11-01")),
            ("OpenSSL 1.1.1w  11 Sep 2023", Some("1.1"), Some("2023-09-11")),
            ("OpenSSL 9.9.0 1 Jan 2040", Some("9.9"), None),
            ("LibreSSL 3.5.0", None, None),
            ("", None, None),
        ] {
            let library = Library::of(version);
            assert_eq!(library.line.as_deref(), line, "{version}");
            assert_eq!(library.supported_until, end, "{version}");
        }
    }

    #[test]
    fn a_tls_library_is_supported_up_to_its_last_day() {
        let library = Library::of("OpenSSL 3.6.3 9 Jun 2026");
        assert_eq!(library.is_supported("2026-11-01"), Some(true));
        assert_eq!(library.is_supported("2026-11-02"), Some(false));
        assert!(library.text("2026-11-02").contains("no fixes since 2026-11-01"));
        assert_eq!(Library::of("LibreSSL 3.5.0").is_supported("2026-11-02"), None);
    }
}
