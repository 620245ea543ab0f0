//! Conditional requests, and compressed answers.

use super::*;

/// Whoever has seen a state is not sent it again, and whoever takes gzip gets that.
#[tokio::test]
async fn a_poller_of_an_unchanged_cluster_is_told_so() {
    let Some(story) = story("11-operator-api") else { return };
    let all = exchanges(&story);
    let master = master(&all);
    let site = Site::new(Arc::clone(&master), table(), Posture::danger_plaintext());
    let paths = ["/state", "/state-summary", "/slaves", "/frameworks", "/tasks", "/roles"];
    for path in paths {
        let get = async |name: &str, value: &str| {
            let mut request = Message::parse(format!("GET {path} HTTP/1.1\r\n\r\n").as_bytes());
            if !name.is_empty() {
                request.headers.push((name.to_owned(), value.to_owned()));
            }
            ask(&site, &request).await
        };
        let first = get("", "").await;
        let tag = first.headers["etag"].to_str().unwrap().to_owned();
        for known in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
            let again = get("if-none-match", &known).await;
            assert_eq!((again.status, again.body.len()), (304, 0), "{path} {known}");
            assert_eq!(again.headers["etag"], tag);
        }
        let other = get("if-none-match", "\"x\"").await;
        assert_eq!((other.status, &other.body), (200, &first.body), "{path}");
        if first.body.len() < 1024 {
            continue;
        }
        let packed = get("accept-encoding", "gzip").await;
        assert_eq!(packed.headers["content-encoding"], "gzip", "{path}");
        let packed_tag = packed.headers["etag"].to_str().unwrap();
        assert_ne!(packed_tag, tag, "{path}");
        assert_eq!(get("if-none-match", packed_tag).await.status, 304, "{path}");
    }
    // What another batch left as it was, is the same; what changed is not.
    let state = Message::parse(b"GET /state HTTP/1.1\r\n\r\n");
    let tag = ask(&site, &state).await.headers["etag"].clone();
    let mut snapshot = (*master.snapshots.load_full()).clone();
    master.snapshots.store(Arc::new(snapshot.clone()));
    assert_eq!(ask(&site, &state).await.headers["etag"], tag);
    let id = snapshot.agents.keys().next().unwrap().clone();
    let mut agent = (**snapshot.agents.get(&id).unwrap()).clone();
    agent.active = false;
    snapshot.agents.insert_mut(id, Arc::new(agent));
    master.snapshots.store(Arc::new(snapshot));
    let changed = ask(&site, &state).await;
    assert_ne!(changed.headers["etag"], tag);
    let changed = json_of(&Message { body: changed.body.to_vec(), ..state.clone() });
    assert_eq!(changed["slaves"][0]["active"], false);
    assert_eq!(changed["activated_slaves"], 0.0);
    assert!(master.metrics()["master/http_cache_hits"] > 10.0);
    // Roles are kept as well, until something that they show has changed.
    let roles = Message::parse(b"GET /roles HTTP/1.1\r\n\r\n");
    let tag = ask(&site, &roles).await.headers["etag"].clone();
    let hits = master.metrics()["master/http_cache_hits"];
    assert_eq!(ask(&site, &roles).await.headers["etag"], tag);
    assert_eq!(master.metrics()["master/http_cache_hits"], hits + 1.0);
    let mut snapshot = (*master.snapshots.load_full()).clone();
    snapshot.settings.weights.insert_mut(Role::any(), model::weight::Weight::new(2.0).unwrap());
    master.snapshots.store(Arc::new(snapshot));
    assert_ne!(ask(&site, &roles).await.headers["etag"], tag);
}
