//! Files that are there whole or not at all, and stay.
//!
//! Messages stand behind their length, a 32-bit little-endian number; a list is several of these
//! in a row.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, symlink};
use std::path::Path;

use wire::{Described, Limits};

/// The bytes of one message behind their length.
pub(super) fn framed<T: Described>(message: &T) -> Vec<u8> {
    let body = wire::encode(message);
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let mut out = Vec::with_capacity(body.len() + 4);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&body);
    out
}

/// Makes a directory and what is missing above it; each new entry is durable.
pub(super) fn make_directories(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_directories(parent)?;
    }
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        Err(e) => return Err(e),
    }
    sync_parent(path)
}

/// Makes the entry of `path` in its directory durable.
pub(super) fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Makes `content` the content of the file at `path`: after a crash there is the old or the new.
pub(super) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        make_directories(parent)?;
    }
    // One writer, so the name is free; what a crash left under it is overwritten.
    let temporary = path.with_extension("new");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    sync_parent(path)
}

/// Appends one record.
pub(super) fn append(path: &Path, record: &[u8]) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        make_directories(parent)?;
    }
    let mut file = OpenOptions::new().append(true).create(true).mode(0o644).open(path)?;
    let is_new = file.metadata()?.len() == 0;
    file.write_all(record)?;
    file.sync_data()?;
    if is_new { sync_parent(path) } else { Ok(()) }
}

/// Makes `link` a symbolic link to `target`, whatever it was before.
pub(super) fn point(link: &Path, target: &Path) -> io::Result<()> {
    let temporary = link.with_extension("new");
    match fs::remove_file(&temporary) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    symlink(target, &temporary)?;
    fs::rename(&temporary, link)?;
    sync_parent(link)
}

/// Removes a file; one that is not there is removed already.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => sync_parent(path),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
    }
}

/// The messages of a file and how many of its bytes they take: a crash may have left a part of
/// one behind the last whole one.
pub(super) struct Messages<T> {
    pub(super) messages: Vec<T>,
    pub(super) whole: u64,
    pub(super) size: u64,
}

/// The content of a file; `None` if there is none.
pub(super) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut content = Vec::new();
    match File::open(path) {
        Ok(mut file) => file.read_to_end(&mut content)?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    Ok(Some(content))
}

/// The messages of a file; `None` if there is no file.
pub(super) fn read_messages<T: Described>(path: &Path) -> io::Result<Option<Messages<T>>> {
    let Some(content) = read(path)? else { return Ok(None) };
    let mut messages = Vec::new();
    let mut rest = content.as_slice();
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let Some((body, behind)) = behind.split_at_checked(length) else { break };
        let (message, _) = wire::check::decode(body, &Limits::default())
            .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.to_string()))?;
        messages.push(message);
        rest = behind;
    }
    let size = content.len() as u64;
    Ok(Some(Messages { messages, whole: size - rest.len() as u64, size }))
}

/// Cuts a file off, durably.
pub(super) fn truncate(path: &Path, length: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.set_len(length)?;
    file.sync_all()
}

/// Bytes as lower-case hexadecimal digits.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// 32 bytes from their hexadecimal digits.
pub(super) fn from_hexadecimal(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(bytes)
}
