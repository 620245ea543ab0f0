//! Whether an offer has what a task needs, and which of the offer's resources the task takes.

use wire::v1::value::{Range, Ranges, Scalar, Type};
use wire::v1::{Offer, Resource};

/// What an offer still has for tasks.
#[derive(Clone, Debug)]
pub(crate) struct Pool(Vec<Resource>);

impl Pool {
    /// Everything in the offer that any task may have: no revocable resources, no disks with an
    /// identity, nothing shared. What is reserved for the role comes first.
    pub(crate) fn of(offer: &Offer) -> Self {
        let mut resources: Vec<Resource> =
            offer.resources.iter().filter(|r| plain(r)).cloned().collect();
        resources.sort_by_key(|r| !reserved(r));
        Self(resources)
    }

    /// Takes what `wanted` asks for, as the task has to name it: with the reservations and the
    /// allocation of the offer. `None` if there is too little; the pool is then of no more use.
    pub(crate) fn take(&mut self, wanted: &[Resource]) -> Option<Vec<Resource>> {
        let mut taken = Vec::new();
        for want in wanted {
            match want.r#type() {
                Type::Scalar => take_scalar(&mut self.0, want, &mut taken)?,
                Type::Ranges => take_ranges(&mut self.0, want, &mut taken)?,
                Type::Set => take_set(&mut self.0, want, &mut taken)?,
                Type::Text => return None,
            }
        }
        Some(taken)
    }
}

fn plain(resource: &Resource) -> bool {
    resource.revocable.is_none()
        && resource.shared.is_none()
        && resource.provider_id.is_none()
        && resource.disk.is_none()
}

#[expect(deprecated, reason = "masters send `role` to frameworks without reservation refinement")]
fn reserved(resource: &Resource) -> bool {
    !resource.reservations.is_empty() || resource.role.as_deref().is_some_and(|r| r != "*")
}

/// Scalars have three decimals on the wire: whole thousandths, so that sums are exact.
fn thousandths(resource: &Resource) -> i64 {
    let value = resource.scalar.as_ref().map_or(0.0, |s| s.value);
    #[expect(clippy::cast_possible_truncation, reason = "the cast saturates, which is as good")]
    let thousandths = (value * 1000.0).round() as i64;
    thousandths
}

fn take_scalar(left: &mut [Resource], want: &Resource, taken: &mut Vec<Resource>) -> Option<()> {
    let mut missing = thousandths(want);
    for resource in left.iter_mut().filter(|r| r.name == want.name) {
        if missing <= 0 {
            break;
        }
        let has = thousandths(resource);
        let part = has.min(missing);
        if resource.r#type() != Type::Scalar || part <= 0 {
            continue;
        }
        #[expect(clippy::cast_precision_loss, reason = "amounts are far below 2^53 thousandths")]
        let scalar = |n: i64| Some(Scalar { value: n as f64 / 1000.0 });
        taken.push(Resource { scalar: scalar(part), ..resource.clone() });
        resource.scalar = scalar(has - part);
        missing -= part;
    }
    (missing <= 0).then_some(())
}

fn take_ranges(left: &mut [Resource], want: &Resource, taken: &mut Vec<Resource>) -> Option<()> {
    let wanted = &want.ranges.as_ref()?.range;
    for resource in left.iter_mut().filter(|r| r.name == want.name) {
        let Some(ranges) = &resource.ranges else { continue };
        let mut rest = ranges.range.clone();
        if wanted.iter().all(|w| subtract(&mut rest, w)) {
            taken.push(Resource { ranges: want.ranges.clone(), ..resource.clone() });
            resource.ranges = Some(Ranges { range: rest });
            return Some(());
        }
    }
    None
}

/// Takes `want` out of one of `ranges`; whether it was there.
fn subtract(ranges: &mut Vec<Range>, want: &Range) -> bool {
    let around = |r: &Range| r.begin <= want.begin && want.end <= r.end;
    let Some(at) = ranges.iter().position(around) else { return false };
    let whole = ranges.remove(at);
    if whole.begin < want.begin {
        ranges.push(Range { begin: whole.begin, end: want.begin - 1 });
    }
    if want.end < whole.end {
        ranges.push(Range { begin: want.end + 1, end: whole.end });
    }
    true
}

fn take_set(left: &mut [Resource], want: &Resource, taken: &mut Vec<Resource>) -> Option<()> {
    let wanted = &want.set.as_ref()?.item;
    for resource in left.iter_mut().filter(|r| r.name == want.name) {
        let Some(set) = &mut resource.set else { continue };
        if wanted.iter().all(|w| set.item.contains(w)) {
            set.item.retain(|i| !wanted.contains(i));
            taken.push(Resource { set: want.set.clone(), ..resource.clone() });
            return Some(());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::v1::resource::{AllocationInfo, ReservationInfo, RevocableInfo};

    fn scalar(name: &str, value: f64) -> Resource {
        Resource {
            name: name.into(),
            r#type: Type::Scalar as i32,
            scalar: Some(Scalar { value }),
            allocation_info: Some(AllocationInfo { role: Some("r".into()) }),
            ..Resource::default()
        }
    }

    fn ports(ranges: &[(u64, u64)]) -> Resource {
        let range = ranges.iter().map(|(begin, end)| Range { begin: *begin, end: *end }).collect();
        Resource {
            name: "ports".into(),
            r#type: Type::Ranges as i32,
            ranges: Some(Ranges { range }),
            ..Resource::default()
        }
    }

    fn offer(resources: Vec<Resource>) -> Offer {
        Offer { resources, ..Offer::default() }
    }

    fn fit(offer: &Offer, wanted: &[Resource]) -> Option<Vec<Resource>> {
        Pool::of(offer).take(wanted)
    }

    #[test]
    fn what_is_taken_carries_the_allocation_of_the_offer() {
        let offer = offer(vec![scalar("cpus", 2.0), scalar("mem", 512.0)]);
        let mut cpus = scalar("cpus", 0.1);
        cpus.allocation_info = None;
        assert_eq!(fit(&offer, &[cpus]).unwrap(), [scalar("cpus", 0.1)]);
        assert_eq!(fit(&offer, &[scalar("cpus", 2.001)]), None);
        assert_eq!(fit(&offer, &[scalar("gpus", 1.0)]), None);
    }

    #[test]
    fn reserved_resources_go_first_and_the_rest_comes_from_the_others() {
        let mut reserved = scalar("cpus", 1.0);
        reserved.reservations = vec![ReservationInfo::default()];
        let mut revocable = scalar("cpus", 8.0);
        revocable.revocable = Some(RevocableInfo {});
        let offer = offer(vec![revocable, scalar("cpus", 1.0), reserved.clone()]);
        assert_eq!(fit(&offer, &[scalar("cpus", 1.3)]).unwrap(), [reserved, scalar("cpus", 0.3)]);
        assert_eq!(fit(&offer, &[scalar("cpus", 2.5)]), None, "revocable ones do not count");
    }

    #[test]
    fn two_wishes_do_not_get_the_same_thing() {
        let offer = offer(vec![scalar("cpus", 1.0), ports(&[(1, 10)])]);
        assert_eq!(fit(&offer, &[scalar("cpus", 0.6), scalar("cpus", 0.6)]), None);
        assert_eq!(fit(&offer, &[ports(&[(2, 3)]), ports(&[(3, 4)])]), None);
        let both = [ports(&[(2, 3)]), ports(&[(4, 10)])];
        assert_eq!(fit(&offer, &both).unwrap(), both);
    }
}
