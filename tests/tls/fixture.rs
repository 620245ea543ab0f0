//! A folder of certificates, and daemons that use it.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use tempfile::TempDir;
use testkit::certificates::{Authority, Issued, Keys, Leaf};
use testkit::daemon::Daemon;

pub(crate) const ALCAZAR: &str = env!("CARGO_BIN_EXE_alcazar");

/// The address at which everything in these tests listens.
pub(crate) const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A folder with a root (`ca.pem`) and certificates below it, each `<name>.pem` with
/// `<name>-key.pem`.
#[derive(Debug)]
pub(crate) struct Folder {
    directory: TempDir,
    pub(crate) root: Authority,
}

impl Folder {
    /// A root, and `rsa` and `ecdsa`: the host `localhost`, also met at [`HERE`].
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let root = Authority::root("root", Keys::Ecdsa);
        root.write(&directory.path().join("ca.pem"));
        let folder = Self { directory, root };
        let host = Leaf::host("localhost", Some(HERE));
        folder.issue("ecdsa", &host);
        folder.issue("rsa", &host.keys(Keys::Rsa));
        folder
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A file of this folder, for a variable.
    pub(crate) fn file(&self, name: &str) -> String {
        self.path().join(name).display().to_string()
    }

    pub(crate) fn write(&self, name: &str, contents: &[u8]) {
        std::fs::write(self.path().join(name), contents).expect("our own directory");
    }

    /// A certificate of the root.
    pub(crate) fn issue(&self, name: &str, leaf: &Leaf) -> Issued {
        self.keep(name, self.root.issue(leaf))
    }

    /// A certificate of somebody else.
    pub(crate) fn keep(&self, name: &str, issued: Issued) -> Issued {
        issued.write(self.path(), name);
        issued
    }

    /// Variables, given by their names after the prefix; a value `@<file>` is a file of this
    /// folder.
    pub(crate) fn variables(&self, settings: &[(&str, &str)]) -> Vec<(String, String)> {
        let value = |value: &str| match value.strip_prefix('@') {
            Some(name) => self.file(name),
            None => value.to_owned(),
        };
        let pairs = settings.iter();
        pairs.map(|(name, v)| (format!("LIBPROCESS_SSL_{name}"), value(v))).collect()
    }

    /// A master under the original's name with these variables, and TLS on.
    pub(crate) fn master(&self, settings: &[(&str, &str)]) -> Daemon {
        let settings = [&[("ENABLED", "true")], settings].concat();
        Daemon::start_with(
            Path::new(ALCAZAR),
            "mesos-master",
            &["--registry=in_memory".to_owned()],
            &self.variables(&settings),
        )
    }
}
