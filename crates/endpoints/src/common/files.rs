//! `/files/browse`, `/files/read`, `/files/download`, `/files/debug`, and the calls LIST_FILES
//! and READ_FILE.

use std::sync::Arc;

use wire::{json, v1};

use super::Daemon;
use crate::body::FileBody;
use crate::files::{Chunk, Entry, FileError};
use crate::refusal::Refusal;
use crate::reply::{Answer, Reply};
use crate::request::Request;
use crate::route::Pending;

/// What is not there, what leads outside and what the system refuses look alike from outside; the
/// log tells them apart.
fn refuse(name: &str, error: &FileError) -> Refusal {
    match error {
        FileError::Directory => Refusal::bad_request(error.to_string()),
        FileError::Path(_) | FileError::NotFound | FileError::Escapes(_) => {
            Refusal::no_such_file().because(format!("{name}: {error}"))
        }
        FileError::Special(_) | FileError::Io { .. } => {
            Refusal::no_such_file().because(error.to_string())
        }
    }
}

/// Runs what blocks on the file system where that hurts nobody.
async fn blocking<S, T, F>(daemon: &Arc<S>, name: &str, work: F) -> Result<T, Refusal>
where
    S: Daemon,
    T: Send + 'static,
    F: FnOnce(&S, &str) -> Result<T, FileError> + Send + 'static,
{
    let (daemon, owned) = (daemon.clone(), name.to_owned());
    tokio::task::spawn_blocking(move || work(&daemon, &owned))
        .await
        .map_err(|e| Refusal::internal(format!("reading {name}: {e}")))?
        .map_err(|e| refuse(name, &e))
}

fn path(request: &Request) -> Result<String, Refusal> {
    match request.query.get("path") {
        Some(path) if !path.is_empty() => Ok(path.to_owned()),
        _ => Err(Refusal::bad_request("Expecting 'path=value' in query")),
    }
}

/// `offset` and `length`: absent or −1 means no value, less is an error.
fn natural(request: &Request, name: &str) -> Result<Option<u64>, Refusal> {
    match request.query.integer(name)? {
        None | Some(-1) => Ok(None),
        Some(n) => u64::try_from(n)
            .map(Some)
            .map_err(|_| Refusal::bad_request(format!("Negative {name} provided: {n}"))),
    }
}

pub(super) fn browse<S: Daemon>(daemon: Arc<S>, request: Request) -> Pending {
    Box::pin(async move {
        let name = path(&request)?;
        let entries = blocking(&daemon, &name, |d, name| d.files().browse(name)).await?;
        let mut out = Vec::new();
        json::array(&mut out, |a| {
            for entry in &entries {
                a.object(|o| {
                    o.field("gid", &entry.gid);
                    o.field("mode", entry.mode_text());
                    o.field("mtime", entry.mtime);
                    o.field("nlink", entry.nlink);
                    o.field("path", &entry.path);
                    o.field("size", entry.size);
                    o.field("uid", &entry.uid);
                });
            }
        });
        Ok(Reply::Json(out.into()))
    })
}

pub(super) fn read<S: Daemon>(daemon: Arc<S>, request: Request) -> Pending {
    Box::pin(async move {
        let name = path(&request)?;
        let (offset, length) = (natural(&request, "offset")?, natural(&request, "length")?);
        let read = move |d: &S, name: &str| d.files().read(name, offset, length);
        let chunk = blocking(&daemon, &name, read).await?;
        let mut out = Vec::new();
        json::object(&mut out, |o| {
            o.field("data", String::from_utf8_lossy(&chunk.data).as_ref());
            o.field("offset", chunk.offset);
        });
        Ok(Reply::Json(out.into()))
    })
}

pub(super) fn download<S: Daemon>(daemon: Arc<S>, request: Request) -> Pending {
    Box::pin(async move {
        let name = path(&request)?;
        let (file, length, own_name) =
            blocking(&daemon, &name, |d, name| d.files().open(name)).await?;
        Ok(Reply::File { name: own_name, content: FileBody::new(file, length), length })
    })
}

pub(super) fn debug<S: Daemon>(daemon: &S, _: &Request) -> Answer {
    let mut out = Vec::new();
    json::object(&mut out, |o| {
        for (name, real) in daemon.files().list() {
            o.field(&name, real.to_string_lossy().as_ref());
        }
    });
    Ok(Reply::Json(out.into()))
}

/// The call LIST_FILES.
pub async fn list_files<S: Daemon>(
    daemon: &Arc<S>,
    path: &str,
) -> Result<Vec<v1::FileInfo>, Refusal> {
    let entries = blocking(daemon, path, |d, name| d.files().browse(name)).await?;
    Ok(entries.into_iter().map(file_info).collect())
}

fn file_info(entry: Entry) -> v1::FileInfo {
    let seconds = entry.mtime.saturating_mul(1_000_000_000);
    v1::FileInfo {
        path: entry.path,
        nlink: i32::try_from(entry.nlink).ok(),
        size: Some(entry.size),
        mtime: Some(v1::TimeInfo { nanoseconds: seconds }),
        mode: Some(entry.mode),
        uid: Some(entry.uid),
        gid: Some(entry.gid),
    }
}

/// The call READ_FILE: at most `length` bytes from `offset`, capped as every read is.
pub async fn read_file<S: Daemon>(
    daemon: &Arc<S>,
    path: &str,
    offset: u64,
    length: Option<u64>,
) -> Result<Chunk, Refusal> {
    let read = move |d: &S, name: &str| d.files().read(name, Some(offset), length);
    blocking(daemon, path, read).await
}
