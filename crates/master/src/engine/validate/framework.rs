//! Descriptions of frameworks.

use std::collections::{BTreeMap, BTreeSet};
use std::num::FpCategory;
use std::time::Duration;

use model::resources::{MinAllocatable, Quantities, Scalar};
use model::role::Role;
use wire::v1;
use wire::v1::framework_info::capability::Type as Capability;

use super::super::config::Config;
use super::super::state::FrameworkCapabilities;

/// The longest time that the original can count: 2^63 nanoseconds, some 292 years.
const MAX_FAILOVER_TIMEOUT: Duration = Duration::from_nanos(i64::MAX as u64);

/// The most bytes that a description may have: each agent and each task is told it whole.
const MAX_BYTES: usize = 64 * 1024;

/// The most roles that a framework may have: each has its place in the tree of the allocator.
const MAX_ROLES: usize = 1024;

/// Checks that the description is not larger than the master and all agents can bear. Agents state
/// only what was checked before.
pub(in super::super) fn bounded(
    info: &v1::FrameworkInfo,
    suppressed: &[String],
) -> Result<(), String> {
    let bytes = super::super::message::size_of_body(info);
    if bytes > MAX_BYTES {
        return Err(format!("FrameworkInfo has {bytes} bytes; at most {MAX_BYTES} are allowed"));
    }
    for (field, roles) in [
        ("FrameworkInfo.roles", info.roles.len()),
        ("FrameworkInfo.offer_filters", info.offer_filters.len()),
        ("suppressed_roles", suppressed.len()),
    ] {
        if roles > MAX_ROLES {
            return Err(format!("'{field}' has {roles} entries; at most {MAX_ROLES} are allowed"));
        }
    }
    Ok(())
}

/// What follows from a description of a framework that is in order.
#[derive(Debug)]
pub(in super::super) struct Checked {
    pub(in super::super) roles: BTreeSet<Role>,
    pub(in super::super) capabilities: FrameworkCapabilities,
    pub(in super::super) failover_timeout: Duration,
}

/// What the framework understands.
pub(in super::super) fn capabilities(info: &v1::FrameworkInfo) -> FrameworkCapabilities {
    let has = |kind| info.capabilities.iter().any(|capability| capability.r#type() == kind);
    FrameworkCapabilities {
        gpu_resources: has(Capability::GpuResources),
        multi_role: has(Capability::MultiRole),
        partition_aware: has(Capability::PartitionAware),
        region_aware: has(Capability::RegionAware),
        reservation_refinement: has(Capability::ReservationRefinement),
        revocable_resources: has(Capability::RevocableResources),
        shared_resources: has(Capability::SharedResources),
        task_killing_state: has(Capability::TaskKillingState),
    }
}

/// Checks the description in itself.
#[expect(deprecated, reason = "frameworks with one role name it in the older field")]
pub(in super::super) fn info(info: &v1::FrameworkInfo) -> Result<Checked, String> {
    let capabilities = capabilities(info);
    let mut roles = BTreeSet::new();
    if capabilities.multi_role {
        if info.role.is_some() {
            return Err("'FrameworkInfo.role' must not be set when the framework is MULTI_ROLE \
                        capable"
                .to_owned());
        }
        let mut twice = BTreeSet::new();
        for text in &info.roles {
            let role = Role::new(text)
                .map_err(|error| format!("'FrameworkInfo.roles' contains invalid role: {error}"))?;
            if !roles.insert(role) {
                twice.insert(text.as_str());
            }
        }
        if !twice.is_empty() {
            let twice: Vec<_> = twice.into_iter().collect();
            return Err(format!(
                "'FrameworkInfo.roles' contains duplicate items: {{ {} }}",
                twice.join(", ")
            ));
        }
    } else {
        if !info.roles.is_empty() {
            return Err("'FrameworkInfo.roles' must not be set when the framework is not \
                        MULTI_ROLE capable"
                .to_owned());
        }
        let text = info.role.as_deref().unwrap_or("*");
        let role = Role::new(text)
            .map_err(|error| format!("'FrameworkInfo.role' is not a valid role: {error}"))?;
        roles.insert(role);
    }
    if let Some(id) = &info.id {
        super::call::id_syntax(&id.value)?;
    }
    min_allocatable(info)?;
    let seconds = info.failover_timeout.unwrap_or(0.0);
    let failover_timeout = Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|timeout| *timeout <= MAX_FAILOVER_TIMEOUT)
        .ok_or_else(|| format!("The framework failover_timeout ({seconds}) is invalid"))?;
    Ok(Checked { roles, capabilities, failover_timeout })
}

/// Checks what the cluster allows.
pub(in super::super) fn allowed(
    info: &v1::FrameworkInfo,
    roles: &BTreeSet<Role>,
    config: &Config,
) -> Result<(), String> {
    if let Some(whitelist) = &config.roles {
        let refused = |role: &&Role| **role != Role::any() && !whitelist.contains(*role);
        let invalid: Vec<_> = roles.iter().filter(refused).map(Role::as_str).collect();
        if !invalid.is_empty() {
            return Err(format!(
                "Roles {{ {} }} are not present in the master's --roles",
                invalid.join(", ")
            ));
        }
    }
    if info.user == "root" && !config.root_submissions {
        return Err("User 'root' is not allowed to run frameworks without --root_submissions set"
            .to_owned());
    }
    Ok(())
}

