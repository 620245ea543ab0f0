//! Regions and zones: what agents state of theirs, and who is offered agents of other regions.

use alcazar_master::engine::message::Inbound;
use wire::v1;
use wire::v1::framework_info::capability::Type as Capability;

use crate::world::*;

fn domain(region: &str) -> Option<v1::DomainInfo> {
    use v1::domain_info::{FaultDomain, fault_domain};
    let region = fault_domain::RegionInfo { name: region.to_owned() };
    let zone = fault_domain::ZoneInfo { name: "zone".to_owned() };
    Some(v1::DomainInfo { fault_domain: Some(FaultDomain { region, zone }) })
}

fn register(n: u8, region: Option<&str>) -> Inbound {
    let mut message = register_message(n, "cpus:4");
    message.slave.domain = region.and_then(domain);
    Inbound::RegisterAgent(message)
}

#[test]
fn agents_state_where_they_are_if_that_is_required() {
    for required in [false, true] {
        let mut world = World::with(|config| {
            config.master.domain = domain("near");
            config.require_agent_domain = required;
        });
        let done = world.say(&host(1), register(1, None));
        assert_eq!(done.names().contains(&"SlaveRegistered".to_owned()), !required);
        let done = world.say(&host(2), register(2, Some("near")));
        assert!(done.names().contains(&"SlaveRegistered".to_owned()));
        // Whoever was there before comes back no sooner than it states it.
        let id = world.state().agents.keys().last().cloned().unwrap();
        let mut message = world.reregister_message(2, &id);
        message.slave.domain = None;
        world.fail_over();
        let done = world.say(&host(2), Inbound::ReregisterAgent(message));
        assert_eq!(done.names().contains(&"SlaveReregistered".to_owned()), !required);
    }
}

#[test]
fn agents_of_other_regions_are_offered_to_those_who_know_of_regions() {
    let mut world = World::with(|config| config.master.domain = domain("near"));
    for (n, region) in [(1, Some("near")), (2, Some("far")), (3, None)] {
        world.say(&host(n), register(n, region));
    }
    let mut offered = |name: &str, capabilities: &[Capability]| {
        let (scheduler, _) = world.subscribe(name, framework_info(name, capabilities));
        let state = world.state();
        let mut hosts: Vec<_> = state
            .offers
            .values()
            .filter(|offer| offer.framework_id == scheduler.id)
            .map(|offer| state.agents[&offer.agent_id].info.hostname.clone())
            .collect();
        hosts.sort();
        world.call(&scheduler, scheduler.call(v1::scheduler::call::Type::Teardown));
        hosts
    };
    assert_eq!(offered("plain", &[]), ["host-1", "host-3"]);
    assert_eq!(offered("aware", &[Capability::RegionAware]), ["host-1", "host-2", "host-3"]);
}
