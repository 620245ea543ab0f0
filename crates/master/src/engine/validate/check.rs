//! Checks and health checks of tasks.

use wire::v1;

use super::container;

fn non_negative(times: &[(&str, Option<f64>)]) -> Result<(), String> {
    for (name, seconds) in times {
        // What is no number at all has no meaning either.
        if seconds.is_some_and(|seconds| !seconds.is_finite() || seconds < 0.0) {
            return Err(format!("Expecting '{name}' to be non-negative"));
        }
    }
    Ok(())
}

/// Checks the command of a check, which is a `kind` one.
fn command(command: &v1::CommandInfo, kind: &str, whose: &str) -> Result<(), String> {
    if command.value.is_none() {
        let needed = if command.shell() { "'shell command'" } else { "'executable path'" };
        return Err(format!("{kind} must contain {needed}"));
    }
    container::command(command)
        .map_err(|error| format!("{whose}'s `CommandInfo` is invalid: {error}"))
}

fn path(path: Option<&String>, kind: &str) -> Result<(), String> {
    match path {
        Some(path) if !path.starts_with('/') => {
            Err(format!("The path '{path}' of HTTP {kind} must start with '/'"))
        }
        _ => Ok(()),
    }
}

pub(super) fn check(check: &v1::CheckInfo) -> Result<(), String> {
    use v1::check_info::Type;
    match check.r#type.map(Type::try_from) {
        None => return Err("CheckInfo must specify 'type'".to_owned()),
        Some(Ok(Type::Command)) => {
            let Some(given) = &check.command else {
                return Err("Expecting 'command' to be set for COMMAND check".to_owned());
            };
            command(&given.command, "Command check", "Check")?;
        }
        Some(Ok(Type::Http)) => {
            let Some(http) = &check.http else {
                return Err("Expecting 'http' to be set for HTTP check".to_owned());
            };
            path(http.path.as_ref(), "check")?;
        }
        Some(Ok(Type::Tcp)) => {
            if check.tcp.is_none() {
                return Err("Expecting 'tcp' to be set for TCP check".to_owned());
            }
        }
        Some(Ok(Type::Unknown) | Err(_)) => {
            return Err("'UNKNOWN' is not a valid check type".to_owned());
        }
    }
    non_negative(&[
        ("delay_seconds", check.delay_seconds),
        ("interval_seconds", check.interval_seconds),
        ("timeout_seconds", check.timeout_seconds),
    ])
}

/// Schedulers older than the type of health checks state only its member.
pub(in super::super) fn infer_type(check: &mut v1::HealthCheck) {
    use v1::health_check::Type;
    match (check.r#type, &check.command, &check.http) {
        (None, Some(_), None) => check.set_type(Type::Command),
        (None, None, Some(_)) => check.set_type(Type::Http),
        _ => {}
    }
}

pub(super) fn health_check(check: &v1::HealthCheck) -> Result<(), String> {
    use v1::health_check::Type;
    match check.r#type.map(Type::try_from) {
        None => return Err("HealthCheck must specify 'type'".to_owned()),
        Some(Ok(Type::Command)) => {
            let Some(given) = &check.command else {
                return Err("Expecting 'command' to be set for COMMAND health check".to_owned());
            };
            command(given, "Command health check", "Health check")?;
        }
        Some(Ok(Type::Http)) => {
            let Some(http) = &check.http else {
                return Err("Expecting 'http' to be set for HTTP health check".to_owned());
            };
            if let Some(scheme) = &http.scheme
                && scheme != "http"
                && scheme != "https"
            {
                return Err(format!("Unsupported HTTP health check scheme: '{scheme}'"));
            }
            path(http.path.as_ref(), "health check")?;
        }
        Some(Ok(Type::Tcp)) => {
            if check.tcp.is_none() {
                return Err("Expecting 'tcp' to be set for TCP health check".to_owned());
            }
        }
        Some(Ok(Type::Unknown) | Err(_)) => {
            return Err("'UNKNOWN' is not a valid health check type".to_owned());
        }
    }
    non_negative(&[
        ("delay_seconds", check.delay_seconds),
        ("grace_period_seconds", check.grace_period_seconds),
        ("interval_seconds", check.interval_seconds),
        ("timeout_seconds", check.timeout_seconds),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_has_the_member_that_its_type_names() {
        use v1::check_info::{Command, Http, Tcp, Type};
        let of = |kind: Type| {
            let mut check = v1::CheckInfo::default();
            check.set_type(kind);
            check
        };
        let said = |check: v1::CheckInfo| super::check(&check).unwrap_err();
        assert_eq!(said(v1::CheckInfo::default()), "CheckInfo must specify 'type'");
        assert_eq!(said(of(Type::Unknown)), "'UNKNOWN' is not a valid check type");
        assert_eq!(said(of(Type::Tcp)), "Expecting 'tcp' to be set for TCP check");
        let empty = Some(Command::default());
        assert_eq!(
            said(v1::CheckInfo { command: empty, ..of(Type::Command) }),
            "Command check must contain 'shell command'"
        );
        let http = Some(Http { path: Some("up".into()), ..Http::default() });
        assert_eq!(
            said(v1::CheckInfo { http, ..of(Type::Http) }),
            "The path 'up' of HTTP check must start with '/'"
        );
        let tcp = v1::CheckInfo { tcp: Some(Tcp::default()), ..of(Type::Tcp) };
        assert_eq!(super::check(&tcp), Ok(()));
        for seconds in [-1.0, f64::NAN, f64::INFINITY] {
            let check = v1::CheckInfo { delay_seconds: Some(seconds), ..tcp.clone() };
            assert_eq!(said(check), "Expecting 'delay_seconds' to be non-negative");
        }
    }

    #[test]
    fn the_type_of_a_health_check_follows_from_its_member() {
        use v1::health_check::{HttpCheckInfo, Type};
        let command = Some(v1::CommandInfo { value: Some("true".into()), ..Default::default() });
        let mut check = v1::HealthCheck { command, ..v1::HealthCheck::default() };
        assert_eq!(health_check(&check), Err("HealthCheck must specify 'type'".into()));
        infer_type(&mut check);
        assert_eq!((check.r#type(), health_check(&check)), (Type::Command, Ok(())));

        let http = Some(HttpCheckInfo { scheme: Some("ftp".into()), ..Default::default() });
        let mut check = v1::HealthCheck { http, ..v1::HealthCheck::default() };
        infer_type(&mut check);
        assert_eq!(health_check(&check), Err("Unsupported HTTP health check scheme: 'ftp'".into()));
        check.command = Some(v1::CommandInfo::default());
        check.r#type = None;
        infer_type(&mut check);
        assert_eq!(check.r#type, None, "both is neither");
    }
}
