//! The codec against recorded bytes, cuts at every offset, and malformed input.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and so do its helpers"
)]

use alcazar_libprocess as libprocess;
use bytes::BytesMut;
use libprocess::decode::{DecodeError, Decoder, Event, Limits, Position};
use libprocess::head::{Framing, RequestHead};
use libprocess::message::{EncodeError, MessageHeadError, encode_message};
use libprocess::upid::{Upid, UpidError};
use proptest::prelude::*;

const LIMITS: Limits = Limits { head: 1000, headers: 10, body: 2000 };

/// What one message or request came to, its body joined.
#[derive(Clone, Debug, PartialEq)]
enum Outcome {
    Message {
        from: Result<String, UpidError>,
        to: String,
        name: String,
        body: Vec<u8>,
    },
    Refused(MessageHeadError, Vec<u8>),
    Request(Box<RequestHead>, Vec<u8>),
    /// The stream ended inside a head or a body.
    Incomplete(Position),
    Error(DecodeError),
}

/// Decodes bytes that arrive in the given pieces and then end.
fn decode<'a>(limits: Limits, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Outcome> {
    let mut decoder = Decoder::new(limits);
    let mut outcomes = Vec::new();
    let mut open: Option<Outcome> = None;
    for piece in pieces {
        decoder.push(piece);
        loop {
            match decoder.poll() {
                Err(error) => {
                    assert_eq!(decoder.poll(), Err(error), "an error is for good");
                    outcomes.push(Outcome::Error(error));
                    return outcomes;
                }
                Ok(None) => break,
                Ok(Some(Event::End)) => outcomes.push(open.take().expect("a head before the end")),
                Ok(Some(Event::Data(data))) => {
                    assert!(!data.is_empty());
                    match open.as_mut().expect("a head before data") {
                        Outcome::Message { body, .. }
                        | Outcome::Refused(_, body)
                        | Outcome::Request(_, body) => body.extend_from_slice(&data),
                        other => panic!("data after {other:?}"),
                    }
                }
                Ok(Some(head)) => {
                    assert_eq!(open, None, "an end before the next head");
                    open = Some(match head {
                        Event::Message(head) => Outcome::Message {
                            from: head.from.map(|claimed| claimed.0.to_string()),
                            to: head.to,
                            name: head.name,
                            body: Vec::new(),
                        },
                        Event::MessageRefused(error) => Outcome::Refused(error, Vec::new()),
                        Event::Request(head) => Outcome::Request(Box::new(head), Vec::new()),
                        Event::Data(_) | Event::End => unreachable!(),
                    });
                }
            }
        }
    }
    match decoder.position() {
        Position::Between => assert_eq!(open, None, "between two requests nothing is open"),
        position => outcomes.push(Outcome::Incomplete(position)),
    }
    outcomes
}

/// Decodes `bytes` whole, byte by byte, and cut in two at every offset; all must agree.
fn decode_cut_everywhere(limits: Limits, bytes: &[u8]) -> Vec<Outcome> {
    let whole = decode(limits, [bytes]);
    assert_eq!(decode(limits, bytes.chunks(1)), whole, "byte by byte");
    for offset in 0..=bytes.len() {
        let (first, second) = bytes.split_at(offset);
        assert_eq!(decode(limits, [first, second]), whole, "cut at {offset}");
    }
    whole
}

fn message(from: &str, to: &str, name: &str, body: &[u8]) -> Outcome {
    let (to, name, body) = (to.to_owned(), name.to_owned(), body.to_vec());
    Outcome::Message { from: Ok(from.to_owned()), to, name, body }
}

