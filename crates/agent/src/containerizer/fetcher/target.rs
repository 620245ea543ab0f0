//! Where a fetched file goes: into the sandbox, and nowhere else.

use std::fs::File;
use std::io;
use std::path::{Component, Path};

use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags, fchmod, mkdirat, openat};
use rustix::io::Errno;

/// The name of a file in the sandbox: one or more plain components.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name(Vec<String>);

/// Why a name is not one of a file in the sandbox.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NameError {
    #[error("output file '{0}' is not inside the sandbox")]
    Outside(String),
    #[error("'{0}' does not say what to call the file: give `output_file`")]
    Nameless(String),
}

impl Name {
    /// What `output_file` says, or else what follows the last slash of `uri`.
    pub(super) fn new(uri: &str, output_file: Option<&str>) -> Result<Self, NameError> {
        let text = match output_file {
            Some(text) => text,
            None => {
                let path = uri.trim().split_once("://").map_or(uri.trim(), |(_, path)| path);
                let name = path.rsplit_once('/').map_or("", |(_, name)| name);
                if matches!(name, "" | "." | "..") {
                    return Err(NameError::Nameless(uri.to_owned()));
                }
                name
            }
        };
        let outside = || NameError::Outside(text.to_owned());
        if text.contains('\0') || text.ends_with('/') {
            return Err(outside());
        }
        let mut components = Vec::new();
        for component in Path::new(text).components() {
            match component {
                Component::Normal(name) => {
                    components.push(name.to_str().ok_or_else(outside)?.to_owned());
                }
                Component::CurDir => {}
                Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                    return Err(outside());
                }
            }
        }
        if components.is_empty() { Err(outside()) } else { Ok(Self(components)) }
    }

    /// Opens the file in `sandbox` for writing, empty, with its directories made. Follows no
    /// links.
    pub(super) fn create(&self, sandbox: &Path, executable: bool) -> io::Result<File> {
        let (last, directories) =
            self.0.split_last().ok_or_else(|| io::Error::other("it has no name"))?;
        let open = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut directory: OwnedFd = openat(CWD, sandbox, open, Mode::empty())?;
        for name in directories {
            match mkdirat(&directory, name, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            directory = openat(&directory, name, open, Mode::empty())?;
        }
        let write = OFlags::CREATE
            | OFlags::TRUNC
            | OFlags::WRONLY
            | OFlags::NOFOLLOW
            | OFlags::NONBLOCK
            | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(if executable { 0o755 } else { 0o644 });
        let file = openat(&directory, last, write, mode)?;
        fchmod(&file, mode)?;
        Ok(file.into())
    }

    /// Whether the original would take the file for an archive and unpack it.
    pub(super) fn is_archive(&self) -> bool {
        const ENDS: [&str; 10] = [
            ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".gz", ".zip",
            ".tb2",
        ];
        self.0.last().is_some_and(|name| ENDS.iter().any(|end| name.ends_with(end)))
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join("/"))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_called_as_told_or_as_its_uri_ends() {
        let name = |uri, output| Name::new(uri, output).map(|name| name.to_string());
        assert_eq!(name("http://h/a/b.tgz?v=1", None).unwrap(), "b.tgz?v=1");
        assert_eq!(name("/a/b", None).unwrap(), "b");
        assert_eq!(name("http://h/", Some("x/./y")).unwrap(), "x/y");
        for uri in ["http://h/", "http://h", "/a/..", "file:///"] {
            assert!(matches!(Name::new(uri, None), Err(NameError::Nameless(_))), "{uri}");
        }
    }

    #[test]
    fn a_name_that_leaves_the_sandbox_is_refused() {
        for output in ["", ".", "..", "../x", "a/../../x", "/etc/x", "a/..", "x/", "x\0"] {
            let result = Name::new("http://h/b", Some(output));
            assert_eq!(result, Err(NameError::Outside(output.to_owned())), "{output:?}");
        }
    }

    #[test]
    fn a_link_in_the_sandbox_is_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let outside = root.path().join("outside");
        let sandbox = root.path().join("sandbox");
        std::fs::create_dir_all(&outside).unwrap();
        std::fs::create_dir_all(&sandbox).unwrap();
        std::fs::write(outside.join("file"), "untouched").unwrap();
        std::os::unix::fs::symlink(&outside, sandbox.join("directory")).unwrap();
        std::os::unix::fs::symlink(outside.join("file"), sandbox.join("file")).unwrap();
        for output in ["directory/file", "directory/new", "file"] {
            let name = Name::new("/x", Some(output)).unwrap();
            name.create(&sandbox, false).unwrap_err();
        }
        assert_eq!(std::fs::read_to_string(outside.join("file")).unwrap(), "untouched");
        assert!(!outside.join("new").exists());

        let name = Name::new("/x", Some("bin/tool")).unwrap();
        writeln!(name.create(&sandbox, true).unwrap(), "#!/bin/sh").unwrap();
        let made = sandbox.join("bin/tool").metadata().unwrap();
        assert_eq!(made.permissions().mode() & 0o777, 0o755);
    }
}
