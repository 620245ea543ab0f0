//! Durations as the agent writes them into an executor's environment: `5secs`, `1.5mins`.

use std::time::Duration;

/// The units, longest names first among those that end alike.
const UNITS: [(&str, f64); 8] = [
    ("weeks", 604_800.0),
    ("days", 86_400.0),
    ("hrs", 3_600.0),
    ("mins", 60.0),
    ("secs", 1.0),
    ("ms", 1e-3),
    ("us", 1e-6),
    ("ns", 1e-9),
];

/// Reads a number and a unit, without blanks. `None` for anything else, for negative durations
/// and for those that a [`Duration`] cannot hold.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(at);
    let (_, seconds) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let number: f64 = number.parse().ok()?;
    Duration::try_from_secs_f64(number * seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_the_environment_are_read() {
        for (text, seconds) in
            [("5secs", 5.0), ("15mins", 900.0), ("0ns", 0.0), ("1.5hrs", 5400.0), ("250ms", 0.25)]
        {
            assert_eq!(parse(text), Some(Duration::from_secs_f64(seconds)), "{text}");
        }
        for text in ["", "5", "secs", "5 secs", "-1secs", "1e400secs", "5seconds", "nanweeks"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