#[test]
fn recorded_messages_are_decoded_and_encoded_to_the_same_bytes() {
    let Some(stories) = testkit::captures::stories() else { return };
    let mut count = 0;
    for story in stories {
        for recorded in testkit::captures::story(&story).unwrap() {
            if recorded.kind != testkit::captures::Kind::Message {
                continue;
            }
            let file = format!("{story}/{:?}", recorded.file);
            let outcomes = decode(Limits::default(), [&recorded.bytes[..]]);
            let [Outcome::Message { from: Ok(from), to, name, body }] = &outcomes[..] else {
                panic!("{file}: {outcomes:?}");
            };
            // The receiver's address is in the Host header, which decoding ignores.
            let to = Upid::new(to, recorded.to.parse().unwrap());
            let mut out = BytesMut::new();
            encode_message(&mut out, &from.parse().unwrap(), &to, name, body).unwrap();
            assert_eq!(out, recorded.bytes[..], "{file}");
            count += 1;
        }
    }
    assert!(count > 400, "only {count} messages were recorded");
}

#[test]
fn recorded_requests_are_requests_and_not_messages() {
    let Some(stories) = testkit::captures::stories() else { return };
    for story in stories {
        for recorded in testkit::captures::story(&story).unwrap() {
            if recorded.kind != testkit::captures::Kind::Request {
                continue;
            }
            let outcomes = decode(Limits::default(), [&recorded.bytes[..]]);
            let [Outcome::Request(..)] = &outcomes[..] else {
                panic!("{story}/{:?}: {outcomes:?}", recorded.file);
            };
        }
    }
}

#[test]
fn the_worked_example_is_written_and_read() {
    let from: Upid = "crammd5-authenticatee(1)@10.0.0.7:5051".parse().unwrap();
    let to: Upid = "master@10.0.0.5:5050".parse().unwrap();
    let body = b"\x0a\x16slave(1)@10.0.0.7:5051";
    let mut out = BytesMut::new();
    encode_message(&mut out, &from, &to, "mesos.internal.AuthenticateMessage", body).unwrap();
    let expected = b"POST /master/mesos.internal.AuthenticateMessage HTTP/1.1\r\n\
        User-Agent: libprocess/crammd5-authenticatee(1)@10.0.0.7:5051\r\n\
        Libprocess-From: crammd5-authenticatee(1)@10.0.0.7:5051\r\n\
        Connection: Keep-Alive\r\n\
        Host: 10.0.0.5:5050\r\n\
        Transfer-Encoding: chunked\r\n\
        \r\n\
        18\r\n\x0a\x16slave(1)@10.0.0.7:5051\r\n0\r\n\r\n";
    assert_eq!(out, expected[..]);
    assert_eq!(
        decode_cut_everywhere(LIMITS, expected),
        [message(
            "crammd5-authenticatee(1)@10.0.0.7:5051",
            "master",
            "mesos.internal.AuthenticateMessage",
            body
        )]
    );
}

