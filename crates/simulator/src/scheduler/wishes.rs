//! What a scheduler wants to be offered: in which roles, of which agents, and when nothing; and
//! what it says when it is asked to leave an agent.

use wire::v1;
use wire::v1::scheduler::attribute_constraint::selector::PseudoattributeType;
use wire::v1::scheduler::attribute_constraint::{Predicate, Selector, predicate, selector};
use wire::v1::scheduler::offer_constraints::RoleConstraints;
use wire::v1::scheduler::offer_constraints::role_constraints::Group;
use wire::v1::scheduler::{AttributeConstraint, OfferConstraints, call};

use super::Scheduler;
use crate::core::{Core, Happening, Inner};

/// That no agent on this host is offered, in one of the ways to say it.
fn elsewhere(host: u8) -> Group {
    let name = format!("host-{host}");
    let predicate = if host.is_multiple_of(2) {
        predicate::Predicate::TextNotEquals(predicate::TextNotEquals { value: name })
    } else {
        predicate::Predicate::TextNotMatches(predicate::TextNotMatches { regex: name })
    };
    let hostname = PseudoattributeType::Hostname.into();
    let constraint = AttributeConstraint {
        selector: Selector { selector: Some(selector::Selector::PseudoattributeType(hostname)) },
        predicate: Predicate { predicate: Some(predicate) },
    };
    Group { attribute_constraints: vec![constraint] }
}

impl Scheduler {
    /// In which roles it is offered something.
    fn offered_roles(&self) -> Vec<String> {
        if self.shape.multi_role { self.roles.clone() } else { vec!["*".to_owned()] }
    }

    /// All that a master must know of it to make offers.
    pub(super) fn wish(&self) -> call::Subscribe {
        let of_all = |host| {
            let groups = || RoleConstraints { groups: vec![elsewhere(host)] };
            let role_constraints = self.offered_roles().into_iter().map(|role| (role, groups()));
            OfferConstraints { role_constraints: role_constraints.collect() }
        };
        call::Subscribe {
            framework_info: self.info(),
            suppressed_roles: self.suppressed.iter().cloned().collect(),
            offer_constraints: self.shape.avoids.map(of_all),
        }
    }

    pub(super) fn whim(&mut self, core: &mut Core) {
        if !self.is_subscribed() {
            return;
        }
        if core.turmoil {
            match core.dice.below(100) {
                0..15 => return self.suppress(core),
                15..40 if self.shape.restless => return self.changes_roles(core),
                _ => {}
            }
        }
        if !self.jobs.is_empty() && (!self.suppressed.is_empty() || core.dice.percent(10)) {
            self.revive(core);
        }
    }

    /// It wants no offers for now, in all roles or in one.
    pub(super) fn suppress(&mut self, core: &mut Core) {
        let all = self.offered_roles();
        let one = if core.dice.percent(50) { core.dice.one_of(&all) } else { None };
        let roles: Vec<_> = one.into_iter().collect();
        self.suppressed.extend(if roles.is_empty() { all } else { roles.clone() });
        let mut call = self.call(call::Type::Suppress);
        call.suppress = Some(call::Suppress { roles });
        self.say(call, core);
    }

    /// It wants offers again.
    pub(super) fn revive(&mut self, core: &mut Core) {
        if !self.is_subscribed() {
            return;
        }
        let suppressed: Vec<_> = self.suppressed.iter().cloned().collect();
        let one = if core.dice.percent(30) { core.dice.one_of(&suppressed) } else { None };
        let roles: Vec<_> = one.into_iter().collect();
        self.suppressed.retain(|role| !roles.is_empty() && !roles.contains(role));
        let mut call = self.call(call::Type::Revive);
        call.revive = Some(call::Revive { roles });
        self.say(call, core);
    }

    /// It goes on in other roles, whatever it runs in the old ones.
    fn changes_roles(&mut self, core: &mut Core) {
        self.roles = ["red", "blue", "green"].map(str::to_owned).into();
        self.roles.retain(|_| core.dice.percent(60));
        if self.roles.is_empty() {
            self.roles.push("red".to_owned());
        }
        self.suppressed.retain(|role| self.roles.contains(role));
        let wish = self.wish();
        let mut call = self.call(call::Type::UpdateFramework);
        call.update_framework = Some(call::UpdateFramework {
            framework_info: wish.framework_info,
            suppressed_roles: wish.suppressed_roles,
            offer_constraints: wish.offer_constraints,
        });
        self.say(call, core);
    }

    /// It is asked whether it can leave agents; some never answer.
    pub(super) fn is_asked_to_leave(&self, offers: Vec<v1::InverseOffer>, core: &mut Core) {
        for offer in offers {
            core.ledger.count("inverse offers");
            if core.dice.percent(85) {
                let wait = core.dice.millis(1, 5000);
                core.after(wait, Happening::In(self.node(), Inner::Leave(offer.id)));
            }
        }
    }

    pub(super) fn answers(&mut self, id: v1::OfferId, core: &mut Core) {
        let inverse_offer_ids = vec![id];
        let filters = core.dice.percent(50).then(|| self.filters(core));
        let call = if core.dice.percent(50) {
            let mut call = self.call(call::Type::AcceptInverseOffers);
            call.accept_inverse_offers =
                Some(call::AcceptInverseOffers { inverse_offer_ids, filters });
            call
        } else {
            let mut call = self.call(call::Type::DeclineInverseOffers);
            call.decline_inverse_offers =
                Some(call::DeclineInverseOffers { inverse_offer_ids, filters });
            call
        };
        self.say(call, core);
    }
}
