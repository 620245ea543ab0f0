//! `--whitelist`: the file of host names whose agents are offered, read again and again.

use std::collections::BTreeSet;
use std::io::{Error, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;

use super::{Inbox, MasterError, blocking};
use crate::engine::event::Event;

/// How often the file is read.
const INTERVAL: Duration = Duration::from_secs(5);

/// The largest file that is read: room for a million names.
const MAX_BYTES: u64 = 64 << 20;

/// The host names in the file, one in a line.
pub(super) fn read(path: &Path) -> std::io::Result<BTreeSet<String>> {
    let mut text = String::new();
    let read = std::fs::File::open(path)?.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    if read as u64 > MAX_BYTES {
        let why = format!("it is larger than {MAX_BYTES} bytes");
        return Err(Error::new(ErrorKind::InvalidData, why));
    }
    let names = text.lines().map(str::trim).filter(|name| !name.is_empty());
    Ok(names.map(str::to_owned).collect())
}

/// What the file says at the start. If it cannot be read, no agent is offered until it can: what
/// is not on the list is not to be offered.
pub(super) async fn first(path: PathBuf) -> Result<BTreeSet<String>, MasterError> {
    blocking(move || {
        read(&path).unwrap_or_else(|error| {
            tracing::error!(
                "--whitelist: cannot read {}: {error}; no agent is offered until it can be read",
                path.display()
            );
            BTreeSet::new()
        })
    })
    .await
}

/// Tells the engine whenever the file says something else than before, until the master stops.
/// While it cannot be read what it said last holds.
pub(super) async fn watch(
    path: PathBuf,
    mut last: BTreeSet<String>,
    inbox: Inbox,
    mut stopped: watch::Receiver<bool>,
) {
    let mut readable = true;
    loop {
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            _ = stopped.wait_for(|stopped| *stopped) => return,
        }
        let file = path.clone();
        match blocking(move || read(&file)).await {
            Ok(Ok(names)) => {
                readable = true;
                if names == last {
                    continue;
                }
                tracing::info!("--whitelist: {} hosts are offered from now on", names.len());
                last.clone_from(&names);
                if inbox.put(Event::Whitelisted(names)).await.is_err() {
                    return;
                }
            }
            Ok(Err(error)) if readable => {
                readable = false;
                let path = path.display();
                tracing::error!("--whitelist: cannot read {path}: {error}; what it said holds");
            }
            Ok(Err(_)) => {}
            Err(error) => tracing::error!("--whitelist: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whitelist_has_one_name_in_a_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("whitelist");
        assert_eq!(read(&path).unwrap_err().kind(), ErrorKind::NotFound);
        std::fs::write(&path, "host-1\n\n  host-2 \r\nhost-1").unwrap();
        let names: Vec<_> = read(&path).unwrap().into_iter().collect();
        assert_eq!(names, ["host-1", "host-2"]);
        std::fs::write(&path, b"\xff\xfe").unwrap();
        assert_eq!(read(&path).unwrap_err().kind(), ErrorKind::InvalidData);
    }
}