#[test]
fn what_makes_a_request_a_message() {
    const FROM: &str = "a@10.0.0.1:1";
    let by_agent = "POST /x(1)/n HTTP/1.1\r\nUser-Agent: libprocess/a@10.0.0.1:1\r\n\
        Content-Length: 2\r\n\r\nhi";
    let by_header = "POST /x%281%29/n HTTP/1.1\r\nLIBPROCESS-FROM:  a@10.0.0.1:1 \r\n\r\n";
    let slashes = "POST /x/n/m HTTP/1.1\r\nLibprocess-From: a@10.0.0.1:1\r\n\r\n";
    let nameless = "POST /x HTTP/1.1\r\nLibprocess-From: a@10.0.0.1:1\r\n\r\n";
    let idless = "POST //n HTTP/1.1\r\nLibprocess-From: a@10.0.0.1:1\r\n\r\n";
    let plus = "POST /a+b%2B/n?q HTTP/1.1\r\nLibprocess-From: a@10.0.0.1:1\r\n\r\n";
    let last_wins = "POST /x/n HTTP/1.1\r\nLibprocess-From: b@10.0.0.2:2\r\n\
        Libprocess-From: a@10.0.0.1:1\r\n\r\n";
    let header_wins = "POST /x/n HTTP/1.1\r\nUser-Agent: libprocess/b@10.0.0.2:2\r\n\
        Libprocess-From: a@10.0.0.1:1\r\n\r\n";
    let absolute = "POST http://h:1/x/n HTTP/1.1\r\nLibprocess-From: a@10.0.0.1:1\r\n\r\n";
    for (text, to, name, body) in [
        (by_agent, "x(1)", "n", "hi"),
        (by_header, "x(1)", "n", ""),
        (slashes, "x", "n/m", ""),
        (nameless, "x", "", ""),
        (idless, "", "n", ""),
        (plus, "a b+", "n", ""),
        (last_wins, "x", "n", ""),
        (header_wins, "x", "n", ""),
        (absolute, "x", "n", ""),
    ] {
        let expected = message(FROM, to, name, body.as_bytes());
        assert_eq!(decode_cut_everywhere(LIMITS, text.as_bytes()), [expected], "{text}");
    }
    for text in [
        "GET /x/n HTTP/1.1\r\nLibprocess-From: a@10.0.0.1:1\r\n\r\n",
        "POST /x/n HTTP/1.1\r\nUser-Agent: Libprocess/a@10.0.0.1:1\r\n\r\n",
        "POST /x/n HTTP/1.1\r\nUser-Agent: curl libprocess/a@10.0.0.1:1\r\n\r\n",
        "post /x/n HTTP/1.1\r\nHost: h\r\n\r\n",
    ] {
        let outcomes = decode_cut_everywhere(LIMITS, text.as_bytes());
        assert!(!matches!(outcomes[0], Outcome::Message { .. }), "{text}");
    }
}

#[test]
fn a_sender_that_is_no_address_is_no_sender() {
    for (from, error) in [
        ("", UpidError::NoAt),
        ("master", UpidError::NoAt),
        ("master@", UpidError::Address),
        ("master@localhost:5050", UpidError::Address),
        ("master@10.0.0.1", UpidError::Address),
        ("master@10.0.0.1:5050x", UpidError::Address),
        ("master@10.0.0.1:65536", UpidError::Address),
        ("master@[::1]:5050", UpidError::Address),
        ("master@0.0.0.0:5050", UpidError::Null),
        ("master@10.0.0.1:0", UpidError::Null),
        ("@0.0.0.0:0", UpidError::Null),
        ("mas ter@10.0.0.1:5050", UpidError::Id),
        ("mas/ter@10.0.0.1:5050", UpidError::Id),
        ("m\u{e4}ster@10.0.0.1:5050", UpidError::Id),
    ] {
        let text = format!("POST /x/n HTTP/1.1\r\nLibprocess-From: {from}\r\n\r\n");
        let outcomes = decode(LIMITS, [text.as_bytes()]);
        let [Outcome::Message { from: Err(actual), .. }] = &outcomes[..] else {
            panic!("{from}: {outcomes:?}");
        };
        assert_eq!(*actual, error, "{from}");
    }
    let long =
        format!("POST /x/n HTTP/1.1\r\nLibprocess-From: {}@1.1.1.1:1\r\n\r\n", "a".repeat(1024));
    let outcomes = decode(Limits::default(), [long.as_bytes()]);
    assert!(
        matches!(outcomes[..], [Outcome::Message { from: Err(UpidError::TooLong), .. }]),
        "{outcomes:?}"
    );
}

