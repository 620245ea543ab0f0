//! HTTP requests, answers and streams, with raw clients and with our own.

use std::time::Duration;

use alcazar_transport as transport;
use bytes::Bytes;
use http::StatusCode;
use model::identity::Kind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use transport::client::{Call, CallError, Client, DialError};
use transport::server::{Response, Settings, StreamError, StreamSender};
use transport::tls::{Expected, Security};

use crate::fixture::{
    Pki, Running, answering, exchange, identity, read_answer, read_to_end, serve, serve_with, soon,
};

const PLAIN: Security = Security::DangerPlaintext;

#[tokio::test]
async fn an_answer_has_the_fields_of_the_original_in_its_order() {
    let server = serve_with(
        PLAIN,
        Settings::default(),
        answering(|request| async move {
            match request.path.as_str() {
                "/missing" => Response::status_text(StatusCode::NOT_FOUND),
                "/empty" => Response::new(StatusCode::OK),
                _ => Response::ok("application/json", "{}").with_header(
                    http::HeaderName::from_static("mesos-stream-id"),
                    http::HeaderValue::from_static("x"),
                ),
            }
        }),
    );
    for (path, expected) in [
        (
            "/missing",
            "HTTP/1.1 404 Not Found|Content-Type: text/plain; charset=utf-8|Content-Length: 14||404 Not Found.",
        ),
        ("/empty", "HTTP/1.1 200 OK|Content-Length: 0||"),
        (
            "/json",
            "HTTP/1.1 200 OK|Content-Type: application/json|Mesos-Stream-Id: x|Content-Length: 2||{}",
        ),
    ] {
        let mut client = server.connect().await;
        client.write_all(format!("GET {path} HTTP/1.1\r\n\r\n").as_bytes()).await.unwrap();
        let text = read_answer(&mut client).await;
        let mut lines: Vec<_> = text.split("\r\n").collect();
        assert!(lines[1].starts_with("Date: ") && lines[1].ends_with(" GMT"), "{text}");
        lines.remove(1);
        assert_eq!(lines.join("|"), expected);
    }
}

#[tokio::test]
async fn paths_and_queries_arrive_as_they_were_sent() {
    let server = serve_with(
        PLAIN,
        Settings::default(),
        answering(|r| async move {
            Response::ok("text/plain", format!("{}|{}|{}", r.path, r.query, r.target))
        }),
    );
    for (target, expected) in [
        ("/slave(1)/state?a=b%20c&d", "/slave(1)/state|a=b%20c&d|/slave(1)/state?a=b%20c&d"),
        ("/%6d/x//y/", "/%6d/x//y/||/%6d/x//y/"),
        ("http://h:1/x?y", "/x|y|/x?y"),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nConnection: close\r\n\r\n");
        let text = exchange(&mut server.connect().await, request).await;
        assert!(text.ends_with(&format!("\r\n\r\n{expected}")), "{text}");
    }
    for target in ["*", "http://h", "health"] {
        let request = format!("GET {target} HTTP/1.1\r\nConnection: close\r\n\r\n");
        let text = exchange(&mut server.connect().await, request).await;
        assert!(text.starts_with("HTTP/1.1 400 "), "{text}");
        assert!(text.ends_with("Request URL path must start with '/'"), "{text}");
    }
}

#[tokio::test]
async fn connections_stay_open_or_close_as_the_client_says() {
    let server = serve(PLAIN);
    let mut client = server.connect().await;
    client.write_all(b"GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n").await.unwrap();
    assert!(read_answer(&mut client).await.ends_with("GET /1 "));
    assert!(read_answer(&mut client).await.ends_with("GET /2 "));
    let text = exchange(
        &mut client,
        "GET /3 HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\nGET /4 HTTP/1.0\r\n\r\n",
    )
    .await;
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 2, "{text}");
    assert!(text.contains("Connection: keep-alive"), "{text}");
    assert!(text.ends_with("GET /4 "), "{text}");
}

#[tokio::test]
async fn a_client_that_ends_its_side_gets_its_answer() {
    let server = serve(PLAIN);
    let mut client = server.connect().await;
    client.write_all(b"POST /x HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi").await.unwrap();
    client.shutdown().await.unwrap();
    assert!(read_to_end(&mut client).await.ends_with("POST /x hi"));
}

#[tokio::test]
async fn head_is_answered_without_a_body() {
    let server = serve(PLAIN);
    let mut client = server.connect().await;
    let text = exchange(&mut client, "HEAD /x HTTP/1.1\r\nConnection: close\r\n\r\n").await;
    assert!(text.contains("Content-Length: 8\r\n") && text.ends_with("\r\n\r\n"), "{text}");
}

