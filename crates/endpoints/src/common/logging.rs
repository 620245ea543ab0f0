//! `/logging/toggle`: the level of the log, and more of it for a while.

use crate::media;
use crate::refusal::Refusal;
use crate::reply::{Answer, Reply};
use crate::request::Request;
use crate::verbosity;

/// Without parameters says the level; with `level` and `duration` sets it.
pub(super) fn toggle<S>(_: &S, request: &Request) -> Answer {
    let query = &request.query;
    let (level, duration) = match (query.get("level"), query.get("duration")) {
        (None, None) => return Ok(Reply::Text(media::TEXT, format!("{}\n", verbosity::level()))),
        (None, Some(_)) => {
            return Err(Refusal::bad_request("Expecting 'level=value' in query.\n"));
        }
        (Some(_), None) => {
            return Err(Refusal::bad_request("Expecting 'duration=value' in query.\n"));
        }
        (Some(level), Some(_)) => (level, query.duration("duration")?),
    };
    let number: i64 = level.trim().parse().map_err(|_| {
        let shown: String = level.chars().take(64).collect();
        Refusal::bad_request(format!("Failed to convert '{shown}' to number.\n"))
    })?;
    let level = u32::try_from(number)
        .map_err(|_| Refusal::bad_request(format!("Invalid level '{number}'.\n")))?;
    verbosity::set(level, duration.unwrap_or_default());
    Ok(Reply::Done)
}
