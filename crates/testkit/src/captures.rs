//! Recorded traffic of the original: one folder per story, an index, and the raw bytes.

use std::path::PathBuf;

use crate::http::Message;
use crate::shared;

/// What a recorded HTTP message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A libprocess message.
    Message,
    /// Any other request.
    Request,
    /// An answer.
    Response,
}

/// One recorded HTTP message.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The file's name, for failing tests to name. `None` for the empty `202 Accepted` that
    /// answers a libprocess message and has no file.
    pub file: Option<String>,
    /// Seconds since the first packet.
    pub seconds: f64,
    /// The TCP connection's name; messages on one are in order.
    pub connection: String,
    /// Where it came from.
    pub from: String,
    /// Where it went.
    pub to: String,
    /// What it is.
    pub kind: Kind,
    /// The bytes as sent; empty where there is no file.
    pub bytes: Vec<u8>,
}

impl Recorded {
    /// The parsed message.
    ///
    /// # Panics
    /// If there is no file.
    #[must_use]
    pub fn http(&self) -> Message {
        assert!(self.file.is_some(), "an empty answer has no bytes");
        Message::parse(&self.bytes)
    }

    /// The actor and the message name in the path of a libprocess message.
    ///
    /// # Panics
    /// If this is not a libprocess message.
    #[must_use]
    pub fn actor_and_name(&self) -> (String, String) {
        assert_eq!(self.kind, Kind::Message);
        let message = self.http();
        let (_, path) = message.target();
        let (actor, name) = path[1..].split_once('/').expect("an actor and a name");
        (actor.to_owned(), name.to_owned())
    }
}

/// The names of all stories, in order. `None` (said on standard error) if they are not here.
#[must_use]
pub fn stories() -> Option<Vec<String>> {
    let folder = folder()?;
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .expect("the folder is readable")
        .filter_map(|entry| {
            let entry = entry.expect("the folder is readable");
            let directory = entry.file_type().expect("a file type").is_dir();
            directory.then(|| entry.file_name().to_string_lossy().into_owned())
        })
        .collect();
    names.sort();
    Some(names)
}

/// One story, its messages in the order of their first byte. `None` (said on standard error) if
/// the recorded traffic is not here.
///
/// # Panics
/// If there is no such story, or its index cannot be read.
#[must_use]
pub fn story(name: &str) -> Option<Vec<Recorded>> {
    let folder = folder()?.join(name);
    let index = std::fs::read_to_string(folder.join("index.tsv")).expect("a story has an index");
    let rows = index.lines().skip(1).map(|line| {
        let columns: Vec<&str> = line.split('\t').collect();
        let file = (columns[0] != "-").then(|| columns[0].to_owned());
        let bytes = file
            .as_ref()
            .map(|file| std::fs::read(folder.join(file)).expect("a recorded message"))
            .unwrap_or_default();
        Recorded {
            file,
            seconds: columns[1].parse().expect("seconds"),
            connection: columns[2].to_owned(),
            from: columns[3].to_owned(),
            to: columns[4].to_owned(),
            kind: match columns[5] {
                "message" => Kind::Message,
                "request" => Kind::Request,
                "response" => Kind::Response,
                other => panic!("unknown kind {other}"),
            },
            bytes,
        }
    });
    Some(rows.collect())
}

fn folder() -> Option<PathBuf> {
    shared::directory().map(|shared| shared.join("captures"))
}