#[tokio::test]
async fn a_client_that_waits_for_permission_gets_it_when_the_body_is_wanted() {
    let server = serve(PLAIN);
    let mut client = server.connect().await;
    client
        .write_all(b"POST /x HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        .await
        .unwrap();
    let mut interim = [0; 25];
    soon(client.read_exact(&mut interim)).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all(b"hi").await.unwrap();
    assert!(read_answer(&mut client).await.ends_with("POST /x hi"));

    // Not when nobody wants it.
    let refusing = serve_with(
        PLAIN,
        Settings::default(),
        answering(|_| async { Response::status_text(StatusCode::UNAUTHORIZED) }),
    );
    let mut client = refusing.connect().await;
    let request = "POST /x HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    let text = read_to_end(&mut client).await;
    assert!(text.starts_with("HTTP/1.1 401 Unauthorized"), "{text}");
    assert!(text.contains("Connection: close"), "{text}");
}

#[tokio::test]
async fn a_body_that_nobody_reads_does_not_become_a_request() {
    let refusing = serve_with(
        PLAIN,
        Settings::default(),
        answering(|_| async { Response::status_text(StatusCode::FORBIDDEN) }),
    );
    // Received whole: skipped, and the next request is answered.
    let mut client = refusing.connect().await;
    let smuggled = "GET /smuggled HTTP/1.1\r\n\r\n";
    let request =
        format!("POST /x HTTP/1.1\r\nContent-Length: {}\r\n\r\n{smuggled}", smuggled.len());
    client.write_all(request.as_bytes()).await.unwrap();
    read_answer(&mut client).await;
    client.write_all(b"GET /next HTTP/1.1\r\n\r\n").await.unwrap();
    read_answer(&mut client).await;
    assert_eq!(refusing.counts().requests, 2);
    // Not received whole: the connection ends.
    let mut client = refusing.connect().await;
    client.write_all(b"POST /x HTTP/1.1\r\nContent-Length: 5000\r\n\r\n").await.unwrap();
    let text = read_answer(&mut client).await;
    assert!(text.contains("Connection: close"), "{text}");
    client.write_all(smuggled.as_bytes()).await.unwrap();
    assert_eq!(read_to_end(&mut client).await, "");
    assert_eq!(refusing.counts().requests, 3);
}

#[tokio::test]
async fn a_handler_sees_a_body_that_was_cut_off_as_incomplete() {
    let (told, mut errors) = mpsc::channel(1);
    let server = serve_with(
        PLAIN,
        Settings::default(),
        answering(move |request| {
            let told = told.clone();
            async move {
                told.send(request.body.collect(100).await.unwrap_err()).await.unwrap();
                Response::new(StatusCode::BAD_REQUEST)
            }
        }),
    );
    let mut client = server.connect().await;
    client.write_all(b"POST /x HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf").await.unwrap();
    drop(client);
    let error = soon(errors.recv()).await.unwrap();
    assert!(error.to_string().contains("ended before its end"), "{error}");
    // One that is longer than the handler takes is its own kind of error.
    let mut client = server.connect().await;
    let request = format!("POST /x HTTP/1.1\r\nContent-Length: 101\r\n\r\n{}", "x".repeat(101));
    client.write_all(request.as_bytes()).await.unwrap();
    assert!(soon(errors.recv()).await.unwrap().to_string().contains("longer than 100 bytes"));
}

/// A server whose every answer is a stream, and the streams.
fn streaming(waiting: usize) -> (Running, mpsc::Receiver<StreamSender>) {
    let (senders, streams) = mpsc::channel(10);
    let answer = answering(move |_| {
        let senders = senders.clone();
        async move {
            let (response, sender) = Response::stream("application/json", waiting);
            senders.send(sender).await.unwrap();
            response
        }
    });
    (serve_with(PLAIN, Settings::default(), answer), streams)
}

#[tokio::test]
async fn each_piece_of_a_stream_is_one_chunk() {
    let (server, mut streams) = streaming(4);
    let mut client = server.connect().await;
    client.write_all(b"POST /x HTTP/1.1\r\n\r\n").await.unwrap();
    let stream = soon(streams.recv()).await.unwrap();
    stream.try_send(Bytes::from_static(b"20\n{\"type\":\"HEARTBEAT\"}")).unwrap();
    stream.try_send(Bytes::new()).unwrap();
    stream.try_send(Bytes::from_static(b"2\n{}")).unwrap();
    drop(stream);
    client.write_all(b"GET /next HTTP/1.1\r\n\r\n").await.unwrap();
    drop(soon(streams.recv()).await.unwrap());
    client.shutdown().await.unwrap();
    let text = read_to_end(&mut client).await;
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("Transfer-Encoding: chunked") && !head.contains("Content-Length"));
    let chunks = "17\r\n20\n{\"type\":\"HEARTBEAT\"}\r\n4\r\n2\n{}\r\n0\r\n\r\n";
    assert!(body.starts_with(chunks), "{body}");
    assert!(body[chunks.len()..].starts_with("HTTP/1.1 200 OK"), "the next answer follows");
}

