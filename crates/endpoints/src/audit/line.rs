//! One decision as one line of JSON.

use authn::audit::Decision;
use model::time::Timestamp;
use wire::json;

/// What comes from outside is cut off after so many characters.
const MOST_CHARACTERS: usize = 256;

/// Appends the line to `out`, with its newline.
///
/// `principal` is who was proved to be there, `claimed` who somebody said to be who was not let
/// in; `result` is `granted` or `refused`.
pub(super) fn write(decision: &Decision, out: &mut Vec<u8>) {
    let Decision { time, principal, address, method, realm, granted, reason } = decision;
    let named = principal.as_deref().map(cut);
    let (proved, claimed) = if *granted { (named, None) } else { (None, named) };
    json::object(out, |o| {
        o.field("time", utc(*time));
        o.optional("principal", proved);
        o.optional("claimed", claimed);
        o.field("address", address.to_string());
        o.field("method", cut(method));
        o.field("realm", cut(realm));
        o.field("result", if *granted { "granted" } else { "refused" });
        o.field("reason", cut(reason));
    });
    out.push(b'\n');
}

fn cut(text: &str) -> &str {
    text.char_indices().nth(MOST_CHARACTERS).map_or(text, |(end, _)| &text[..end])
}

/// RFC 3339 with milliseconds.
fn utc(time: Timestamp) -> String {
    let since = time.since_epoch();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let milliseconds = since.subsec_millis();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milliseconds:03}Z")
}

/// Year, month and day of a day counted from 1970-01-01. Years are counted from March, so that
/// the odd day comes last; 400 of them have 146,097 days.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod authn_audit_line {
    use std::time::Duration;

    use super::*;

    fn decision() -> Decision {
        Decision {
            time: Timestamp::new(Duration::from_millis(1_795_306_528_042)),
            principal: Some("o\"ps\n".into()),
            address: "10.0.0.1".parse().unwrap(),
            method: "Basic".into(),
            realm: "mesos-master-readonly".into(),
            granted: true,
            reason: "valid credentials".into(),
        }
    }

    #[test]
    fn a_line_says_who_where_how_and_what_came_of_it() {
        let mut out = Vec::new();
        write(&decision(), &mut out);
        let refused = Decision { granted: false, reason: "wrong secret".into(), ..decision() };
        write(&refused, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            concat!(
                r#"{"time":"2026-11-22T00:15:28.042Z","principal":"o\"ps\n","address":"10.0.0.1","#,
                r#""method":"Basic","realm":"mesos-master-readonly","result":"granted","#,
                r#""reason":"valid credentials"}"#,
                "\n",
                r#"{"time":"2026-11-22T00:15:28.042Z","claimed":"o\"ps\n","address":"10.0.0.1","#,
                r#""method":"Basic","realm":"mesos-master-readonly","result":"refused","#,
                r#""reason":"wrong secret"}"#,
                "\n",
            )
        );
    }

    #[test]
    fn what_comes_from_outside_is_cut_off() {
        let mut out = Vec::new();
        write(&Decision { principal: Some("é".repeat(100_000)), ..decision() }, &mut out);
        assert!(out.len() < 1024, "{}", out.len());
    }

    #[test]
    fn days_have_dates() {
        for (day, expected) in [
            (0, (1970, 1, 1)),
            (58, (1970, 2, 28)),
            (59, (1970, 3, 1)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (20_778, (2026, 11, 21)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
        ] {
            assert_eq!(date(day), expected, "{day}");
        }
    }
}