#[test]
fn a_message_without_addressee_is_answered_in_its_place() {
    let bad = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nLibprocess-From: a@1.1.1.1:1\r\nContent-Length: 2\r\n\r\nhi\
             POST /x/n HTTP/1.1\r\nLibprocess-From: a@1.1.1.1:1\r\n\r\n"
        )
    };
    for (path, text) in [
        ("/a%zz/n", "Failed to decode URL path: Malformed % escape in 'a%zz': '%zz'"),
        ("/a%2", "Failed to decode URL path: Malformed % escape in 'a%2': '%2'"),
        ("/%", "Failed to decode URL path: Malformed % escape in '%': '%'"),
        ("*", "Request URL path must start with '/'"),
        ("x/n", "Request URL path must start with '/'"),
        ("http://x", "Request URL path must start with '/'"),
    ] {
        let outcomes = decode_cut_everywhere(LIMITS, bad(path).as_bytes());
        let [Outcome::Refused(error, body), next] = &outcomes[..] else {
            panic!("{path}: {outcomes:?}");
        };
        assert_eq!((error.to_string().as_str(), &body[..]), (text, &b"hi"[..]), "{path}");
        assert_eq!(*next, message("a@1.1.1.1:1", "x", "n", b""));
    }
}

#[test]
fn malformed_input_has_one_outcome_wherever_it_is_cut() {
    use DecodeError as E;
    let head = |fields: &str| format!("POST / HTTP/1.1\r\n{fields}\r\n\r\n");
    let chunked = |rest: &str| head("Transfer-Encoding: chunked") + rest;
    let many: String = (0..11).map(|n| format!("h{n}: x\r\n")).collect();
    for (input, error) in [
        // The request line.
        ("\x16\x03\x01\x02\x00".into(), E::Syntax("invalid request line")),
        ("\0".into(), E::Syntax("invalid request line")),
        ("get / HTTP/1.1\r\n\r\n".into(), E::Syntax("invalid request line")),
        (" GET / HTTP/1.1\r\n\r\n".into(), E::Syntax("invalid request line")),
        ("GET\r\n\r\n".into(), E::Syntax("invalid request line")),
        ("GET /\r\n\r\n".into(), E::Syntax("invalid request line")),
        ("GET / HTTP/2.0\r\n\r\n".into(), E::Syntax("unsupported version of HTTP")),
        ("GET / HTTP/1.2\r\n\r\n".into(), E::Syntax("unsupported version of HTTP")),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), E::Syntax("unsupported version of HTTP")),
        ("GET / x HTTP/1.1\r\n\r\n".into(), E::Syntax("unsupported version of HTTP")),
        // Header fields.
        ("GET / HTTP/1.1\r\nno colon\r\n\r\n".into(), E::Syntax("invalid header name")),
        ("GET / HTTP/1.1\r\na b: x\r\n\r\n".into(), E::Syntax("invalid header name")),
        ("GET / HTTP/1.1\r\na : x\r\n\r\n".into(), E::Syntax("invalid header name")),
        ("GET / HTTP/1.1\r\n: x\r\n\r\n".into(), E::Syntax("invalid header name")),
        ("GET / HTTP/1.1\r\na: x\r\n folded\r\n\r\n".into(), E::Syntax("invalid header name")),
        ("GET / HTTP/1.1\r\na: x\0y\r\n\r\n".into(), E::Syntax("invalid header value")),
        ("GET / HTTP/1.1\r\na: x\ry\r\n\r\n".into(), E::Syntax("invalid header value")),
        (format!("GET / HTTP/1.1\r\n{many}\r\n"), E::TooManyHeaders),
        (format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(1000)), E::HeadTooLarge(1000)),
        (format!("GET / HTTP/1.1\r\na: {}\r\n\r\n", "x".repeat(1000)), E::HeadTooLarge(1000)),
        // Lengths that could be understood in two ways.
        (
            head("Content-Length: 1\r\nContent-Length: 1"),
            E::Framing("more than one Content-Length"),
        ),
        (
            head("Content-Length: 1\r\nTransfer-Encoding: chunked"),
            E::Framing("Content-Length together with Transfer-Encoding"),
        ),
        (
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".into(),
            E::Framing("Transfer-Encoding in HTTP/1.0"),
        ),
        (head("Content-Length: -1"), E::Framing("invalid Content-Length")),
        (head("Content-Length: +1"), E::Framing("invalid Content-Length")),
        (head("Content-Length: 0x1"), E::Framing("invalid Content-Length")),
        (head("Content-Length: 1, 1"), E::Framing("invalid Content-Length")),
        (head("Content-Length:"), E::Framing("invalid Content-Length")),
        (head("Content-Length: 99999999999999999999"), E::Framing("invalid Content-Length")),
        (head("Transfer-Encoding: gzip, chunked"), E::UnknownCoding),
        (head("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), E::UnknownCoding),
        (head("Transfer-Encoding: identity"), E::UnknownCoding),
        // Bodies.
        (head("Content-Length: 2001"), E::BodyTooLarge(2000)),
        (chunked("7d1\r\n"), E::BodyTooLarge(2000)),
        (chunked("fffffffffffffff\r\n"), E::BodyTooLarge(2000)),
        (chunked("\r\n"), E::Chunk("invalid size")),
        (chunked("x\r\n"), E::Chunk("invalid size")),
        (chunked("-1\r\n"), E::Chunk("invalid size")),
        (chunked("1\n"), E::Chunk("invalid size")),
        (chunked("1 x\r\n"), E::Chunk("invalid size")),
        (chunked("0000000000000001\r\n"), E::Chunk("invalid size")),
        (chunked(&format!("1;{}\r\n", "x".repeat(1024))), E::Chunk("its size line is too long")),
        (chunked("1\r\nab\r\n"), E::Chunk("longer than its size")),
        (chunked("1\r\na\nb"), E::Chunk("longer than its size")),
        (chunked("0\r\nTrailer: x\r\n\r\n"), E::Trailers),
    ] {
        let outcomes = decode_cut_everywhere(LIMITS, input.as_bytes());
        assert_eq!(outcomes.last(), Some(&Outcome::Error(error)), "{input:?}");
        assert_eq!(outcomes.len(), 1, "nothing was delivered before it: {input:?}");
    }
}