#[tokio::test]
async fn a_stream_whose_reader_is_gone_is_noticed_without_writing() {
    let (server, mut streams) = streaming(4);
    for reset in [false, true] {
        let mut client = server.connect().await;
        client.write_all(b"POST /x HTTP/1.1\r\n\r\n").await.unwrap();
        let stream = soon(streams.recv()).await.unwrap();
        assert!(!stream.is_gone());
        if reset {
            client.set_zero_linger().unwrap();
        }
        drop(client);
        soon(stream.gone()).await;
        assert_eq!(stream.try_send(Bytes::from_static(b"x")), Err(StreamError::Gone));
    }
}

#[tokio::test]
async fn a_slow_reader_of_a_stream_is_noticed() {
    let (server, mut streams) = streaming(4);
    let mut client = server.connect().await;
    client.write_all(b"POST /x HTTP/1.1\r\n\r\n").await.unwrap();
    let stream = soon(streams.recv()).await.unwrap();
    let piece = Bytes::from(vec![b'x'; 1 << 20]);
    let mut sent = 0;
    let slow = async {
        loop {
            match stream.try_send(piece.clone()) {
                Ok(()) => sent += 1,
                Err(error) => break error,
            }
            tokio::task::yield_now().await;
        }
    };
    assert_eq!(soon(slow).await, StreamError::Slow);
    assert!(sent < 1000, "{sent} MiB were taken for a reader that reads nothing");
    drop(client);
}

#[tokio::test]
async fn bodies_of_others_are_sent_by_length_or_in_chunks_and_their_errors_close() {
    use http_body_util::{BodyExt, Full, StreamBody};
    let server = serve_with(
        PLAIN,
        Settings::default(),
        answering(|request| async move {
            let failing = futures_stream(vec![Ok("abc"), Err("disk")]);
            match request.path.as_str() {
                "/full" => http::Response::new(Full::new(Bytes::from_static(b"hello"))).into(),
                "/empty" => http::Response::new(Full::new(Bytes::new())).into(),
                "/chunks" => {
                    http::Response::new(StreamBody::new(futures_stream(vec![Ok("ab"), Ok("c")])))
                        .into()
                }
                _ => http::Response::new(StreamBody::new(failing).boxed_unsync()).into(),
            }
        }),
    );
    for (path, expected) in [
        ("/full", "Content-Length: 5\r\n\r\nhello"),
        ("/empty", "Content-Length: 0\r\n\r\n"),
        ("/chunks", "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"),
        ("/broken", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"),
    ] {
        let mut client = server.connect().await;
        client.write_all(format!("GET {path} HTTP/1.1\r\n\r\n").as_bytes()).await.unwrap();
        if path != "/broken" {
            client.shutdown().await.unwrap();
        }
        // The last one ends although the client did not ask for it, and without a last chunk.
        let text = read_to_end(&mut client).await;
        assert!(text.ends_with(expected), "{path}: {text}");
    }
}

fn futures_stream(
    pieces: Vec<Result<&'static str, &'static str>>,
) -> impl futures_util::Stream<Item = Result<http_body::Frame<Bytes>, &'static str>> + Send {
    let mut pieces = pieces.into_iter();
    futures_util::stream::poll_fn(move |_| {
        std::task::Poll::Ready(
            pieces
                .next()
                .map(|p| p.map(|p| http_body::Frame::data(Bytes::from_static(p.as_bytes())))),
        )
    })
}

