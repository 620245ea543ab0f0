//! The names of metrics.

use super::*;

/// What the driver would have measured.
fn measure(master: &Master) {
    let moment = Duration::from_millis(1);
    master.measures.fetched(moment);
    master.measures.stored(moment);
    master.measures.allocated(1, moment, moment);
    master.measures.filtered(vec![("*".to_owned(), 1)]);
}

/// The names that stand in the reference's table as they are.
#[tokio::test]
async fn metrics_of_the_table_are_all_there() {
    let Some(shared) = testkit::shared::directory() else { return };
    let path = shared.join("reference/http-apis.md");
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("skipped: there is no {}", path.display());
        return;
    };
    let Some(story) = story("11-operator-api") else { return };
    let master = master(&exchanges(&story));
    measure(&master);
    let ours = master.metrics();
    let table = text.split("### 13.1").nth(1).unwrap().split("### 13.2").next().unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let plain = |name: &&str| {
        name.len() > 3 && name.bytes().all(|b| b.is_ascii_lowercase() || matches!(b, b'_' | b'/'))
    };
    let names: Vec<&str> = rows
        .filter(|row| !row.contains(['×', '`', '{']))
        .flat_map(|row| row.split(['(', ',']))
        .map(str::trim)
        .filter(plain)
        .collect();
    assert!(names.len() > 60, "{names:?}");
    let missing: Vec<&&str> =
        names.iter().filter(|name| !ours.contains_key(&format!("master/{name}"))).collect();
    assert_eq!(missing, Vec::<&&str>::new());
}

#[tokio::test]
async fn metrics_have_the_originals_names_or_stand_in_the_list() {
    let Some(story) = story("11-operator-api") else { return };
    let all = exchanges(&story);
    let recorded = json_of(body_of(&all, |r| is_get(r, "/metrics/snapshot")));
    let recorded: BTreeMap<String, Json> = serde_json::from_value(recorded).unwrap();
    let master = master(&all);
    measure(&master);
    let mut ours = master.metrics();
    ours.extend(endpoints::common::system_metrics());

    let missing: Vec<_> = recorded.keys().filter(|name| !ours.contains_key(*name)).collect();
    assert_eq!(missing, Vec::<&String>::new(), "not published");
    let invented: Vec<_> = ours
        .keys()
        .filter(|name| !recorded.contains_key(*name) && !name.starts_with("alcazar/"))
        .collect();
    assert_eq!(invented, Vec::<&String>::new(), "names that the original does not have");

    // What the story says about resources and tasks is in the numbers.
    for (name, value) in &recorded {
        let same = ["_total", "_used", "_percent", "slaves_", "frameworks_", "tasks_", "quota/"];
        if same.iter().any(|part| name.contains(part)) && !name.starts_with("system/") {
            assert_eq!(ours.get(name).copied(), value.as_f64(), "{name}");
        }
    }
}
