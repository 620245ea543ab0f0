//! Who gets in, by HTTP and by message.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use libprocess::upid::Upid;
use transport::tls::Expected;

use crate::fixture::{Cluster, Trust, identity, soon};

#[tokio::test]
async fn over_tls_only_those_with_an_identity_are_answered() {
    let cluster = Cluster::start(Trust::certificates()).await;
    for line in ["GET /health", "GET /version", "GET /state", "POST /api/v1", "GET /no-such"] {
        let (status, headers, body) = cluster.ask(None, line).await;
        assert_eq!(status, 401, "{line}");
        assert!(body.starts_with("401 Unauthorized. A verified client certificate"), "{body}");
        assert!(headers["www-authenticate"].to_str().unwrap().contains("realm="), "{line}");
        assert!(headers.contains_key("date"));
    }
    let statuses = async |path, lines: [&str; 4]| {
        let mut all = Vec::new();
        for line in lines {
            all.push(cluster.ask(Some(path), line).await.0);
        }
        all
    };
    assert_eq!(cluster.metric("alcazar/requests_refused/401").await, 5.0);
    let lines = ["GET /health", "GET /state", "GET /master/api/v1", "GET /api/v1/scheduler"];
    assert_eq!(statuses("operator/root", lines).await, [200, 200, 405, 405]);
    assert_eq!(statuses("framework/f1", lines).await, [200, 403, 403, 405]);
    assert_eq!(statuses("agent/a1", lines).await, [200, 403, 403, 403]);
    assert_eq!(statuses("executor/e1", lines).await, [200, 403, 403, 403]);
    soon(cluster.master.stop()).await.unwrap();
}

#[tokio::test]
async fn in_plaintext_everybody_is_answered() {
    let cluster = Cluster::start(Trust::Plaintext).await;
    let (status, headers, body) = cluster.ask(None, "GET /master/health").await;
    assert_eq!((status, body.as_str()), (200, ""));
    assert_eq!(headers["content-length"], "0");
    let (status, headers, body) = cluster.ask(None, "GET /state").await;
    assert_eq!(status, 200);
    assert_eq!(headers["content-type"], "application/json");
    let state: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(state["id"], cluster.master.info().id);
    assert_eq!(state["leader_info"]["port"], cluster.master.address().port());
    let (status, headers, _) = cluster.ask(None, "GET /redirect").await;
    assert_eq!(status, 307);
    let location = format!("//127.0.0.1:{}", cluster.master.address().port());
    assert_eq!(headers["location"], location.as_str());
    soon(cluster.master.stop()).await.unwrap();
}

#[tokio::test]
async fn messages_that_nobody_may_send_or_nobody_knows_are_counted_and_never_handled() {
    let cluster = Cluster::start(Trust::certificates()).await;
    let own = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1);
    let to = Upid::new("master", cluster.master.address());
    let master = Expected::Identity(identity("master/m1"));

    let framework = cluster.messenger("framework/f1", own);
    let register = "mesos.internal.RegisterSlaveMessage";
    framework.send("slave(1)", &to, master.clone(), register, b"").unwrap();
    assert!(framework.drain(Duration::from_secs(20)).await);
    assert_eq!(cluster.metric("alcazar/messages_forbidden").await, 1.0);

    let agent = cluster.messenger("agent/a1", own);
    for (name, body) in [
        ("mesos.internal.NoSuchMessage", &b""[..]),
        ("mesos.internal.RunTaskMessage", b""),
        // Its required fields are missing.
        (register, b""),
        (register, b"\xff\xff\xff"),
    ] {
        agent.send("slave(1)", &to, master.clone(), name, body).unwrap();
    }
    assert!(agent.drain(Duration::from_secs(20)).await);
    assert_eq!(cluster.metric("alcazar/messages_undecodable").await, 4.0);
    assert_eq!(cluster.metric("alcazar/messages_forbidden").await, 1.0);
    assert_eq!(cluster.metric("master/dropped_messages").await, 5.0);
    assert_eq!(cluster.metric("master/slave_registrations").await, 0.0);

    // Nobody's message: it does not bind, and is not even read.
    let stranger = cluster.messenger_of(None, own);
    stranger.send("slave(1)", &to, master, register, b"").unwrap();
    assert!(stranger.drain(Duration::from_secs(20)).await);
    assert_eq!(cluster.metric("alcazar/transport/messages_dropped_unbound").await, 1.0);
    assert_eq!(cluster.metric("master/dropped_messages").await, 5.0);
    soon(cluster.master.stop()).await.unwrap();
}
