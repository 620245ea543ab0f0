//! A value of a setting: checked against its kind, printed for people.

use std::path::PathBuf;
use std::time::Duration;

use crate::row::{JsonShape, Kind, Row, Sensitivity};
use crate::units::{self, Rate};

/// What stands in the place of a secret.
pub const REDACTED: &str = "REDACTED";

/// A value of the kind of its row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Bool(bool),
    Bytes(u64),
    Double(f64),
    Duration(Duration),
    Int(i64),
    /// The text of the JSON value, as it was given.
    Json(String),
    /// Of a list or a set.
    Several(Vec<String>),
    Path(PathBuf),
    Rate(Rate),
    Size(u64),
    /// Of [`Kind::SecurePathOrValue`], too.
    Text(String),
    UInt16(u16),
}

/// Reads `text` as a value of `kind`. The error says what is wrong, without repeating the text,
/// which may be a secret.
pub(crate) fn parse(kind: Kind, text: &str) -> Result<Value, String> {
    let expected = |what: &str| format!("expected {what}");
    match kind {
        Kind::Bool => match text {
            "true" | "1" => Ok(Value::Bool(true)),
            "false" | "0" => Ok(Value::Bool(false)),
            _ => Err(expected("true, 1, false or 0")),
        },
        Kind::Bytes => units::parse_bytes(text)
            .map(Value::Bytes)
            .map_err(|_| expected("a whole number and B, KB, MB, GB or TB")),
        Kind::Double => match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Value::Double(number)),
            _ => Err(expected("a number")),
        },
        Kind::Duration => units::parse_duration(text).map(Value::Duration).map_err(|_| {
            expected("a number and ns, us, ms, secs, mins, hrs, days or weeks, without a space")
        }),
        Kind::Int => text.parse().map(Value::Int).map_err(|_| expected("a whole number")),
        Kind::Json(shape) => json(shape, text),
        Kind::List => Ok(Value::Several(tokens(text))),
        Kind::Path => {
            let path = text.strip_prefix("file://").unwrap_or(text);
            if path.is_empty() {
                return Err(expected("a path"));
            }
            Ok(Value::Path(PathBuf::from(path)))
        }
        Kind::Rate => text
            .parse()
            .map(Value::Rate)
            .map_err(|_| expected("a whole number, `/` and a duration, e.g. 1/10mins")),
        Kind::SecurePathOrValue | Kind::String => Ok(Value::Text(text.to_owned())),
        Kind::Set => {
            let mut tokens = tokens(text);
            let count = tokens.len();
            tokens.sort();
            tokens.dedup();
            if tokens.len() < count {
                return Err(expected("texts that differ from each other"));
            }
            Ok(Value::Several(tokens))
        }
        Kind::Size => {
            text.parse().map(Value::Size).map_err(|_| expected("a whole number, zero or more"))
        }
        Kind::UInt16 => {
            text.parse().map(Value::UInt16).map_err(|_| expected("a whole number below 65536"))
        }
    }
}

fn json(shape: JsonShape, text: &str) -> Result<Value, String> {
    let value: serde_json::Value = serde_json::from_str(text).map_err(|e| {
        format!("expected JSON; line {}, column {}: {}", e.line(), e.column(), why(&e))
    })?;
    let fits = match shape {
        JsonShape::Array => value.is_array(),
        JsonShape::Object => value.is_object(),
        JsonShape::Strings => value
            .as_object()
            .is_some_and(|object| object.values().all(serde_json::Value::is_string)),
    };
    if fits {
        Ok(Value::Json(text.to_owned()))
    } else {
        Err(match shape {
            JsonShape::Array => "expected a JSON array",
            JsonShape::Object => "expected a JSON object",
            JsonShape::Strings => "expected a JSON object whose values are strings",
        }
        .to_owned())
    }
}

fn why(error: &serde_json::Error) -> &'static str {
    match error.classify() {
        serde_json::error::Category::Eof => "it ends too early",
        serde_json::error::Category::Io
        | serde_json::error::Category::Syntax
        | serde_json::error::Category::Data => "it is not well formed",
    }
}

fn tokens(text: &str) -> Vec<String> {
    text.split(',').filter(|token| !token.is_empty()).map(ToOwned::to_owned).collect()
}