#[test]
fn what_comes_before_the_malformed_is_delivered_and_nothing_after_it() {
    let good = "POST /x/n HTTP/1.1\r\nLibprocess-From: a@1.1.1.1:1\r\n\r\n";
    let input = format!("{good}\r\n{good}garbage\r\n\r\n{good}");
    let delivered = message("a@1.1.1.1:1", "x", "n", b"");
    let error = Outcome::Error(DecodeError::Syntax("invalid request line"));
    let outcomes = decode_cut_everywhere(LIMITS, input.as_bytes());
    assert_eq!(outcomes, [delivered.clone(), delivered, error]);
}

#[test]
fn a_stream_that_ends_inside_something_delivers_nothing_of_it() {
    for (input, position) in [
        ("G", Position::Head),
        ("GET / HTTP/1.1\r\nHost: x\r\n", Position::Head),
        ("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nab", Position::Body),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", Position::Body),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n", Position::Body),
    ] {
        let outcomes = decode_cut_everywhere(LIMITS, input.as_bytes());
        assert_eq!(outcomes, [Outcome::Incomplete(position)], "{input:?}");
    }
}

#[test]
fn heads_and_bodies_up_to_the_limits_are_taken() {
    let filler = "x".repeat(LIMITS.head - "GET / HTTP/1.1\r\na: \r\n\r\n".len());
    let head = format!("GET / HTTP/1.1\r\na: {filler}\r\n\r\n");
    assert_eq!(head.len(), LIMITS.head);
    let outcomes = decode_cut_everywhere(LIMITS, head.as_bytes());
    assert!(matches!(outcomes[..], [Outcome::Request(..)]), "{outcomes:?}");

    let body = "y".repeat(2000);
    let sized = format!("POST / HTTP/1.1\r\nContent-Length: 2000\r\n\r\n{body}");
    let chunked = format!(
        "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n3E8;a=b\r\n{}\r\n3e8 ;c\r\n{}\r\n0\r\n\r\n",
        &body[..1000],
        &body[1000..]
    );
    for (input, framing) in [(sized, Framing::Length(2000)), (chunked, Framing::Chunked)] {
        let outcomes = decode_cut_everywhere(LIMITS, input.as_bytes());
        let [Outcome::Request(head, actual)] = &outcomes[..] else { panic!("{outcomes:?}") };
        assert_eq!((head.framing, &actual[..]), (framing, body.as_bytes()));
    }
}

