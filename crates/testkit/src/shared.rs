//! Where the reference tables and the recorded traffic are: outside the project, since none of it
//! is ours. The project builds and passes without them.

use std::path::{Path, PathBuf};

/// The directory named by `ALCAZAR_SHARED`, or `../shared` beside the workspace. `None`, said on
/// standard error, if it is not there: the test that asked is skipped.
#[must_use]
pub fn directory() -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let directory = match std::env::var_os("ALCAZAR_SHARED") {
        // Relative to the workspace, whatever directory the test runs in.
        Some(named) => workspace.join(named),
        None => workspace.join("../shared"),
    };
    if directory.is_dir() {
        Some(directory)
    } else {
        crate::skipped(&format!("no {} (see ALCAZAR_SHARED)", directory.display()));
        None
    }
}
