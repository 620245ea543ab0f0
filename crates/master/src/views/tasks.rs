//! `/tasks`: one page of all tasks.

use endpoints::query::Query;
use endpoints::refusal::Refusal;
use endpoints::rope::{Rope, Weaver};

use super::View;
use super::entities::task_json;
use super::weave::List;

/// The parameters of `/tasks`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskQuery {
    /// How many tasks at the most.
    pub limit: usize,
    /// How many to skip.
    pub offset: usize,
    /// Whether the oldest come first.
    pub ascending: bool,
    /// Only tasks of this framework.
    pub framework_id: Option<String>,
    /// Only tasks with this id.
    pub task_id: Option<String>,
}

/// How many tasks a page has, unless another number is asked for.
const DEFAULT_LIMIT: usize = 100;

impl Default for TaskQuery {
    fn default() -> Self {
        Self {
            limit: DEFAULT_LIMIT,
            offset: 0,
            ascending: false,
            framework_id: None,
            task_id: None,
        }
    }
}

impl TaskQuery {
    /// Reads the parameters.
    pub fn read(query: &Query) -> Result<Self, Refusal> {
        let natural = |name: &str, default| match query.integer(name)? {
            None => Ok(default),
            Some(n) => usize::try_from(n).map_err(|_| {
                Refusal::bad_request(format!("Failed to parse {name}: '{n}' is negative"))
            }),
        };
        let text = |name: &str| query.get(name).map(str::to_owned);
        Ok(Self {
            limit: natural("limit", DEFAULT_LIMIT)?,
            offset: natural("offset", 0)?,
            ascending: query.get("order") == Some("asc"),
            framework_id: text("framework_id"),
            task_id: text("task_id"),
        })
    }
}

/// The page of all that is asked for, in its order; of those with the same moment the one that
/// comes first is the older.
fn page<T>(all: impl Iterator<Item = (f64, T)>, query: &TaskQuery) -> Vec<T> {
    let mut all: Vec<_> =
        all.enumerate().map(|(place, (begun, one))| (begun, place, one)).collect();
    let in_order = |a: &(f64, usize, T), b: &(f64, usize, T)| {
        let order = a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        if query.ascending { order } else { order.reverse() }
    };
    // Of a large cluster that is little: what comes after it need not be in order.
    let end = query.offset.saturating_add(query.limit);
    if end < all.len() {
        all.select_nth_unstable_by(end, in_order);
        all.truncate(end);
    }
    all.sort_unstable_by(in_order);
    all.into_iter().skip(query.offset).map(|(_, _, one)| one).collect()
}

impl View<'_> {
    /// `/tasks`: of active and completed frameworks, running, unreachable and completed, sorted by
    /// the time of their first status.
    #[must_use]
    pub fn tasks(&self, query: &TaskQuery) -> Rope {
        let wanted = |only: &Option<String>, id: &str| only.as_deref().is_none_or(|o| o == id);
        let tasks = self
            .frameworks()
            .chain(self.completed_frameworks())
            .filter(|f| wanted(&query.framework_id, f.id.as_str()))
            .flat_map(|f| {
                f.tasks
                    .values()
                    .chain(f.unreachable_tasks.iter())
                    .chain(f.completed_tasks.iter())
                    .filter(|t| self.sight.task(&f.info, t))
            })
            .filter(|t| wanted(&query.task_id, t.id.as_str()));
        // Tasks without a status are the oldest.
        let tasks = page(tasks.map(|task| (task.begun(), task)), query);
        let mut out = Weaver::default();
        out.text(b"{\"tasks\":");
        let mut list = List::new(&mut out);
        for task in tasks {
            list.element(&task_json(task));
        }
        list.end();
        out.text(b"}");
        out.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_a_part_of_all_in_order() {
        // Many of the same moment, none where it belongs.
        let all = || (0..50_usize).map(|n| ((n * 7 % 11) as f64, n));
        for ascending in [true, false] {
            let mut sorted: Vec<_> = all().collect();
            sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
            if !ascending {
                sorted.reverse();
            }
            for (offset, limit) in [(0, 7), (7, 7), (45, 7), (50, 7), (0, 0), (3, usize::MAX)] {
                let query = TaskQuery { limit, offset, ascending, ..TaskQuery::default() };
                let wanted = sorted.iter().skip(offset).take(limit).map(|(_, n)| *n);
                assert_eq!(page(all(), &query), wanted.collect::<Vec<_>>(), "{query:?}");
            }
        }
    }
}
