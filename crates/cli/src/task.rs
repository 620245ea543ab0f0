//! Running tasks as a framework of one's own: what `execute` and `mesos-execute` share.

pub(crate) mod capacity;
pub(crate) mod drive;
pub(crate) mod execution;
pub(crate) mod fit;
pub(crate) mod output;
pub(crate) mod run;
pub(crate) mod screen;

use model::role::Role;
use wire::json::{self, Names};
use wire::v1::Resource;

/// Returns at the deadline; never, if there is none.
pub(crate) async fn at(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Reads `cpus:1;mem:128`, or the same as a JSON array: what a task asks of an offer.
pub(crate) fn resources(description: &str) -> Result<Vec<Resource>, String> {
    if description.trim_start().starts_with('[') {
        return json::read_list(description.as_bytes(), Names::V1, &wire::Limits::default())
            .map_err(|e| e.to_string());
    }
    let parsed = model::resources::parse(description, &Role::any()).map_err(|e| e.to_string())?;
    if let Some(reserved) = parsed.iter().find(|r| !r.is_unreserved()) {
        return Err(format!(
            "`{}` names a role: what is reserved for the task's role is used by itself",
            reserved.name
        ));
    }
    if parsed.is_empty() {
        return Err("a task needs resources".to_owned());
    }
    Ok(wire::resources::write(&parsed, wire::resources::Form::PostRefinement))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::v1::value::Range;

    #[test]
    fn resources_are_read_as_flags_have_them() {
        let read = resources("cpus:0.5;mem:128;ports:[1-2,5-6]").unwrap();
        let names: Vec<&str> = read.iter().map(|r| r.name.as_str()).collect();
        assert_eq!(names.len(), 3, "{names:?}");
        let ports = read.iter().find(|r| r.name == "ports").unwrap();
        assert_eq!(ports.ranges.as_ref().unwrap().range[1], Range { begin: 5, end: 6 });
        let read = resources(r#"[{"name":"cpus","type":"SCALAR","scalar":{"value":1}}]"#).unwrap();
        assert_eq!(read[0].scalar.unwrap().value, 1.0);
        assert!(resources("").is_err());
        assert!(resources("cpus").is_err());
        assert!(resources("cpus(web):1").unwrap_err().contains("names a role"));
    }
}
