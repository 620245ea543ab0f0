//! Writing the head of an answer.

use std::time::SystemTime;

use bytes::{BufMut, BytesMut};
use http::{StatusCode, header};

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
    match &response.body {
        _ if bodiless => {}
        ResponseBody::Empty => out.put_slice(b"Content-Length: 0\r\n"),
        ResponseBody::Full(body) => {
            out.put_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
        }
        ResponseBody::Stream(_) if chunked => out.put_slice(b"Transfer-Encoding: chunked\r\n"),
        // Its end is the end of the connection.
        ResponseBody::Stream(_) => {}
    }
    out.put_slice(b"\r\n");
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
