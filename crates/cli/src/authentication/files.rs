//! Reading files that hold secrets.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use authn::secret::Secret;
use settings::Naming;

/// Far more than the credentials of the largest cluster take.
const MOST: u64 = 64 * 1024 * 1024;

/// The content of a file.
pub(super) fn content(path: &Path, flag: &str) -> anyhow::Result<Secret> {
    Ok(opened(path, flag)?.1)
}

fn opened(path: &Path, flag: &str) -> anyhow::Result<(File, Secret)> {
    let open = || -> std::io::Result<(File, Secret)> {
        let mut file = File::open(path)?;
        // Wiped when it is dropped; as large as it will be, so that no copy stays behind.
        let length = file.metadata()?.len().min(MOST);
        let mut text = Vec::with_capacity(usize::try_from(length).unwrap_or(0) + 1);
        (&mut file).take(MOST + 1).read_to_end(&mut text)?;
        Ok((file, Secret::new(text)))
    };
    let opened = open();
    let (file, text) = opened.with_context(|| {
        format!("cannot read the file '{}' (see --{flag} flag)", path.display())
    })?;
    if text.expose().len() as u64 > MOST {
        bail!("'{}' has more than {MOST} bytes (see --{flag} flag)", path.display());
    }
    Ok((file, text))
}

/// The content of a file with secrets, which is `what`, and what there is to say about its mode.
/// Under our own names nobody else may have access to it.
pub(crate) fn read(
    path: &Path,
    what: &str,
    flag: &str,
    naming: Naming,
) -> anyhow::Result<(Secret, Vec<String>)> {
    let (file, text) = opened(path, flag)?;
    let mode = file.metadata().with_context(|| path.display().to_string())?.permissions().mode();
    let mut notices = Vec::new();
    if mode & 0o007 != 0 {
        let path = path.display();
        let complaint = format!(
            "Permissions on {what} file '{path}' are too open; it is recommended that your {what} \
             file is NOT accessible by others"
        );
        match naming {
            Naming::Mesos => notices.push(complaint),
            Naming::Alcazar => {
                bail!("the {what} file '{path}' is accessible by others: chmod o= '{path}'")
            }
        }
    }
    Ok((text, notices))
}

#[cfg(test)]
mod authn_credential_modes {
    use std::fs::Permissions;

    use super::*;

    #[test]
    fn a_file_that_others_may_read_is_a_warning_or_a_refusal() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "x").unwrap();
        for (mode, open) in [(0o600, false), (0o640, false), (0o604, true), (0o601, true)] {
            std::fs::set_permissions(file.path(), Permissions::from_mode(mode)).unwrap();
            let (text, notices) =
                read(file.path(), "credentials", "credentials", Naming::Mesos).unwrap();
            assert_eq!(text.expose(), b"x");
            assert_eq!(notices.len(), usize::from(open), "{mode:o}: {notices:?}");
            let own = read(file.path(), "credentials", "credentials", Naming::Alcazar);
            assert_eq!(own.is_err(), open, "{mode:o}");
        }
        let error = read(Path::new("/nowhere"), "x", "credentials", Naming::Mesos).unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains("'/nowhere'") && error.contains("--credentials"), "{error}");
    }
}
