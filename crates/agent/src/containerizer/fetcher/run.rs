//! The fetcher's process.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use prost::Message as _;
use rustix::fs::OFlags;
use wire::v1::command_info::Uri;

use super::Fetch;
use super::http::Downloader;
use super::target::Name;
use super::uri::Source;

/// The longest list of URIs accepted, in bytes.
const MAX_FETCH_BYTES: u64 = 16 << 20;

/// Runs the fetcher: what it has to fetch stands on standard input, the sandbox is its working
/// directory. To be called when the program is called with [`super::COMMAND`]; `arguments` are
/// those that follow it.
#[must_use]
pub fn main(arguments: &[OsString]) -> ExitCode {
    let failure = if arguments.is_empty() {
        run().err()
    } else {
        Some(format!("unknown arguments: {arguments:?}"))
    };
    match failure {
        None => ExitCode::SUCCESS,
        Some(failure) => {
            // For the sandbox, and for the agent. If neither listens, the exit code tells.
            say(&format!("Failed to fetch: {failure}"));
            let _ = writeln!(io::stdout(), "{failure}");
            ExitCode::FAILURE
        }
    }
}

fn say(what: &str) {
    let _ = writeln!(io::stderr(), "{what}");
}

pub(super) fn too_large(max_bytes: u64) -> String {
    format!("it is larger than {max_bytes} bytes")
}

#[expect(clippy::disallowed_methods, reason = "these bytes come from the agent, which is us")]
fn run() -> Result<(), String> {
    let mut bytes = Vec::new();
    let read = io::stdin().lock().take(MAX_FETCH_BYTES).read_to_end(&mut bytes);
    read.map_err(|error| error.to_string())?;
    let fetch = Fetch::decode(bytes.as_slice()).map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        for uri in &fetch.uris {
            fetch_one(uri, &fetch)
                .await
                .map_err(|failure| format!("'{}': {failure}", uri.value))?;
        }
        Ok(())
    })
}

async fn fetch_one(uri: &Uri, fetch: &Fetch) -> Result<(), String> {
    let source = Source::parse(&uri.value).map_err(|error| error.to_string())?;
    let name =
        Name::new(&uri.value, uri.output_file.as_deref()).map_err(|error| error.to_string())?;
    let failed = |error: io::Error| format!("cannot write '{name}': {error}");
    let mut file = name.create(Path::new("."), uri.executable()).map_err(failed)?;
    match source {
        Source::File(path) => copy(&path, &mut file, fetch.max_bytes)?,
        Source::Http(remote) => {
            let stall = Duration::from_millis(fetch.stall_timeout_ms);
            let downloader = Downloader::new(fetch.roots.as_deref(), fetch.max_bytes, stall);
            downloader.fetch(remote, &mut file).await?;
        }
    }
    if uri.extract() && !uri.executable() && name.is_archive() {
        say(&format!(
            "Fetched '{name}' but did not extract it: this agent does not extract archives yet"
        ));
    }
    Ok(())
}

fn copy(path: &Path, to: &mut File, max_bytes: u64) -> Result<(), String> {
    let failed = |error: io::Error| error.to_string();
    // Opening a pipe that nobody writes to must not wait.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let from = File::options().read(true).custom_flags(flags).open(path).map_err(failed)?;
    if !from.metadata().map_err(failed)?.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    let copied = io::copy(&mut from.take(max_bytes.saturating_add(1)), to).map_err(failed)?;
    if copied > max_bytes { Err(too_large(max_bytes)) } else { Ok(()) }
}
