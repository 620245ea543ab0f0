//! Writing the head of an answer.

use std::time::SystemTime;

use bytes::{BufMut, BytesMut};
use http::{StatusCode, header};
use http_body::Body;

use super::connection::Connected;
use super::response::{Response, ResponseBody};

/// Appends the status line and the header fields: `Date` first and the length of the body last,
/// names as people write them (`Mesos-Stream-Id`), as the original's are recorded.
pub(super) fn write(out: &mut BytesMut, response: &Response, connected: Connected, chunked: bool) {
    let status = response.status;
    let reason = reason(status);
    out.put_slice(format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).as_bytes());
    let now = httpdate::fmt_http_date(SystemTime::now());
    out.put_slice(format!("Date: {now}\r\n").as_bytes());
    match connected {
        Connected::Close => out.put_slice(b"Connection: close\r\n"),
        Connected::Stay => {}
        Connected::StayAndSay => out.put_slice(b"Connection: keep-alive\r\n"),
    }
    for (name, value) in &response.headers {
        if matches!(*name, header::CONTENT_LENGTH | header::TRANSFER_ENCODING | header::DATE) {
            continue;
        }
        put_name(out, name.as_str());
        out.put_slice(b": ");
        out.put_slice(value.as_bytes());
        out.put_slice(b"\r\n");
    }
    let bodiless = status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    match length(&response.body) {
        _ if bodiless => {}
        Some(length) => out.put_slice(format!("Content-Length: {length}\r\n").as_bytes()),
        None if chunked => out.put_slice(b"Transfer-Encoding: chunked\r\n"),
        // Its end is the end of the connection.
        None => {}
    }
    out.put_slice(b"\r\n");
}

/// How long a body is, if that is known before it is sent.
pub(super) fn length(body: &ResponseBody) -> Option<u64> {
    match body {
        ResponseBody::Empty => Some(0),
        ResponseBody::Full(bytes) => Some(bytes.len() as u64),
        ResponseBody::Pieces(pieces) => pieces.0.size_hint().exact(),
    }
}

/// Reasons as RFC 2616 had them, where they have changed since.
fn reason(status: StatusCode) -> &'static str {
    match status {
        StatusCode::REQUEST_TIMEOUT => "Request Time-out",
        StatusCode::PAYLOAD_TOO_LARGE => "Request Entity Too Large",
        StatusCode::GATEWAY_TIMEOUT => "Gateway Time-out",
        other => other.canonical_reason().unwrap_or("Unknown"),
    }
}

fn put_name(out: &mut BytesMut, name: &str) {
    let mut first = true;
    for byte in name.bytes() {
        out.put_u8(if first { byte.to_ascii_uppercase() } else { byte });
        first = byte == b'-';
    }
}