#[test]
fn whether_a_connection_stays_open() {
    for (head, stays) in [
        ("GET / HTTP/1.1\r\n\r\n", true),
        ("GET / HTTP/1.1\r\nConnection: Close\r\n\r\n", false),
        ("GET / HTTP/1.1\r\nConnection: x, close\r\n\r\n", false),
        ("GET / HTTP/1.1\r\nConnection: Keep-Alive\r\n\r\n", true),
        ("GET / HTTP/1.0\r\n\r\n", false),
        ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true),
        ("GET / HTTP/1.1\n\n", true),
    ] {
        let outcomes = decode_cut_everywhere(LIMITS, head.as_bytes());
        let [Outcome::Request(parsed, _)] = &outcomes[..] else { panic!("{outcomes:?}") };
        assert_eq!(parsed.keep_alive(), stays, "{head:?}");
    }
}

#[test]
fn ids_and_names_that_would_begin_another_message_are_not_written() {
    let good: Upid = "a@1.1.1.1:1".parse().unwrap();
    let evil = Upid::new("x HTTP/1.1\r\n\r\nPOST /", good.address);
    let mut out = BytesMut::new();
    let id = Err(EncodeError::Id(evil.id.clone()));
    assert_eq!(encode_message(&mut out, &good, &evil, "n", b""), id);
    assert_eq!(encode_message(&mut out, &evil, &good, "n", b""), id);
    for name in ["", "a b", "a\r\nb", "a?b", "\u{e4}"] {
        let refused = Err(EncodeError::Name(name.to_owned()));
        assert_eq!(encode_message(&mut out, &good, &good, name, b""), refused);
    }
    assert!(out.is_empty(), "nothing is written of what is refused");
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded_however_it_is_cut(
        messages in prop::collection::vec(
            ("[a-z()0-9-]{0,12}", "[a-z()0-9-]{1,12}", "[A-Za-z.]{1,20}", prop::collection::vec(any::<u8>(), 0..200)),
            1..5,
        ),
        cuts in prop::collection::vec(1_usize..60, 1..200),
    ) {
        let address = "10.1.2.3:5051".parse().unwrap();
        let mut wire = BytesMut::new();
        let mut expected = Vec::new();
        for (from, to, name, body) in &messages {
            let from = Upid::new(from, address);
            encode_message(&mut wire, &from, &Upid::new(to, address), name, body).unwrap();
            expected.push(message(&from.to_string(), to, name, body));
        }
        let mut rest = &wire[..];
        let mut pieces = Vec::new();
        for cut in cuts.into_iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, later) = rest.split_at(cut.min(rest.len()));
            pieces.push(piece);
            rest = later;
        }
        prop_assert_eq!(decode(LIMITS, pieces), expected);
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_never_depend_on_cuts(
        bytes in prop::collection::vec(
            prop_oneof![
                any::<u8>(),
                prop::sample::select(b"\r\n \t:;/GPOST0123456789abcdefHTTP.1%".to_vec()),
            ],
            0..300,
        ),
        prefix in prop::sample::select(vec![
            "",
            "POST /a/b HTTP/1.1\r\nLibprocess-From: a@1.1.1.1:1\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        ]),
    ) {
        let input = [prefix.as_bytes(), &bytes].concat();
        let whole = decode(LIMITS, [&input[..]]);
        prop_assert_eq!(decode(LIMITS, input.chunks(1)), whole);
    }
}
