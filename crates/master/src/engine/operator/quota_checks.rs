//! Whether a quota is well formed, in the original's order and words.

use std::collections::{BTreeMap, BTreeSet};

use model::quota::{Limits, Quota};
use model::resources::{Quantities, Scalar};
use model::role::Role;
use wire::v1;
use wire::v1::quota::{QuotaConfig, QuotaRequest};

use crate::engine::words;

/// The most memory or disk, in megabytes: one exabyte.
const MOST_BYTES: f64 = 1_099_511_627_776.0;
/// The most of anything else.
const MOST: f64 = 1e12;
/// The most names of resources in one quota: more is no honest request.
const MOST_NAMES: usize = 1024;

type Amounts = BTreeMap<String, v1::value::Scalar>;

/// Reads a quota that is well formed.
pub(super) fn config(config: &QuotaConfig) -> Result<(Role, Quota), String> {
    let role = Role::new(&config.role)
        .map_err(|why| format!("Invalid 'QuotaConfig.role': {}", words::quote(&why.to_string())))?;
    too_large(&config.guarantees)
        .map_err(|why| format!("Invalid 'QuotaConfig.guarantees': {why}"))?;
    too_large(&config.limits).map_err(|why| format!("Invalid 'QuotaConfig.limits': {why}"))?;
    let guarantees = amounts("guarantee", &config.guarantees)?;
    let limits = amounts("limit", &config.limits)?;
    let mut sum = Quantities::default();
    for (name, amount) in &guarantees {
        sum.add(name, *amount);
    }
    let limits: Limits = limits.iter().map(|(name, amount)| (*name, *amount)).collect();
    let quota = Quota::new(sum, limits).map_err(|_| {
        format!(
            "'QuotaConfig.guarantees' {} is not contained within the 'QuotaConfig.limits' {}",
            listed(&config.guarantees),
            listed(&config.limits)
        )
    })?;
    Ok((role, quota))
}

fn too_large(amounts: &Amounts) -> Result<(), String> {
    if amounts.len() > MOST_NAMES {
        return Err(format!("more than {MOST_NAMES} names of resources are not supported"));
    }
    for (name, amount) in amounts {
        let bytes = matches!(name.as_str(), "mem" | "disk");
        let (most, words) = match bytes {
            true => (MOST_BYTES, "1 exabyte (1099511627776)"),
            false => (MOST, "1 trillion (1000000000000)"),
        };
        // NaN is not greater, and is refused right after.
        if amount.value > most && amount.value.is_finite() {
            return Err(format!(
                "{{'{}': {}}} is invalid: values greater than {words} are not supported",
                words::quote(name),
                words::double(amount.value)
            ));
        }
    }
    Ok(())
}

/// Amounts of which all are numbers that can be counted.
fn amounts<'a>(kind: &str, amounts: &'a Amounts) -> Result<Vec<(&'a str, Scalar)>, String> {
    let mut read = Vec::with_capacity(amounts.len());
    for (name, amount) in amounts {
        let wrong = |why: &str| {
            let (name, number) = (words::quote(name), words::double(amount.value));
            format!("Invalid {kind} configuration {{'{name}': {number}}}: {why}")
        };
        number(amount.value).map_err(wrong)?;
        // Not negative, and not too large: a quota may be somewhat more than one resource.
        let scalar = Scalar::from_thousandths((amount.value * 1000.0).round() as u64);
        read.push((name.as_str(), scalar));
    }
    Ok(read)
}

/// Whether a number is one that can be counted.
fn number(value: f64) -> Result<(), &'static str> {
    if value.is_infinite() {
        Err("Infinite values not supported")
    } else if value.is_nan() {
        Err("NaN not supported")
    } else if value.is_subnormal() {
        Err("Subnormal values not supported")
    } else if value < 0.0 {
        Err("Negative values not supported")
    } else {
        Ok(())
    }
}

fn listed(amounts: &Amounts) -> String {
    let all: Vec<_> = amounts
        .iter()
        .map(|(name, amount)| format!("{}: {}", words::quote(name), words::double(amount.value)))
        .collect();
    format!("{{{}}}", all.join(", "))
}

