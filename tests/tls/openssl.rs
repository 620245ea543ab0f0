//! OpenSSL's commands as peers. The command need not be of the version that we link.

use std::io::Write;
use std::net::SocketAddrV4;
use std::path::Path;
use std::process::Stdio;

use testkit::tools::tool;

/// What the peer that closes says, by number.
const ALERTS: &[(&str, &str)] = &[
    ("40", "handshake_failure"),
    ("42", "bad_certificate"),
    ("43", "unsupported_certificate"),
    ("44", "certificate_revoked"),
    ("45", "certificate_expired"),
    ("46", "certificate_unknown"),
    ("47", "illegal_parameter"),
    ("48", "unknown_ca"),
    ("70", "protocol_version"),
    ("71", "insufficient_security"),
    ("80", "internal_error"),
    ("116", "certificate_required"),
];

/// One thing to try, in words; the arguments of `openssl s_client`, whose files are those of the
/// folder; and what must be in the outcome.
pub(crate) type Row<'a> = (&'a str, &'a str, &'a str);

/// Tries every row on a server and reports all that do not turn out as they should.
#[track_caller]
pub(crate) fn rows(server: SocketAddrV4, target: &str, folder: &Path, rows: &[Row<'_>]) {
    let mut wrong = Vec::new();
    for (what, arguments, expected) in rows {
        let Some((outcome, text)) = s_client(server, target, folder, arguments) else { return };
        eprintln!("{what} ({arguments}): {outcome}");
        // A row about a refusal is about our server's, not about what the command cannot do.
        let ours = ALERTS.iter().any(|(_, alert)| outcome.ends_with(alert));
        if !outcome.contains(expected) || expected.starts_with("refused") && !ours {
            wrong.push(format!("{what} ({arguments}): {outcome}, expected {expected}\n{text}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Asks a server for `target`. The outcome in one line is `<version> <suite> <key exchange>
/// <status>`, with the protocol if one was chosen by ALPN and `resumed` if the session was, or
/// `refused: <why>`; and everything that the command printed. `None` where there is no openssl.
pub(crate) fn s_client(
    server: SocketAddrV4,
    target: &str,
    folder: &Path,
    arguments: &str,
) -> Option<(String, String)> {
    let mut child = tool("openssl")?
        .args(["s_client", "-connect", &server.to_string(), "-ign_eof", "-CAfile", "ca.pem"])
        .args(arguments.split_whitespace())
        .current_dir(folder)
        // Some systems forbid in theirs what is to be tried here.
        .env("OPENSSL_CONF", "/dev/null")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl starts");
    let request = format!("GET {target} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n");
    // Whoever is refused reads no request.
    let _ = child.stdin.take().expect("piped").write_all(request.as_bytes());
    let output = child.wait_with_output().expect("openssl ends");
    let text = [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat();
    Some((outcome(&text), text))
}

fn outcome(text: &str) -> String {
    let after = |what: &str| {
        text.lines().find_map(|line| line.split_once(what)).map(|(_, rest)| rest.trim())
    };
    // The command may be in the middle of a line of its own.
    let Some((_, status)) = text.split_once("HTTP/1.1 ") else {
        return format!("refused: {}", reason(text));
    };
    let status = status.split(' ').next().unwrap_or_default();
    let spoken = text
        .lines()
        .find_map(|line| line.strip_prefix("New, ").or_else(|| line.strip_prefix("Reused, ")));
    let (_, suite) = spoken.and_then(|line| line.split_once(", Cipher is ")).unwrap_or_default();
    let version = after("Protocol  : ").or_else(|| spoken.and_then(|line| line.split(',').next()));
    // The word depends on the version of the command.
    let words = ["Server Temp Key: ", "Peer Temp Key: ", "Negotiated TLS1.3 group: "];
    let key = words.iter().find_map(|word| after(word)).map(|key| key.replace(", ", " "));
    let protocol = after("ALPN protocol: ").unwrap_or_default();
    let resumed = if text.contains("\nReused, ") { "resumed" } else { "" };
    let (version, key) = (version.unwrap_or("?"), key.unwrap_or("RSA".to_owned()));
    format!("{version} {suite} {key} {status} {protocol}{resumed}").trim_end().to_owned()
}

fn reason(text: &str) -> &str {
    if let Some((_, number)) = text.split_once("SSL alert number ") {
        let number = number.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        return ALERTS.iter().find(|(n, _)| *n == number).map_or(number, |(_, name)| name);
    }
    let error = text.lines().find(|line| line.contains(":error:"));
    error.unwrap_or("the connection was closed")
}