#[tokio::test]
async fn stopping_finishes_requests_ends_streams_and_accepts_nobody() {
    let (server, mut streams) = streaming(4);
    let mut idle = server.connect().await;
    let mut streamed = server.connect().await;
    streamed.write_all(b"POST /x HTTP/1.1\r\n\r\n").await.unwrap();
    let stream = soon(streams.recv()).await.unwrap();
    let address = server.address;
    soon(server.server.stop(Duration::from_secs(5))).await;
    assert_eq!(read_to_end(&mut idle).await, "");
    let text = read_to_end(&mut streamed).await;
    assert!(!text.ends_with("0\r\n\r\n"), "the reader sees that this was not the end: {text}");
    soon(stream.gone()).await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

fn client(security: Security) -> Client {
    Client::new(security, transport::client::Settings::default())
}

#[tokio::test]
async fn our_client_calls_over_one_connection_and_reads_streams() {
    let pki = Pki::new();
    let server = serve_with(
        pki.component("agent/a"),
        Settings::default(),
        answering(|request| async move {
            assert_eq!(request.peer.identity, Some(identity("operator/o")));
            let token = request.headers.get("authorization").unwrap().to_str().unwrap().to_owned();
            if request.path == "/stream" {
                let (response, sender) = Response::stream("application/json", 4);
                sender.try_send(Bytes::from_static(b"one")).unwrap();
                sender.try_send(Bytes::from_static(b"two")).unwrap();
                return response;
            }
            let (body, _) = request.body.collect(100).await.unwrap();
            let body = String::from_utf8(body.to_vec()).unwrap();
            Response::ok("text/plain", format!("{} {token} {body}", request.target))
        }),
    );
    let client = client(pki.component("operator/o"));
    assert_eq!(client.scheme(), "https");
    let expected = Expected::Identity(identity("agent/a"));
    let port = server.address.port();
    let mut connection = client.connect("127.0.0.1", port, &expected).await.unwrap();
    assert_eq!(connection.peer().identity, Some(identity("agent/a")));
    for n in 0..3 {
        let call =
            Call::post(format!("/slave(1)/x?n={n}"), "text/plain", "body").bearer("t").unwrap();
        let reply = soon(connection.call(call)).await.unwrap();
        assert_eq!(reply.status, StatusCode::OK);
        let body = soon(reply.body.collect(100)).await.unwrap();
        assert_eq!(body, format!("/slave(1)/x?n={n} Bearer t body"));
    }
    let call = Call::get("/stream").accept("application/json").bearer("t").unwrap();
    assert!(!format!("{call:?}").contains("Bearer"), "tokens are not printed: {call:?}");
    let mut reply = soon(connection.call(call)).await.unwrap();
    assert_eq!(soon(reply.body.next()).await.unwrap().unwrap(), "one");
    assert_eq!(soon(reply.body.next()).await.unwrap().unwrap(), "two");
    assert!(soon(reply.body.next()).await.is_none());
    assert_eq!(server.counts().connections_accepted, 1);

    let call = Call::post("/x", "text/plain", "body").bearer("t").unwrap();
    let reply = soon(connection.call(call)).await.unwrap();
    assert!(matches!(soon(reply.body.collect(3)).await, Err(CallError::BodyTooLarge(3))));
}

#[tokio::test]
async fn our_client_sends_no_byte_to_somebody_else() {
    let pki = Pki::new();
    let server = serve(pki.component("agent/a"));
    let client = client(pki.component("operator/o"));
    let port = server.address.port();
    for expected in [
        Expected::Kind(Kind::Master),
        Expected::Identity(identity("agent/b")),
        Expected::Host("somewhere.else".to_owned()),
        Expected::Host("10.0.0.1".to_owned()),
    ] {
        let refused = soon(client.connect("127.0.0.1", port, &expected)).await;
        assert!(matches!(refused, Err(DialError::Untrusted { .. })), "{expected}: {refused:?}");
    }
    for expected in [
        Expected::Kind(Kind::Agent),
        Expected::Member,
        Expected::Host("localhost".to_owned()),
        Expected::Host("127.0.0.1".to_owned()),
    ] {
        soon(client.connect("127.0.0.1", port, &expected)).await.unwrap();
    }
    assert_eq!(server.counts().requests, 0);
}

#[tokio::test]
async fn a_response_that_was_cut_off_is_an_error_for_our_client() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 16];
        stream.read_exact(&mut request).await.unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
            .await
            .unwrap();
    });
    let mut connection = client(PLAIN).connect("localhost", port, &Expected::Member).await.unwrap();
    let reply = soon(connection.call(Call::get("/"))).await.unwrap();
    assert!(matches!(soon(reply.body.collect(100)).await, Err(CallError::Connection(_))));
    serving.await.unwrap();
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_not_waited_for_forever() {
    let server = serve_with(
        PLAIN,
        Settings::default(),
        answering(|_| async { std::future::pending::<Response>().await }),
    );
    let settings = transport::client::Settings {
        response_deadline: Duration::from_millis(50),
        ..transport::client::Settings::default()
    };
    let client = Client::new(PLAIN, settings);
    let port = server.address.port();
    let mut connection = client.connect("127.0.0.1", port, &Expected::Member).await.unwrap();
    let late = soon(connection.call(Call::get("/"))).await;
    assert!(matches!(late, Err(CallError::Deadline(_))), "{late:?}");
}

#[tokio::test]
async fn stopping_does_not_wait_for_an_answer_that_never_comes() {
    let (begun, mut requests) = mpsc::channel(1);
    let server = serve_with(
        PLAIN,
        Settings::default(),
        answering(move |_| {
            let begun = begun.clone();
            async move {
                begun.send(()).await.unwrap();
                std::future::pending::<Response>().await
            }
        }),
    );
    let mut client = server.connect().await;
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    soon(requests.recv()).await.unwrap();
    soon(server.server.stop(Duration::from_millis(50))).await;
    assert_eq!(read_to_end(&mut client).await, "");
}
