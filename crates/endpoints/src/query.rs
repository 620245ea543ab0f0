//! Query strings, as libprocess splits them.

use std::collections::BTreeMap;
use std::time::Duration;

use libprocess::route::parse_query;

use crate::refusal::Refusal;

/// The most parameters taken; more is no honest request.
pub const MAX_PARAMETERS: usize = 64;

/// Names and values of a query: split on `&` and `;`, then on the first `=`, `+` is a space, the
/// last of equal names wins. Names are case sensitive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    parameters: BTreeMap<String, String>,
}

impl Query {
    /// Reads what follows the `?`.
    pub fn read(text: &str) -> Result<Self, Refusal> {
        if text.split(['&', ';']).count() > MAX_PARAMETERS {
            return Err(Refusal::bad_request("Too many parameters in the query"));
        }
        let parameters =
            parse_query(text).map_err(|error| Refusal::bad_request(error.to_string()))?;
        Ok(Self { parameters })
    }

    /// The value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// The value of `name` as a whole number.
    pub fn integer(&self, name: &str) -> Result<Option<i64>, Refusal> {
        let Some(text) = self.get(name) else { return Ok(None) };
        text.trim().parse().map(Some).map_err(|_| {
            Refusal::bad_request(format!("Failed to parse {name}: '{text}' is not a number"))
        })
    }

    /// The value of `name` as a duration in the original's notation (`10secs`).
    pub fn duration(&self, name: &str) -> Result<Option<Duration>, Refusal> {
        let Some(text) = self.get(name) else { return Ok(None) };
        parse_duration(text)
            .map(Some)
            .map_err(|why| Refusal::bad_request(format!("Invalid {name} '{text}': {why}")))
    }
}

/// Units of a duration and their length in nanoseconds.
const UNITS: [(&str, f64); 8] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("ms", 1e6),
    ("secs", 1e9),
    ("mins", 60e9),
    ("hrs", 3_600e9),
    ("days", 86_400e9),
    ("weeks", 604_800e9),
];

fn parse_duration(text: &str) -> Result<Duration, String> {
    let at =
        text.find(|c: char| !(c.is_ascii_digit() || c == '.')).ok_or("Unknown duration unit ''")?;
    let (number, unit) = text.split_at(at);
    let value: f64 =
        number.parse().map_err(|_| format!("Failed to convert '{number}' to number"))?;
    let (_, nanos) = UNITS
        .into_iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(|| format!("Unknown duration unit '{unit}'"))?;
    let total = value * nanos;
    // The original keeps nanoseconds in a signed 64-bit integer.
    if total >= 9.223_372_036_854_775e18 {
        return Err("Argument out of the range that a Duration can represent".to_owned());
    }
    Duration::try_from_secs_f64(total / 1e9).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_split_and_decode_as_libprocess_does() {
        let q = Query::read("a=1&b=x+y;c=%2Fp%3D=q&a=2&d").unwrap();
        assert_eq!(q.get("a"), Some("2"));
        assert_eq!(q.get("b"), Some("x y"));
        assert_eq!(q.get("c"), Some("/p==q"));
        assert_eq!(q.get("d"), Some(""));
        assert_eq!(q.get("A"), None);
    }

    #[test]
    fn durations_have_a_unit() {
        let read = |t: &str| Query::read(&format!("timeout={t}")).unwrap().duration("timeout");
        assert_eq!(read("10secs").unwrap(), Some(Duration::from_secs(10)));
        assert_eq!(read("1.5mins").unwrap(), Some(Duration::from_secs(90)));
        for bad in ["10", "x", "-1secs", "10parsecs", "99999999999weeks", "1..0secs"] {
            let refusal = read(bad).unwrap_err();
            assert!(refusal.text().unwrap().starts_with(&format!("Invalid timeout '{bad}': ")));
        }
    }

    #[test]
    fn a_query_without_end_is_refused() {
        let long: String = (0..=MAX_PARAMETERS).map(|n| format!("p{n}=1&")).collect();
        assert!(Query::read(&long).is_err());
    }
}
