//! What operators promise roles, and what they hold them to.

use alcazar_master::engine::event::OperatorCommand;
use alcazar_master::engine::refusal::Refusal;
use model::role::Role;
use wire::v1;
use wire::v1::quota::{QuotaConfig, QuotaRequest};

use crate::world::*;

type Amounts<'a> = &'a [(&'a str, f64)];

pub(crate) fn config(role: &str, guarantees: Amounts<'_>, limits: Amounts<'_>) -> QuotaConfig {
    let amounts = |all: Amounts<'_>| {
        all.iter().map(|(name, value)| ((*name).to_owned(), scalar(*value))).collect()
    };
    let (guarantees, limits) = (amounts(guarantees), amounts(limits));
    QuotaConfig { role: role.to_owned(), guarantees, limits }
}

fn scalar(value: f64) -> v1::value::Scalar {
    v1::value::Scalar { value }
}

pub(crate) fn update(configs: Vec<QuotaConfig>, force: bool) -> OperatorCommand {
    let permit = permit(configs.iter().map(|config| config.role.clone()));
    OperatorCommand::UpdateQuota { permit, configs, force }
}

fn set(role: &str, amounts: &str, force: bool) -> OperatorCommand {
    OperatorCommand::SetQuota {
        permit: permit([role.to_owned()]),
        request: QuotaRequest {
            force: Some(force),
            role: Some(role.to_owned()),
            guarantee: resources(amounts),
        },
    }
}

fn remove(role: &str, path: Option<&str>) -> OperatorCommand {
    OperatorCommand::RemoveQuota {
        permit: permit([role.to_owned()]),
        role: role.to_owned(),
        path: path.map(str::to_owned),
    }
}

fn role(text: &str) -> Role {
    Role::new(text).unwrap()
}

fn refused(world: &mut World, command: OperatorCommand) -> (u16, String) {
    let quotas = world.state().settings.quotas;
    let refusal: Refusal = world.operate(command).refusal().unwrap();
    assert_eq!(world.state().settings.quotas, quotas);
    assert_eq!(world.registry.quotas.len(), quotas.size());
    (refusal.status(), refusal.to_string())
}

#[test]
fn a_quota_is_on_record_and_outlives_the_master() {
    let mut world = World::new();
    world.join(1, "cpus:4;mem:1024");
    let both = vec![
        config("a", &[("cpus", 2.0)], &[("cpus", 3.0), ("gpus", 0.0)]),
        config("b", &[("cpus", 1.0), ("mem", 0.0)], &[]),
    ];
    let done = world.operate(update(both, false));
    assert_eq!(done.refusal(), None);
    assert_eq!(done.names().iter().filter(|name| *name == "Persist").count(), 2);
    for _ in 0..2 {
        let quotas = world.state().settings.quotas;
        assert_eq!(quotas.size(), 2);
        let a = quotas.get(&role("a")).unwrap();
        assert_eq!(a.guarantees().get("cpus").as_f64(), 2.0);
        assert_eq!(a.limits().get("gpus").unwrap().as_f64(), 0.0);
        assert!(quotas.get(&role("b")).unwrap().limits().is_empty());
        world.fail_over();
    }
    // The default quota erases the entry.
    assert_eq!(
        world.operate(update(vec![config("a", &[("cpus", 0.0)], &[])], true)).refusal(),
        None
    );
    assert_eq!(world.registry.quotas.keys().collect::<Vec<_>>(), [&role("b")]);
}

#[test]
fn each_check_of_a_quota_has_its_words() {
    let mut world = World::with(|config| {
        config.roles =
            Some(["*", "a", "a/b", "-c"].iter().filter_map(|r| Role::new(r).ok()).collect());
    });
    world.join(1, "cpus:4;mem:1024");
    let cases = [
        (config("b", &[], &[]), "Invalid QuotaConfig: 'b' is not on the roles whitelist"),
        (config("a/b", &[], &[]), "Updating quota on nested role 'a/b' is not supported yet"),
        (
            config("a", &[("cpus", f64::NAN)], &[]),
            "Invalid QuotaConfig: Invalid guarantee configuration {'cpus': nan}: NaN not supported",
        ),
        (
            config("a", &[], &[("cpus", f64::INFINITY)]),
            "Invalid QuotaConfig: Invalid limit configuration {'cpus': inf}: Infinite values not \
             supported",
        ),
        (
            config("a", &[("cpus", -1.0)], &[]),
            "Invalid QuotaConfig: Invalid guarantee configuration {'cpus': -1}: Negative values \
             not supported",
        ),
        (
            config("a", &[("cpus", 2.0)], &[("cpus", 1.0)]),
            "Invalid QuotaConfig: 'QuotaConfig.guarantees' {cpus: 2} is not contained within the \
             'QuotaConfig.limits' {cpus: 1}",
        ),
        (
            config("a", &[("cpus", 5.0)], &[]),
            "Invalid QuotaConfig: total quota guarantees 'cpus:5' exceed cluster capacity \
             'cpus:4; mem:1024' (use 'force' flag to bypass this check)",
        ),
    ];
    for (wrong, text) in cases {
        // A good one before it is not set either.
        let all = vec![config("*", &[], &[("cpus", 1.0)]), wrong];
        assert_eq!(refused(&mut world, update(all, false)), (400, text.to_owned()));
    }
    let forced = update(vec![config("a", &[("cpus", 5.0)], &[])], true);
    assert_eq!(world.operate(forced).refusal(), None);
}

#[test]
fn quotas_of_all_roles_together_fit_the_cluster() {
    let mut world = World::new();
    world.join(1, "cpus:4;mem:1024");
    let promise = |r: &str, cpus| update(vec![config(r, &[("cpus", cpus)], &[])], false);
    assert_eq!(world.operate(promise("a", 3.0)).refusal(), None);
    assert_eq!(refused(&mut world, promise("b", 2.0)).0, 400);
    // A role's own new promise replaces its old one.
    assert_eq!(world.operate(promise("a", 2.0)).refusal(), None);
    assert_eq!(world.operate(promise("b", 2.0)).refusal(), None);
    // Right after a failover the cluster has nothing yet.
    world.fail_over();
    assert_eq!(refused(&mut world, promise("c", 0.1)).0, 400);
}

#[test]
fn the_older_calls_set_guarantees_that_are_limits_and_remove_them() {
    let mut world = World::new();
    world.join(1, "cpus:4;mem:1024");
    assert_eq!(world.operate(set("a", "cpus:2;mem:512", false)).refusal(), None);
    let quota = world.state().settings.quotas.get(&role("a")).unwrap().clone();
    assert_eq!(quota.limits().get("mem").unwrap().as_f64(), 512.0);
    let again = "Failed to validate set quota request: Cannot set quota for role 'a' which \
                 already has quota";
    assert_eq!(refused(&mut world, set("a", "cpus:1", true)), (400, again.to_owned()));
    let nested = "Setting quota on nested role 'a/b' is not supported yet";
    assert_eq!(refused(&mut world, set("a/b", "cpus:1", true)), (400, nested.to_owned()));
    let too_much = "Quota guarantees overcommit the cluster (use 'force' to bypass this check): \
                    Total quota guarantees 'cpus:5; mem:512' exceed cluster capacity \
                    'cpus:4; mem:1024'";
    assert_eq!(refused(&mut world, set("b", "cpus:3", false)), (409, too_much.to_owned()));
    let ports = "Failed to validate set quota request: QuotaInfo must not include non-scalar \
                 resources";
    assert_eq!(refused(&mut world, set("b", "ports:[1-2]", true)), (400, ports.to_owned()));
    assert_eq!(world.operate(remove("a", None)).refusal(), None);
    assert!(world.state().settings.quotas.is_empty() && world.registry.quotas.is_empty());
}

#[test]
fn removing_a_quota_that_is_not_there_is_refused_and_ends_nobody() {
    let mut world = World::with(|config| config.roles = Some([Role::any(), role("a")].into()));
    let none = "Failed to remove quota: Role 'a' has no quota set";
    assert_eq!(refused(&mut world, remove("a", None)), (400, none.to_owned()));
    let odd = "Failed to remove quota: Role '../x' has no quota set";
    assert_eq!(refused(&mut world, remove("../x", None)), (400, odd.to_owned()));
    let path = Some("/master/quota/a");
    let none = "Failed to remove quota for path '/master/quota/a': Role 'a' has no quota set";
    assert_eq!(refused(&mut world, remove("a", path)), (400, none.to_owned()));
    let unknown = "Failed to validate remove quota request for path '/master/quota/b': Unknown \
                   role 'b'";
    let path = Some("/master/quota/b");
    assert_eq!(refused(&mut world, remove("b", path)), (400, unknown.to_owned()));
}

#[test]
fn a_new_guarantee_takes_offers_of_others_back() {
    let mut world = World::new();
    let agent = world.join(1, "cpus:4;mem:1024");
    let scheduler = world.scheduler("one");
    world.wait(SECOND);
    assert_eq!(world.offers_of(&scheduler, &agent).len(), 1);
    let done = world.operate(update(vec![config("vip", &[("cpus", 4.0)], &[])], false));
    let kinds: Vec<_> = done.events(scheduler.subscription).iter().map(|e| e.r#type()).collect();
    assert!(kinds.contains(&v1::scheduler::event::Type::Rescind), "{kinds:?}");
}
