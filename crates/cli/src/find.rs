//! The task that somebody means.

use serde_json::Value;

use crate::exit::Failure;

/// Finds the task with this id, or the only one whose id begins so. Of several with the very same
/// id (of different frameworks, or launched again) the one that has not ended counts, else the
/// last.
pub(crate) fn task<'a>(tasks: &'a [Value], wanted: &str) -> anyhow::Result<&'a Value> {
    let id = |task: &'a Value| task["id"].as_str().unwrap_or_default();
    let exact: Vec<&Value> = tasks.iter().filter(|t| id(t) == wanted).collect();
    let alive = |task: &&&Value| {
        !crate::task::run::is_terminal_name(task["state"].as_str().unwrap_or_default())
    };
    let mut living = exact.iter().filter(alive);
    match (living.next(), living.next()) {
        (Some(one), None) => return Ok(one),
        (Some(_), Some(_)) => {
            return Err(
                Failure::NotFound(format!("several frameworks have a task `{wanted}`")).into()
            );
        }
        (None, _) => {}
    }
    if let Some(last) = exact.last() {
        return Ok(last);
    }
    let mut begins: Vec<&Value> =
        tasks.iter().filter(|t| !wanted.is_empty() && id(t).starts_with(wanted)).collect();
    begins.dedup_by_key(|t| id(t));
    match begins[..] {
        [] => Err(Failure::NotFound(format!("there is no task `{wanted}`")).into()),
        [one] => Ok(one),
        [..] => {
            let mut ids: Vec<String> =
                begins.iter().take(5).map(|t| crate::printer::printable(id(t))).collect();
            if begins.len() > ids.len() {
                ids.push("…".to_owned());
            }
            Err(Failure::NotFound(format!("`{wanted}` could be {}", ids.join(", "))).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tasks() -> Vec<Value> {
        [
            ("a-1", "TASK_FINISHED", 0),
            ("a-12", "TASK_RUNNING", 1),
            ("b", "TASK_RUNNING", 2),
            ("b", "TASK_FAILED", 3),
            ("c", "TASK_FINISHED", 4),
            ("c", "TASK_FAILED", 5),
            ("d", "TASK_RUNNING", 6),
            ("d", "TASK_RUNNING", 7),
        ]
        .map(|(id, state, n)| serde_json::json!({"id": id, "state": state, "n": n}))
        .to_vec()
    }

    #[test]
    fn an_id_is_found_as_a_whole_before_it_is_taken_for_a_beginning() {
        let tasks = tasks();
        let n = |wanted| task(&tasks, wanted).unwrap()["n"].as_u64().unwrap();
        assert_eq!(n("a-1"), 0);
        assert_eq!(n("a-12"), 1);
        assert_eq!(n("b"), 2, "the living one");
        assert_eq!(n("c"), 5, "the last one");
    }

    #[test]
    fn what_is_missing_or_meant_twice_is_said() {
        let tasks = tasks();
        let error = |wanted| task(&tasks, wanted).unwrap_err().to_string();
        assert_eq!(error("x"), "there is no task `x`");
        assert_eq!(error(""), "there is no task ``");
        assert_eq!(error("a-"), "`a-` could be a-1, a-12");
        assert_eq!(error("d"), "several frameworks have a task `d`");
    }
}
