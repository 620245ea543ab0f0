//! `--rate_limits`: how many messages the frameworks of each principal may send in a second.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::typed::Reading;

/// How much somebody may send.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateLimit {
    /// Messages in a second; finite and greater than zero.
    pub qps: f64,
    /// How many messages may wait for their turn; `None`: no limit of the operator's.
    pub capacity: Option<u64>,
}

/// How much the frameworks of each principal may send.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RateLimits {
    /// By principal; `None`: as much as they like.
    pub principals: BTreeMap<String, Option<RateLimit>>,
    /// All other frameworks together; `None`: as much as they like.
    pub others: Option<RateLimit>,
}

impl RateLimits {
    pub(crate) fn read(r: &mut Reading<'_>) -> Self {
        let Some(text) = r.json("rate_limits") else { return Self::default() };
        Self::parse(&text).unwrap_or_else(|why| {
            r.invalid("rate_limits", why);
            Self::default()
        })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let json: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let known = ["limits", "aggregate_default_qps", "aggregate_default_capacity"];
        only(&json, &known, "it")?;
        let mut principals = BTreeMap::new();
        let limits = match json.get("limits") {
            Some(Value::Array(limits)) => limits.as_slice(),
            Some(_) => return Err("`limits` is no array".to_owned()),
            None => &[],
        };
        for limit in limits {
            only(limit, &["principal", "qps", "capacity"], "a limit")?;
            let principal = limit.get("principal").and_then(Value::as_str);
            let principal = principal.ok_or("a limit names no `principal`")?;
            let own = rate(limit, "qps", "capacity")?;
            if principals.insert(principal.to_owned(), own).is_some() {
                return Err(format!("Duplicate principal {principal} found"));
            }
        }
        let others = rate(&json, "aggregate_default_qps", "aggregate_default_capacity")?;
        Ok(Self { principals, others })
    }
}

/// An object with no other members than `known`: a name that is misspelt must not be a limit that
/// does not hold.
fn only(json: &Value, known: &[&str], what: &str) -> Result<(), String> {
    let Value::Object(members) = json else { return Err(format!("{what} is no object")) };
    match members.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(format!("{what} has an unknown member `{name}`")),
        None => Ok(()),
    }
}

fn rate(json: &Value, qps: &str, capacity: &str) -> Result<Option<RateLimit>, String> {
    let allowed = match json.get(capacity) {
        None => None,
        Some(value) => {
            let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
            Some(
                number
                    .ok_or_else(|| format!("`{capacity}` is {value}, expected a whole number"))?,
            )
        }
    };
    let Some(value) = json.get(qps) else { return Ok(None) };
    let invalid = || format!("Invalid `{qps}`: {value}. It must be a positive number");
    let number = value.as_f64().filter(|qps| qps.is_finite() && *qps > 0.0).ok_or_else(invalid)?;
    // An interval that cannot be told from none, or from for ever, limits nothing or everything.
    if !(1e-9..=1e9).contains(&number) {
        return Err(invalid());
    }
    Ok(Some(RateLimit { qps: number, capacity: allowed }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_the_original_reads_them() {
        let limits = RateLimits::parse(
            r#"{"limits": [{"principal": "a", "qps": 55.5, "capacity": 100000},
                           {"principal": "b", "qps": 300},
                           {"principal": "c"}],
                "aggregate_default_qps": 333, "aggregate_default_capacity": 1000000}"#,
        )
        .unwrap();
        assert_eq!(
            limits.principals.into_iter().collect::<Vec<_>>(),
            [
                ("a".to_owned(), Some(RateLimit { qps: 55.5, capacity: Some(100_000) })),
                ("b".to_owned(), Some(RateLimit { qps: 300.0, capacity: None })),
                ("c".to_owned(), None),
            ]
        );
        assert_eq!(limits.others, Some(RateLimit { qps: 333.0, capacity: Some(1_000_000) }));
        assert_eq!(RateLimits::parse("{}"), Ok(RateLimits::default()));
    }

    #[test]
    fn limits_that_limit_nothing_or_contradict_each_other_are_refused() {
        for (text, words) in [
            (r#"{"limits": [{"principal": "a", "qps": 0}]}"#, "positive number"),
            (r#"{"limits": [{"principal": "a", "qps": -1}]}"#, "positive number"),
            (r#"{"limits": [{"principal": "a", "qps": "1"}]}"#, "positive number"),
            (r#"{"limits": [{"principal": "a", "qps": 1e300}]}"#, "positive number"),
            (r#"{"limits": [{"principal": "a", "capacity": -1, "qps": 1}]}"#, "whole number"),
            (r#"{"limits": [{"principal": "a"}, {"principal": "a"}]}"#, "Duplicate principal a"),
            (r#"{"limits": [{"qps": 1}]}"#, "names no `principal`"),
            (r#"{"limits": {}}"#, "no array"),
            (r#"{"limits": [1]}"#, "no object"),
            (r#"{"limit": []}"#, "unknown member `limit`"),
            (r#"{"aggregate_default_qps": 0}"#, "positive number"),
        ] {
            let error = RateLimits::parse(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
