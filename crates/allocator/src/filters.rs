//! What frameworks refused, and until when.

use model::resources::Resources;
use model::time::Instant;

/// The most refusals kept for one framework, role and agent. Refusals that another covers are
/// dropped, so real schedulers have one or two.
pub(crate) const MAX_PER_CLIENT: usize = 16;

/// A refusal of one client about one agent.
#[derive(Debug)]
pub(crate) struct Filter {
    pub(crate) refused: Resources,
    pub(crate) expires: Instant,
    /// Whether the framework asked for none; it lasts one interval and is not counted.
    pub(crate) brief: bool,
}

/// Adds a refusal unless another covers it, and returns those that are no longer needed. `None`
/// if it is not needed itself.
pub(crate) fn add(filters: &mut Vec<Filter>, new: Filter) -> Option<Vec<Filter>> {
    let covers = |a: &Filter, b: &Filter| {
        a.expires >= b.expires && a.brief <= b.brief && a.refused.contains(&b.refused)
    };
    if filters.iter().any(|known| covers(known, &new)) {
        return None;
    }
    let mut dropped: Vec<Filter> = filters.extract_if(.., |known| covers(&new, known)).collect();
    if filters.len() == MAX_PER_CLIENT {
        let first = (0..filters.len()).min_by_key(|at| filters[*at].expires);
        dropped.extend(first.map(|at| filters.swap_remove(at)));
    }
    filters.push(new);
    Some(dropped)
}
