//! The driver against a master that is nothing but a script on a socket.
#![expect(clippy::unwrap_used, reason = "a failed fixture fails its test, loudly")]

use alcazar_scheduler::{CallError, Config, ContentType, Notice, SessionError, start, teardown};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use transport::client::{Client, Settings};
use transport::tls::{Expected, Security};
use wire::v1::FrameworkInfo;

async fn master() -> (TcpListener, Config) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let config = Config {
        client: Client::new(Security::DangerPlaintext, Settings::default()),
        host: "127.0.0.1".into(),
        port: listener.local_addr().unwrap().port(),
        expected: Expected::Kind(model::identity::Kind::Master),
        content_type: ContentType::Json,
        framework: FrameworkInfo {
            user: "nobody".into(),
            name: "f".into(),
            ..FrameworkInfo::default()
        },
        suppressed_roles: Vec::new(),
    };
    (listener, config)
}

/// Reads one request: head and body as text.
async fn request(socket: &mut TcpStream) -> (String, String) {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok())
                .unwrap_or(0);
            if body.len() >= length {
                return (head.to_owned(), body.to_owned());
            }
        }
        let mut piece = [0; 4096];
        let n = socket.read(&mut piece).await.unwrap();
        assert!(n > 0, "the client left in the middle of `{text}`");
        bytes.extend_from_slice(&piece[..n]);
    }
}

async fn open_stream(socket: &mut TcpStream, stream_id: &str) {
    let event = r#"{"type":"SUBSCRIBED","subscribed":{"framework_id":{"value":"m-0000"},"heartbeat_interval_seconds":15.0}}"#;
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nMesos-Stream-Id: {stream_id}\r\nConnection: close\r\n\r\n"
    );
    // In two pieces, cut inside a record.
    let text = format!("{head}{}\n{event}20\n{{\"type\":", event.len());
    socket.write_all(text.as_bytes()).await.unwrap();
    socket.flush().await.unwrap();
    socket.write_all(b"\"HEARTBEAT\"}").await.unwrap();
}

#[tokio::test]
async fn a_lost_stream_is_opened_again_under_the_same_id_and_calls_name_the_newest_stream() {
    let (listener, config) = master().await;
    let (scheduler, mut notices) = start(config);

    let (mut stream, _) = listener.accept().await.unwrap();
    let (head, body) = request(&mut stream).await;
    assert!(head.starts_with("POST /api/v1/scheduler HTTP/1.1"), "{head}");
    assert!(!head.to_ascii_lowercase().contains("mesos-stream-id"), "{head}");
    assert_eq!(
        body,
        r#"{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"nobody","name":"f","failover_timeout":0.0,"checkpoint":false}}}"#
    );
    assert_eq!(scheduler.call(teardown()).await, Err(CallError::NotSubscribed));
    open_stream(&mut stream, "first").await;
    let notice = notices.next().await.unwrap().unwrap();
    assert!(matches!(notice, Notice::Subscribed { again: false, .. }), "{notice:?}");

    drop(stream);
    let notice = notices.next().await.unwrap().unwrap();
    assert!(matches!(notice, Notice::Disconnected { .. }), "{notice:?}");
    let (mut stream, _) = listener.accept().await.unwrap();
    let (_, body) = request(&mut stream).await;
    assert!(body.contains(r#""framework_id":{"value":"m-0000"}"#), "{body}");
    open_stream(&mut stream, "second").await;
    let notice = notices.next().await.unwrap().unwrap();
    assert!(matches!(notice, Notice::Subscribed { again: true, .. }), "{notice:?}");

    // Two calls on one connection, the second of them refused.
    let calls = tokio::spawn(async move {
        (scheduler.call(teardown()).await, scheduler.call(teardown()).await)
    });
    let (mut socket, _) = listener.accept().await.unwrap();
    let (head, body) = request(&mut socket).await;
    assert!(head.to_ascii_lowercase().contains("mesos-stream-id: second"), "{head}");
    assert_eq!(body, r#"{"framework_id":{"value":"m-0000"},"type":"TEARDOWN"}"#);
    socket.write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    request(&mut socket).await;
    let refusal =
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 28\r\n\r\nFramework is not subscribed\n";
    socket.write_all(refusal.as_bytes()).await.unwrap();
    let (first, second) = calls.await.unwrap();
    assert_eq!(first, Ok(()));
    let text = "Framework is not subscribed".to_owned();
    assert_eq!(second, Err(CallError::Refused { status: 403, text }));
}

#[tokio::test]
async fn a_refused_subscription_ends_the_session_with_the_masters_words() {
    let (listener, config) = master().await;
    let (scheduler, mut notices) = start(config);
    let (mut stream, _) = listener.accept().await.unwrap();
    request(&mut stream).await;
    let refusal = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 17\r\n\r\n401 Unauthorized.";
    stream.write_all(refusal.as_bytes()).await.unwrap();
    let reason = "401 Unauthorized.".to_owned();
    let expected = SessionError::Refused { status: 401, reason };
    assert_eq!(notices.next().await.unwrap(), Err(expected));
    assert!(notices.next().await.is_none());
    assert_eq!(scheduler.call(teardown()).await, Err(CallError::Over));
}
