//! `/tasks`: one page of all tasks.

use std::sync::Arc;

use endpoints::query::Query;
use endpoints::refusal::Refusal;
use endpoints::rope::{Rope, Weaver};

use super::View;
use super::entities::task_json;
use super::weave::List;
use crate::engine::state::Task;

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

impl View<'_> {
    /// `/tasks`: of active and completed frameworks, running, unreachable and completed, sorted by
    /// the time of their first status.
    #[must_use]
    pub fn tasks(&self, query: &TaskQuery) -> Rope {
        let wanted = |only: &Option<String>, id: &str| only.as_deref().is_none_or(|o| o == id);
        let mut tasks: Vec<&Arc<Task>> = self
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
            .filter(|t| wanted(&query.task_id, t.id.as_str()))
            .collect();
        // Tasks without a status are the oldest.
        tasks.sort_by(|a, b| a.begun().total_cmp(&b.begun()));
        if !query.ascending {
            tasks.reverse();
        }
        let mut out = Weaver::default();
        out.text(b"{\"tasks\":");
        let mut list = List::new(&mut out);
        for task in tasks.into_iter().skip(query.offset).take(query.limit) {
            list.element(&task_json(task));
        }
        list.end();
        out.text(b"}");
        out.finish()
    }
}