/// Reads a request of the older form that is well formed.
#[expect(deprecated, reason = "a quota must not have what is deprecated either")]
pub(super) fn request(request: &QuotaRequest) -> Result<(Role, Quantities), String> {
    let invalid = |why: String| format!("QuotaInfo with invalid resource: {why}");
    if request.guarantee.len() > MOST_NAMES {
        return Err(format!("QuotaInfo with more than {MOST_NAMES} resources"));
    }
    let resources = wire::resources::read(&request.guarantee)
        .map_err(|why| invalid(words::quote(&why.to_string())))?;
    let Some(role) = &request.role else {
        return Err("QuotaInfo must specify a role".to_owned());
    };
    let role = Role::new(role).map_err(|why| {
        format!("QuotaInfo with invalid role: {}", words::quote(&why.to_string()))
    })?;
    if request.guarantee.is_empty() {
        return Err("QuotaInfo with empty 'guarantee'".to_owned());
    }
    let mut names = BTreeSet::new();
    let mut amounts = Quantities::default();
    for resource in &request.guarantee {
        let reserved = !resource.reservations.is_empty()
            || resource.reservation.is_some()
            || resource.role.as_deref().is_some_and(|role| role != "*");
        if reserved {
            return Err("QuotaInfo must not contain any ReservationInfo".to_owned());
        }
        if resource.disk.is_some() {
            return Err("QuotaInfo must not contain DiskInfo".to_owned());
        }
        if resource.revocable.is_some() {
            return Err("QuotaInfo must not contain RevocableInfo".to_owned());
        }
        if resource.r#type() != v1::value::Type::Scalar {
            return Err("QuotaInfo must not include non-scalar resources".to_owned());
        }
        if !names.insert(resource.name.as_str()) {
            let name = words::quote(&resource.name);
            return Err(format!("QuotaInfo contains duplicate resource name '{name}'"));
        }
        let value = resource.scalar.map(|scalar| scalar.value).unwrap_or_default();
        number(value).map_err(|why| invalid(why.to_owned()))?;
    }
    amounts.add_all(&resources.scalar_quantities());
    Ok((role, amounts))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(guarantees: &[(&str, f64)], limits: &[(&str, f64)]) -> Result<(Role, Quota), String> {
        let amounts = |all: &[(&str, f64)]| {
            all.iter()
                .map(|(name, value)| ((*name).to_owned(), v1::value::Scalar { value: *value }))
                .collect()
        };
        let (guarantees, limits) = (amounts(guarantees), amounts(limits));
        config(&QuotaConfig { role: "r".to_owned(), guarantees, limits })
    }

    #[test]
    fn numbers_that_cannot_be_counted_are_no_quota() {
        let wrong = |value| of(&[("cpus", value)], &[]).unwrap_err();
        let text =
            |number, why| format!("Invalid guarantee configuration {{'cpus': {number}}}: {why}");
        assert_eq!(wrong(f64::NAN), text("nan", "NaN not supported"));
        assert_eq!(wrong(f64::INFINITY), text("inf", "Infinite values not supported"));
        assert_eq!(wrong(-1.0), text("-1", "Negative values not supported"));
        assert_eq!(wrong(1e-310), text("1e-310", "Subnormal values not supported"));
        assert_eq!(
            wrong(1.1e12),
            "Invalid 'QuotaConfig.guarantees': {'cpus': 1.1e+12} is invalid: values greater than \
             1 trillion (1000000000000) are not supported"
        );
        assert_eq!(
            of(&[], &[("mem", 1.2e12)]).unwrap_err(),
            "Invalid 'QuotaConfig.limits': {'mem': 1.2e+12} is invalid: values greater than 1 \
             exabyte (1099511627776) are not supported"
        );
        assert!(of(&[("mem", MOST_BYTES)], &[("gpus", 1e12)]).is_ok());
    }

    #[test]
    fn guarantees_lie_within_limits_and_zero_guarantees_nothing() {
        assert_eq!(
            of(&[("cpus", 2.0)], &[("cpus", 1.0)]).unwrap_err(),
            "'QuotaConfig.guarantees' {cpus: 2} is not contained within the 'QuotaConfig.limits' \
             {cpus: 1}"
        );
        let (_, quota) = of(&[("cpus", 0.0)], &[("cpus", 0.0)]).unwrap();
        assert!(quota.guarantees().is_empty());
        assert_eq!(quota.limits().get("cpus"), Some(Scalar::ZERO));
        assert!(of(&[("cpus", 0.0)], &[]).unwrap().1.is_default());
    }

    #[test]
    #[expect(deprecated, reason = "the older form of reservations")]
    fn a_request_of_old_has_one_scalar_per_name() {
        let scalar = |name: &str, value| v1::Resource {
            name: name.to_owned(),
            r#type: v1::value::Type::Scalar.into(),
            scalar: Some(v1::value::Scalar { value }),
            ..v1::Resource::default()
        };
        let of = |role: Option<&str>, guarantee: Vec<v1::Resource>| {
            let role = role.map(str::to_owned);
            request(&QuotaRequest { force: None, role, guarantee }).map(|_| ())
        };
        let err = |text: &str| Err(text.to_owned());
        let cpus = || scalar("cpus", 1.0);
        assert_eq!(of(Some("r"), vec![cpus(), scalar("mem", 2.0)]), Ok(()));
        assert_eq!(of(None, vec![cpus()]), err("QuotaInfo must specify a role"));
        assert_eq!(of(Some("r"), vec![]), err("QuotaInfo with empty 'guarantee'"));
        assert_eq!(
            of(Some("-r"), vec![cpus()]).unwrap_err(),
            "QuotaInfo with invalid role: Role component '-r' is invalid because it begins \
             with a dash"
        );
        assert_eq!(
            of(Some("r"), vec![cpus(), cpus()]),
            err("QuotaInfo contains duplicate resource name 'cpus'")
        );
        let reserved = v1::Resource { role: Some("x".to_owned()), ..cpus() };
        assert_eq!(
            of(Some("r"), vec![reserved]),
            err("QuotaInfo must not contain any ReservationInfo")
        );
        let mut revocable = cpus();
        revocable.revocable = Some(v1::resource::RevocableInfo::default());
        assert_eq!(of(Some("r"), vec![revocable]), err("QuotaInfo must not contain RevocableInfo"));
        for bad in [f64::NAN, f64::INFINITY, -1.0] {
            assert!(of(Some("r"), vec![scalar("cpus", bad)]).is_err(), "{bad}");
        }
    }
}
