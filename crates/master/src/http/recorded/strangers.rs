//! Every route asks who comes.

use super::*;

#[test]
fn every_route_has_a_realm_and_an_action_and_strangers_reach_none() {
    let table = table();
    for route in &table.routes {
        println!("{:<32} {:<24} {}", route.path, route.realm.name(), route.action.name());
        assert!(route.realm.name().starts_with("mesos-master-"), "{}", route.path);
        assert!(!table.is_unauthenticated(route), "{}", route.path);
    }
    assert!(table.unauthenticated.is_empty());
    let paths: BTreeSet<_> = table.routes.iter().map(|r| r.path).collect();
    assert_eq!(paths.len(), table.routes.len(), "a path is listed twice");
    for path in ["/version", "/system/stats.json", "/master/health", "/master/redirect"] {
        assert!(paths.contains(path), "{path}");
    }
}

#[tokio::test]
async fn no_route_answers_a_stranger() {
    let Some(story) = story("11-operator-api") else { return };
    let all = exchanges(&story);
    let site = Site::new(master(&all), table(), Posture::identities());
    for route in &site.table().routes {
        for method in ["GET", "POST", "DELETE"] {
            let request = Message {
                first_line: format!("{method} {} HTTP/1.1", route.path),
                headers: Vec::new(),
                body: Vec::new(),
            };
            assert_eq!(ask(&site, &request).await.status, 401, "{method} {}", route.path);
        }
    }
}
