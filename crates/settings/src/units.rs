//! Quantities with units: `15secs`, `2GB`, `1/10mins`.

use std::fmt;
use std::time::Duration;

/// Why a text is not a quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Not a number of bytes.
    #[error("`{0}` is not a number of bytes: a whole number and B, KB, MB, GB or TB")]
    Bytes(String),
    /// Not a duration.
    #[error("`{0}` is not a duration: a number and ns, us, ms, secs, mins, hrs, days or weeks")]
    Duration(String),
    /// Not a rate.
    #[error("`{0}` is not a rate: a whole number, `/` and a duration")]
    Rate(String),
}

/// The units of durations with their nanoseconds, the greatest first.
const DURATION_UNITS: [(&str, u64); 8] = [
    ("weeks", 7 * 24 * 3600 * 1_000_000_000),
    ("days", 24 * 3600 * 1_000_000_000),
    ("hrs", 3600 * 1_000_000_000),
    ("mins", 60 * 1_000_000_000),
    ("secs", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// The units of bytes, the greatest first.
const BYTES_UNITS: [(&str, u64); 5] =
    [("TB", 1 << 40), ("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10), ("B", 1)];

/// Reads a duration: a number, perhaps with a fraction, and a unit right behind it. What the
/// wire cannot carry (64 bits of nanoseconds) is none.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let wrong = || UnitError::Duration(text.to_owned());
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
    let (number, unit) = text.split_at(split);
    let (_, unit) = DURATION_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    // Whole numbers stay exact.
    let nanoseconds = match number.parse::<u64>() {
        Ok(whole) => whole.checked_mul(*unit).ok_or_else(wrong)?,
        Err(_) => {
            let fraction: f64 = number.parse().map_err(|_| wrong())?;
            #[expect(clippy::cast_precision_loss, reason = "units are far below 2^53 roundings")]
            let seconds = fraction * *unit as f64 / 1e9;
            let exact = Duration::try_from_secs_f64(seconds).map_err(|_| wrong())?;
            u64::try_from(exact.as_nanos()).map_err(|_| wrong())?
        }
    };
    if i64::try_from(nanoseconds).is_err() {
        return Err(wrong());
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// Writes a duration as the original does: in the unit of its magnitude, or in the next smaller
/// one if only that gives a whole number.
#[must_use]
pub fn print_duration(duration: Duration) -> String {
    let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let magnitude = DURATION_UNITS
        .iter()
        .position(|(_, unit)| nanoseconds >= *unit)
        .unwrap_or(DURATION_UNITS.len() - 1);
    let (name, unit) = DURATION_UNITS[magnitude];
    if nanoseconds.is_multiple_of(unit) {
        return format!("{}{name}", nanoseconds / unit);
    }
    match DURATION_UNITS.get(magnitude + 1) {
        Some((smaller, unit)) if nanoseconds.is_multiple_of(*unit) => {
            format!("{}{smaller}", nanoseconds / unit)
        }
        _ => format!("{}{name}", fifteen_digits(nanoseconds, unit)),
    }
}

/// `numerator / denominator` with fifteen significant digits, without zeros at the end. The
/// quotient is between 1 and a thousand or so.
fn fifteen_digits(numerator: u64, denominator: u64) -> String {
    let whole = numerator / denominator;
    let decimals = 15 - whole.to_string().len().min(15);
    #[expect(clippy::cast_precision_loss, reason = "fifteen digits are what a double holds")]
    let quotient = numerator as f64 / denominator as f64;
    let text = format!("{quotient:.decimals$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Reads a number of bytes: a whole number and a unit right behind it.
pub fn parse_bytes(text: &str) -> Result<u64, UnitError> {
    let wrong = || UnitError::Bytes(text.to_owned());
    let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(split);
    let (_, unit) =
        BYTES_UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).ok_or_else(wrong)?;
    number.parse::<u64>().ok().and_then(|n| n.checked_mul(*unit)).ok_or_else(wrong)
}

/// Writes a number of bytes in the greatest unit that gives a whole number.
#[must_use]
pub fn print_bytes(bytes: u64) -> String {
    let fits = |unit: u64| bytes >= unit && bytes.is_multiple_of(unit);
    let (name, unit) = BYTES_UNITS.into_iter().find(|(_, unit)| fits(*unit)).unwrap_or(("B", 1));
    format!("{}{name}", bytes / unit)
}

/// So many events in so much time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub events: u64,
    /// In which time; longer than zero.
    pub per: Duration,
}

impl std::str::FromStr for Rate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || UnitError::Rate(text.to_owned());
        let (events, per) = text.split_once('/').ok_or_else(wrong)?;
        let events = events.trim().parse().map_err(|_| wrong())?;
        let per = parse_duration(per.trim()).map_err(|_| wrong())?;
        if per.is_zero() {
            return Err(wrong());
        }
        Ok(Self { events, per })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.events, print_duration(self.per))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_print_in_the_unit_of_their_magnitude() {
        let table = [
            ("0ns", "0ns"),
            ("60secs", "1mins"),
            ("90secs", "90secs"),
            ("10days", "10days"),
            ("14days", "2weeks"),
            ("2weeks", "2weeks"),
            ("6hrs", "6hrs"),
            ("25hrs", "25hrs"),
            ("1.5mins", "90secs"),
            ("0.5secs", "500ms"),
            ("1500us", "1500us"),
            ("1001ns", "1001ns"),
            ("999ns", "999ns"),
            ("3601secs", "1.00027777777778hrs"),
            ("15secs", "15secs"),
            ("1000ms", "1secs"),
        ];
        for (text, printed) in table {
            assert_eq!(print_duration(parse_duration(text).unwrap()), printed, "{text}");
        }
    }

    #[test]
    fn what_has_no_unit_or_a_sign_is_no_duration() {
        for bad in [
            "",
            "5",
            "secs",
            "-1secs",
            "1 secs",
            "1s",
            "1sec",
            "1SECS",
            "1e3secs",
            ".secs",
            "1.2.3secs",
            "300000weeks",
            "99999999999999999999ns",
            " 1secs",
            "1secs\n",
            "NaNsecs",
        ] {
            assert_eq!(parse_duration(bad), Err(UnitError::Duration(bad.into())), "{bad:?}");
        }
    }

    #[test]
    fn bytes_count_in_powers_of_1024() {
        assert_eq!(parse_bytes("2GB"), Ok(2 << 30));
        assert_eq!(parse_bytes("4kb"), Ok(4096));
        assert_eq!(parse_bytes("0B"), Ok(0));
        for bad in ["", "1", "GB", "1.5GB", "-1B", "1 GB", "1PB", "99999999999TB"] {
            assert!(parse_bytes(bad).is_err(), "{bad:?}");
        }
        for (bytes, printed) in
            [(0, "0B"), (1023, "1023B"), (1 << 30, "1GB"), (1536 << 20, "1536MB")]
        {
            assert_eq!(print_bytes(bytes), printed);
        }
    }

    #[test]
    fn a_rate_is_a_number_per_time() {
        let rate: Rate = "1/10mins".parse().unwrap();
        assert_eq!(rate, Rate { events: 1, per: Duration::from_secs(600) });
        assert_eq!(rate.to_string(), "1/10mins");
        for bad in ["", "1", "1/", "/10mins", "1/0secs", "-1/1secs", "1.5/1secs"] {
            assert!(bad.parse::<Rate>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn a_whole_number_of_units_reads_as_it_prints(count in 0u64..1000, unit in 0usize..8) {
            let text = format!("{count}{}", DURATION_UNITS[unit].0);
            let duration = parse_duration(&text).unwrap();
            let printed = print_duration(duration);
            let read = parse_duration(&printed).unwrap();
            // Fifteen digits lose less than a millionth of the unit.
            let error = read.abs_diff(duration).as_secs_f64();
            prop_assert!(error <= duration.as_secs_f64() * 1e-12, "{} -> {}", text, printed);
        }

        #[test]
        fn bytes_read_as_they_print(bytes: u64) {
            prop_assert_eq!(parse_bytes(&print_bytes(bytes)), Ok(bytes));
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = (parse_duration(&text), parse_bytes(&text), text.parse::<Rate>());
        }
    }
}
