//! Counting the answers to our own messages.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and so do its helpers"
)]

use alcazar_libprocess::answer::{AnswerDecoder, AnswerError};

/// The statuses found in bytes that arrive in pieces of `size`.
fn statuses(bytes: &[u8], size: usize) -> Result<Vec<u16>, AnswerError> {
    let mut decoder = AnswerDecoder::default();
    let mut found = Vec::new();
    for piece in bytes.chunks(size) {
        decoder.buffer().extend_from_slice(piece);
        while let Some(status) = decoder.poll()? {
            found.push(status);
        }
    }
    Ok(found)
}

const ACCEPTED: &str = "HTTP/1.1 202 Accepted\r\nDate: x\r\nContent-Length: 0\r\n\r\n";

#[test]
fn answers_are_counted_however_they_are_cut() {
    let missing = "HTTP/1.1 404 Not Found\r\nContent-Length: 14\r\n\r\n404 Not Found.";
    let chunked = "HTTP/1.1 500 x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let interim = "HTTP/1.1 100 Continue\r\n\r\n";
    let bytes = [ACCEPTED, missing, interim, ACCEPTED, chunked, ACCEPTED].concat();
    for size in 1..bytes.len() {
        assert_eq!(statuses(bytes.as_bytes(), size), Ok(vec![202, 404, 202, 500, 202]), "{size}");
    }
}

#[test]
fn recorded_answers_are_counted() {
    let Some(stories) = testkit::captures::stories() else { return };
    for story in stories {
        for recorded in testkit::captures::story(&story).unwrap() {
            let is_answer = recorded.kind == testkit::captures::Kind::Response;
            let endless = recorded.bytes.ends_with(b"0\r\n\r\n");
            let chunked = recorded.bytes.windows(17).any(|w| w == b"Transfer-Encoding");
            if !is_answer || recorded.file.is_none() || (chunked && !endless) {
                continue;
            }
            let found = statuses(&recorded.bytes, usize::MAX).unwrap();
            assert_eq!(found.len(), 1, "{story}/{:?}", recorded.file);
        }
    }
}

#[test]
fn what_is_no_answer_is_refused() {
    let endless_head = format!("HTTP/1.1 202 Accepted\r\na: {}", "x".repeat(20_000));
    for bytes in [
        "garbage",
        "SSH-2.0-x\r\n",
        "HTTP/1.1 202 Accepted\r\n\r\n",
        "HTTP/1.1 202 Accepted\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 202 x\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
        "HTTP/1.1 202 x\r\nTransfer-Encoding: gzip\r\n\r\n",
        &endless_head,
    ] {
        assert_eq!(statuses(bytes.as_bytes(), 1), Err(AnswerError), "{bytes:.60}");
    }
}