/// The roles for which the framework wants no offers: some of its own.
pub(in super::super) fn suppressed(
    suppressed: &[String],
    roles: &BTreeSet<Role>,
) -> Result<BTreeSet<Role>, String> {
    let mut all = BTreeSet::new();
    let mut foreign = BTreeSet::new();
    for text in suppressed {
        match roles.get(text.as_str()) {
            Some(role) => {
                all.insert(role.clone());
            }
            None => {
                foreign.insert(text.as_str());
            }
        };
    }
    if foreign.is_empty() {
        return Ok(all);
    }
    let foreign: Vec<_> = foreign.into_iter().collect();
    Err(format!(
        "Suppressed roles {{ {} }} are not contained in the set of roles",
        foreign.join(", ")
    ))
}

/// What offers must hold at the least, by role.
pub(in super::super) fn min_allocatable(
    info: &v1::FrameworkInfo,
) -> Result<BTreeMap<Role, MinAllocatable>, String> {
    let mut minimums = BTreeMap::new();
    for (text, filters) in &info.offer_filters {
        let Some(minimum) = &filters.min_allocatable_resources else { continue };
        let mut sets = Vec::new();
        for entry in &minimum.quantities {
            if entry.quantities.is_empty() {
                return Err("Resource quantities must contain at least one quantity".to_owned());
            }
            let mut quantities = Quantities::default();
            for (name, scalar) in &entry.quantities {
                let amount = quantity(scalar.value)
                    .map_err(|why| format!("Invalid resource quantity for '{name}': {why}"))?;
                quantities.add(name, amount);
            }
            sets.push(quantities);
        }
        // For a role that it does not have it may say what it likes, as in the original; what is
        // no role at all can never be asked about.
        if let Ok(role) = Role::new(text) {
            minimums.insert(role, MinAllocatable(sets));
        }
    }
    Ok(minimums)
}

/// An amount as a framework states it, in the original's words where that refuses; what is too
/// large to count is refused too.
fn quantity(value: f64) -> Result<Scalar, String> {
    Err(match value.classify() {
        FpCategory::Infinite => "Infinite values not supported".to_owned(),
        FpCategory::Nan => "NaN not supported".to_owned(),
        FpCategory::Subnormal => "Subnormal values not supported".to_owned(),
        FpCategory::Normal if value < 0.0 => "Negative values not supported".to_owned(),
        FpCategory::Normal | FpCategory::Zero => {
            return Scalar::from_f64(value).map_err(|error| error.to_string());
        }
    })
}

/// Whether UPDATE_FRAMEWORK may turn `old` into `new`.
pub(in super::super) fn update(
    old: &v1::FrameworkInfo,
    new: &v1::FrameworkInfo,
) -> Result<(), String> {
    let unsupported = |field: &str, from: &str, to: &str| {
        Err(format!(
            "Updating 'FrameworkInfo.{field}' is unsupported; attempted to update from '{from}' \
             to '{to}'"
        ))
    };
    let principal = |info: &v1::FrameworkInfo| info.principal.clone().unwrap_or_default();
    if principal(old) != principal(new) {
        return unsupported("principal", &principal(old), &principal(new));
    }
    if old.user != new.user {
        return unsupported("user", &old.user, &new.user);
    }
    if old.checkpoint() != new.checkpoint() {
        let text = |info: &v1::FrameworkInfo| info.checkpoint().to_string();
        return unsupported("checkpoint", &text(old), &text(new));
    }
    Ok(())
}

#[cfg(test)]
#[expect(deprecated, reason = "frameworks with one role name it in the older field")]
mod tests {
    use super::*;

    fn multi_role(roles: &[&str]) -> v1::FrameworkInfo {
        let mut capability = v1::framework_info::Capability::default();
        capability.set_type(Capability::MultiRole);
        v1::FrameworkInfo {
            roles: roles.iter().map(|&r| r.to_owned()).collect(),
            capabilities: vec![capability],
            ..Default::default()
        }
    }

    #[test]
    fn frameworks_that_contradict_themselves_are_told_how() {
        let refused = |info: &v1::FrameworkInfo| super::info(info).unwrap_err();
        assert_eq!(
            refused(&multi_role(&["r/../x"])),
            "'FrameworkInfo.roles' contains invalid role: Role 'r/../x' cannot include '..' as a \
             component"
        );
        assert!(refused(&multi_role(&["a", "a"])).contains("duplicate"));
        let mut both = multi_role(&["a"]);
        both.role = Some("b".into());
        assert!(refused(&both).contains("must not be set"));
        let mut one = v1::FrameworkInfo { roles: vec!["a".into()], ..Default::default() };
        assert!(refused(&one).contains("must not be set"));
        one.roles.clear();
        for (seconds, ok) in [(0.0, true), (1e6, true), (-1.0, false), (f64::NAN, false)] {
            one.failover_timeout = Some(seconds);
            assert_eq!(super::info(&one).is_ok(), ok, "{seconds}");
        }
        one.failover_timeout = None;
        one.id = Some(v1::FrameworkId { value: "../x".into() });
        assert!(refused(&one).contains("invalid characters"));
    }

    #[test]
    fn a_minimum_that_is_no_amount_is_refused() {
        for (value, ok) in [(1.0, true), (0.0, true), (f64::NAN, false), (-1.0, false)] {
            let mut info = multi_role(&["a"]);
            let quantities = v1::offer_filters::ResourceQuantities {
                quantities: BTreeMap::from([("cpus".into(), v1::value::Scalar { value })]),
            };
            let minimum =
                v1::offer_filters::MinAllocatableResources { quantities: vec![quantities] };
            let filters = v1::OfferFilters { min_allocatable_resources: Some(minimum) };
            info.offer_filters.insert("a".into(), filters);
            assert_eq!(super::info(&info).is_ok(), ok, "{value}");
        }
    }

    #[test]
    fn a_framework_without_a_role_has_the_one_of_everybody() {
        let checked = super::info(&v1::FrameworkInfo::default()).unwrap();
        assert_eq!(checked.roles, BTreeSet::from([Role::any()]));
    }
}
