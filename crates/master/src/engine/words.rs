//! Values as the original writes them into its answers.

use std::fmt::Display;

/// A number as C++ writes a `double`: six significant digits, no trailing zeros, an exponent where
/// that is shorter.
pub(super) fn double(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    if number == 0.0 {
        return if number.is_sign_negative() { "-0" } else { "0" }.to_owned();
    }
    let scientific = format!("{number:.5e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if (-4..6).contains(&exponent) {
        let decimals = usize::try_from(5 - exponent).unwrap_or(0);
        return trim(&format!("{number:.decimals$}"));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trim(digits), exponent.abs())
}

/// Names with amounts as `cpus:1; mem:512`, or `{}`.
pub(super) fn amounts<'a, V: Display>(amounts: impl Iterator<Item = (&'a str, V)>) -> String {
    let all: Vec<_> = amounts.map(|(name, amount)| format!("{}:{amount}", quote(name))).collect();
    if all.is_empty() { "{}".to_owned() } else { all.join("; ") }
}

/// Text from outside, short and on one line, for an answer to whoever sent it.
pub(super) fn quote(text: &str) -> String {
    const MOST: usize = 300;
    let mut out = String::new();
    for c in text.chars().take(MOST) {
        match c.is_control() {
            true => out.extend(c.escape_default()),
            false => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_by_the_original() {
        let cases = [
            (1.0, "1"),
            (-1.5, "-1.5"),
            (0.1 + 0.2, "0.3"),
            (100_000.0, "100000"),
            (1e6, "1e+06"),
            (123_456_789.0, "1.23457e+08"),
            (0.0001, "0.0001"),
            (0.000_01, "1e-05"),
            (0.0, "0"),
            (f64::NAN, "nan"),
            (f64::NEG_INFINITY, "-inf"),
            (999_999.9, "1e+06"),
        ];
        for (number, text) in cases {
            assert_eq!(double(number), text);
        }
        assert_eq!(amounts([("cpus", 1), ("mem", 2)].into_iter()), "cpus:1; mem:2");
        assert_eq!(amounts(std::iter::empty::<(&str, u8)>()), "{}");
    }
}
