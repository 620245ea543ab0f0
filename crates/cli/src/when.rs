//! Moments, as people read them.

/// Seconds since the epoch as `2023-11-14T22:13:20Z`; empty for what is no moment.
pub(crate) fn moment(seconds: f64) -> String {
    if !seconds.is_finite() || !(0.0..253_402_300_800.0).contains(&seconds) {
        return String::new();
    }
    #[expect(clippy::cast_possible_truncation, reason = "the range was checked")]
    let seconds = seconds as i64;
    let (year, month, day) = civil(seconds.div_euclid(86_400));
    let time = seconds.rem_euclid(86_400);
    let (h, m, s) = (time / 3600, time / 60 % 60, time % 60);
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}Z")
}

/// Year, month and day of a day since 1970-01-01, in the Gregorian calendar: counts in eras of
/// 400 years, which all have the same number of days, from the first of March.
fn civil(day: i64) -> (i64, i64, i64) {
    let day = day + 719_468;
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leap_days_and_ends_of_years_fall_where_they_should() {
        for (seconds, expected) in [
            (0.0, "1970-01-01T00:00:00Z"),
            (951_782_400.0, "2000-02-29T00:00:00Z"),
            (1_709_251_199.9, "2024-02-29T23:59:59Z"),
            (1_735_689_599.0, "2024-12-31T23:59:59Z"),
            (4_107_542_400.0, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(moment(seconds), expected);
        }
        assert_eq!(moment(f64::NAN), "");
        assert_eq!(moment(-1.0), "");
    }
}