impl Value {
    /// The text that `/flags` and logs show, secrets removed. `given` is what was written,
    /// before a file took its place.
    pub(crate) fn shown(&self, row: &Row, given: &str) -> String {
        match row.sensitivity {
            Sensitivity::Public => {}
            Sensitivity::PathToSecret => {
                return match self {
                    Self::Path(path) if path.is_absolute() => path.display().to_string(),
                    _ => REDACTED.to_owned(),
                };
            }
            Sensitivity::Secret => return REDACTED.to_owned(),
            Sensitivity::Url => {
                // A file stays the name of the file.
                return without_password(given);
            }
        }
        match self {
            Self::Bool(value) => value.to_string(),
            Self::Bytes(bytes) => units::print_bytes(*bytes),
            Self::Double(number) => number.to_string(),
            Self::Duration(duration) => units::print_duration(*duration),
            Self::Int(number) => number.to_string(),
            Self::Json(text) => serde_json::from_str::<serde_json::Value>(text)
                .map_or_else(|_| text.clone(), |value| value.to_string()),
            Self::Several(texts) => texts.join(","),
            Self::Path(path) => path.display().to_string(),
            Self::Rate(rate) => rate.to_string(),
            Self::Size(number) => number.to_string(),
            Self::Text(text) => match row.kind {
                Kind::SecurePathOrValue => given.to_owned(),
                _ => text.clone(),
            },
            Self::UInt16(number) => number.to_string(),
        }
    }
}

/// `url` with what stands before an `@` in its authority removed.
fn without_password(url: &str) -> String {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), url),
    };
    // The last '@': a password may hold '@' and '/'.
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}{REDACTED}@{host}"),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::{Default, Effect};

    fn shown(kind: Kind, sensitivity: Sensitivity, given: &str) -> String {
        let row =
            Row::new("x", kind, Default::Unset, Effect::Honoured, "x").sensitivity(sensitivity);
        parse(kind, given).unwrap().shown(&row, given)
    }

    #[test]
    fn values_show_in_the_originals_form() {
        for (kind, given, expected) in [
            (Kind::Bool, "1", "true"),
            (Kind::Duration, "60secs", "1mins"),
            (Kind::Bytes, "2048mb", "2GB"),
            (Kind::Double, "0.80", "0.8"),
            (Kind::Size, "00102400", "102400"),
            (Kind::Set, "b,,a", "a,b"),
            (Kind::List, "b,,a", "b,a"),
            (Kind::Path, "file:///etc/x", "/etc/x"),
            (Kind::Json(JsonShape::Object), " {\"b\" : 1, \"a\": [ ] }", r#"{"a":[],"b":1}"#),
        ] {
            assert_eq!(shown(kind, Sensitivity::Public, given), expected, "{given}");
        }
    }

    #[test]
    fn secrets_do_not_show() {
        let url = |given| shown(Kind::SecurePathOrValue, Sensitivity::Url, given);
        assert_eq!(
            url("zk://user:pa@s/s@h1:2181,h2:2181/mesos"),
            "zk://REDACTED@h1:2181,h2:2181/mesos"
        );
        assert_eq!(url("10.0.0.1:5050"), "10.0.0.1:5050");
        assert_eq!(url("file:///etc/zk"), "file:///etc/zk");
        let path = |given| shown(Kind::Path, Sensitivity::PathToSecret, given);
        assert_eq!(path("/etc/credentials"), "/etc/credentials");
        assert_eq!(path("principal secret"), REDACTED, "a secret where a path should be");
        assert_eq!(shown(Kind::String, Sensitivity::Secret, "s3cret"), REDACTED);
    }

    #[test]
    fn a_value_of_another_kind_is_refused_without_being_repeated() {
        for (kind, text) in [
            (Kind::Bool, "True"),
            (Kind::Bool, "yes"),
            (Kind::Bool, "true\n"),
            (Kind::Bytes, "1024"),
            (Kind::Double, "nan"),
            (Kind::Double, "inf"),
            (Kind::Duration, "15"),
            (Kind::Int, "1.5"),
            (Kind::Size, "-1"),
            (Kind::UInt16, "65536"),
            (Kind::Set, "a,a"),
            (Kind::Path, ""),
            (Kind::Path, "file://"),
            (Kind::Rate, "1"),
            (Kind::Json(JsonShape::Object), "[]"),
            (Kind::Json(JsonShape::Array), "{}"),
            (Kind::Json(JsonShape::Strings), r#"{"s3cret":1}"#),
            (Kind::Json(JsonShape::Object), r#"{"s3cret":"#),
        ] {
            let error = parse(kind, text).unwrap_err();
            assert!(error.starts_with("expected "), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
