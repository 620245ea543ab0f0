//! Files under virtual names: logs and sandboxes, never anything else.
//!
//! A daemon attaches a real file or directory under a virtual path. What is asked for is found by
//! its longest attached prefix, resolved to a real path, and must then lie beneath what was
//! attached. The file is opened relative to the attached directory with symbolic links refused, so
//! that a task that swaps a directory for a link between check and use gains nothing; and without
//! blocking, so that a pipe in a sandbox holds nobody up.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path as RealPath, PathBuf};
use std::sync::{PoisonError, RwLock};

use nix::unistd::{Gid, Group, Uid, User};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};

use crate::path::{Path, PathError};

/// The most bytes that one read returns: 16 pages, as the original.
pub const MAX_READ_BYTES: usize = 64 * 1024;

/// The most entries of one directory that are listed. A sandbox with more is listed in part: a
/// task must not make its agent hold a million names.
pub const MAX_ENTRIES: usize = 10_000;

/// Why a file is not given. The HTTP layer makes one answer of most of these: who asks does not
/// learn what exists.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The virtual path is no path.
    #[error(transparent)]
    Path(#[from] PathError),
    /// Nothing is attached there, or there is no such file beneath it.
    #[error("no file of that name")]
    NotFound,
    /// The real file lies outside what was attached.
    #[error("{0} leads out of what was attached")]
    Escapes(PathBuf),
    /// It is something that cannot be read as a file.
    #[error("Cannot read a directory")]
    Directory,
    /// It is neither a file nor a directory.
    #[error("{0} is neither a file nor a directory")]
    Special(PathBuf),
    /// The system refused.
    #[error("{path}: {source}")]
    Io {
        /// The real path.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// One entry of a directory, as `ls -l` shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The virtual path.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Hard links.
    pub nlink: u64,
    /// The raw mode: type and permissions.
    pub mode: u32,
    /// The last change, in seconds since the epoch.
    pub mtime: i64,
    /// The owner's name, or number if it has none.
    pub uid: String,
    /// The group's name, or number if it has none.
    pub gid: String,
}

impl Entry {
    /// The mode as `ls -l` prints it: `-rw-r--r--`.
    #[must_use]
    pub fn mode_text(&self) -> String {
        let kind = match self.mode & 0o170_000 {
            0o040_000 => 'd',
            0o120_000 => 'l',
            0o010_000 => 'p',
            0o140_000 => 's',
            0o020_000 => 'c',
            0o060_000 => 'b',
            _ => '-',
        };
        let bit = |mask: u32, letter: char| if self.mode & mask == 0 { '-' } else { letter };
        let special = |exec: u32, set: u32, lower: char| match (
            self.mode & exec != 0,
            self.mode & set != 0,
        ) {
            (true, true) => lower,
            (false, true) => lower.to_ascii_uppercase(),
            (true, false) => 'x',
            (false, false) => '-',
        };
        [
            kind,
            bit(0o400, 'r'),
            bit(0o200, 'w'),
            special(0o100, 0o4000, 's'),
            bit(0o040, 'r'),
            bit(0o020, 'w'),
            special(0o010, 0o2000, 's'),
            bit(0o004, 'r'),
            bit(0o002, 'w'),
            special(0o001, 0o1000, 't'),
        ]
        .into_iter()
        .collect()
    }
}

/// What a read gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Where the bytes were, or the size of the file if none were asked for.
    pub offset: u64,
    /// The bytes.
    pub data: Vec<u8>,
    /// The size of the whole file.
    pub size: u64,
}

/// The map from virtual to real paths.
#[derive(Debug, Default)]
pub struct Files {
    attached: RwLock<BTreeMap<Path, PathBuf>>,
}

impl Files {
    /// Shows `real` (a file or a directory) under `name`. What was there is replaced.
    pub fn attach(&self, name: &str, real: impl Into<PathBuf>) -> Result<(), PathError> {
        let name = Path::from_text(name)?;
        self.attached.write().unwrap_or_else(PoisonError::into_inner).insert(name, real.into());
        Ok(())
    }

    /// Takes `name` back. What is being read is read to its end.
    pub fn detach(&self, name: &str) {
        if let Ok(name) = Path::from_text(name) {
            self.attached.write().unwrap_or_else(PoisonError::into_inner).remove(&name);
        }
    }

    /// What is attached, virtual to real.
    #[must_use]
    pub fn list(&self) -> BTreeMap<String, PathBuf> {
        let attached = self.attached.read().unwrap_or_else(PoisonError::into_inner);
        attached.iter().map(|(name, real)| (name.to_string(), real.clone())).collect()
    }

    /// The entries of a directory, sorted by path. Of something else: none, as the original.
    /// Blocks on the file system.
    pub fn browse(&self, name: &str) -> Result<Vec<Entry>, FileError> {
        let virtual_path = Path::from_text(name)?;
        let found = self.resolve(&virtual_path)?;
        if !found.metadata()?.is_dir() {
            return Ok(Vec::new());
        }
        let directory = found.open(OFlags::DIRECTORY)?;
        let io = |source: rustix::io::Errno| FileError::Io {
            path: found.path.clone(),
            source: source.into(),
        };
        let mut entries = Vec::new();
        for entry in rustix::fs::Dir::read_from(&directory).map_err(io)?.take(MAX_ENTRIES) {
            let entry = entry.map_err(io)?;
            let Ok(file_name) = entry.file_name().to_str() else { continue };
            if file_name == "." || file_name == ".." {
                continue;
            }
            // What a link leads to is nobody's business here; a file that went away is not listed.
            let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
            let Ok(stat) = rustix::fs::statat(&directory, entry.file_name(), flags) else {
                continue;
            };
            entries.push(Entry {
                path: format!("{}/{file_name}", name.trim_end_matches('/')),
                size: u64::try_from(stat.st_size).unwrap_or_default(),
                nlink: stat.st_nlink,
                mode: stat.st_mode,
                mtime: stat.st_mtime,
                uid: user_name(stat.st_uid),
                gid: group_name(stat.st_gid),
            });
        }
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(entries)
    }

    /// At most `length` bytes (and [`MAX_READ_BYTES`]) from `offset`. Without an offset: no bytes,
    /// and the size. Blocks on the file system.
    pub fn read(
        &self,
        name: &str,
        offset: Option<u64>,
        length: Option<u64>,
    ) -> Result<Chunk, FileError> {
        let found = self.resolve(&Path::from_text(name)?)?;
        let (mut file, metadata) = found.open_file()?;
        let size = metadata.len();
        let Some(offset) = offset.filter(|o| *o < size) else {
            return Ok(Chunk { offset: offset.unwrap_or(size), data: Vec::new(), size });
        };
        let cap = u64::try_from(MAX_READ_BYTES).unwrap_or(u64::MAX);
        let wanted = length.unwrap_or(u64::MAX).min(size - offset).min(cap);
        let io = |source| FileError::Io { path: found.path.clone(), source };
        let mut data = Vec::new();
        file.seek(SeekFrom::Start(offset)).map_err(io)?;
        file.take(wanted).read_to_end(&mut data).map_err(io)?;
        Ok(Chunk { offset, data, size })
    }

    /// The file itself with its length and its own name, to be sent whole. Blocks on the file
    /// system.
    pub fn open(&self, name: &str) -> Result<(File, u64, String), FileError> {
        let virtual_path = Path::from_text(name)?;
        let found = self.resolve(&virtual_path)?;
        let (file, metadata) = found.open_file()?;
        let own_name = virtual_path.segments().last().cloned().unwrap_or_default();
        Ok((file, metadata.len(), own_name))
    }

    fn resolve(&self, name: &Path) -> Result<Found, FileError> {
        let (root, rest) = {
            let attached = self.attached.read().unwrap_or_else(PoisonError::into_inner);
            let segments = name.segments();
            (1..=segments.len())
                .rev()
                .find_map(|n| {
                    let prefix = attached.iter().find(|(at, _)| at.segments() == &segments[..n])?;
                    Some((prefix.1.clone(), segments[n..].to_vec()))
                })
                .ok_or(FileError::NotFound)?
        };
        let real = |path: &RealPath| {
            path.canonicalize().map_err(|source| match source.kind() {
                ErrorKind::NotFound | ErrorKind::NotADirectory => FileError::NotFound,
                _ => FileError::Io { path: path.to_owned(), source },
            })
        };
        let root = real(&root)?;
        let path = real(&rest.iter().fold(root.clone(), |path, segment| path.join(segment)))?;
        match path.strip_prefix(&root) {
            Ok(beneath) => {
                let beneath = beneath.to_owned();
                Ok(Found { root, beneath, path })
            }
            Err(_) => Err(FileError::Escapes(path)),
        }
    }
}

/// A path that was, a moment ago, beneath its root.
struct Found {
    root: PathBuf,
    beneath: PathBuf,
    path: PathBuf,
}

impl Found {
    fn metadata(&self) -> Result<Metadata, FileError> {
        self.path.symlink_metadata().map_err(|e| self.error(e))
    }

    fn error(&self, source: std::io::Error) -> FileError {
        match source.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => FileError::NotFound,
            _ => FileError::Io { path: self.path.clone(), source },
        }
    }

    /// Opens for reading. The path has no links any more; one that appears now is refused by the
    /// kernel.
    fn open(&self, flags: OFlags) -> Result<File, FileError> {
        let flags = flags
            | OFlags::RDONLY
            | OFlags::CLOEXEC
            | OFlags::NONBLOCK
            | OFlags::NOCTTY
            | OFlags::NOFOLLOW;
        let system = |e: rustix::io::Errno| match e {
            rustix::io::Errno::LOOP | rustix::io::Errno::XDEV => {
                FileError::Escapes(self.path.clone())
            }
            e => self.error(e.into()),
        };
        // What was attached is a file: it is opened by its own path.
        if self.beneath.as_os_str().is_empty() {
            let opened = rustix::fs::openat(CWD, &self.root, flags, Mode::empty());
            return opened.map(File::from).map_err(system);
        }
        let root = rustix::fs::openat(
            CWD,
            &self.root,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(system)?;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        rustix::fs::openat2(&root, &self.beneath, flags, Mode::empty(), resolve)
            .map(File::from)
            .map_err(system)
    }

    fn open_file(&self) -> Result<(File, Metadata), FileError> {
        let file = self.open(OFlags::empty())?;
        let metadata = file.metadata().map_err(|e| self.error(e))?;
        if metadata.is_dir() {
            return Err(FileError::Directory);
        }
        if !metadata.is_file() {
            return Err(FileError::Special(self.path.clone()));
        }
        Ok((file, metadata))
    }
}

fn user_name(uid: u32) -> String {
    match User::from_uid(Uid::from_raw(uid)) {
        Ok(Some(user)) => user.name,
        _ => uid.to_string(),
    }
}

fn group_name(gid: u32) -> String {
    match Group::from_gid(Gid::from_raw(gid)) {
        Ok(Some(group)) => group.name,
        _ => gid.to_string(),
    }
}

/// Whether two descriptions are of one file; for those who follow a log that may be replaced.
#[must_use]
pub fn same_file(a: &Metadata, b: &Metadata) -> bool {
    a.dev() == b.dev() && a.ino() == b.ino()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn sandbox() -> (tempfile::TempDir, Files) {
        let dir = tempfile::tempdir().unwrap();
        let sandbox = dir.path().join("sandbox");
        std::fs::create_dir_all(sandbox.join("deep")).unwrap();
        std::fs::write(sandbox.join("stdout"), b"hello\n").unwrap();
        std::fs::write(sandbox.join("deep/er"), b"x").unwrap();
        std::fs::write(dir.path().join("secret"), b"no").unwrap();
        let files = Files::default();
        files.attach("/frameworks/f/runs/latest", &sandbox).unwrap();
        files.attach("/slave/log", dir.path().join("secret")).unwrap();
        (dir, files)
    }

    #[test]
    fn a_sandbox_is_listed_read_and_opened() {
        let (_dir, files) = sandbox();
        let entries = files.browse("/frameworks/f/runs/latest/").unwrap();
        let paths: Vec<_> = entries.iter().map(|e| e.path.as_str()).collect();
        assert_eq!(paths, ["/frameworks/f/runs/latest/deep", "/frameworks/f/runs/latest/stdout"]);
        assert!(entries[0].mode_text().starts_with('d'));
        assert!(entries[1].mode_text().starts_with("-rw"));
        assert_eq!(entries[1].size, 6);

        let stdout = "/frameworks//f/runs/latest/stdout";
        let read = |offset, length| files.read(stdout, offset, length).unwrap();
        assert_eq!(read(None, None), Chunk { offset: 6, data: vec![], size: 6 });
        assert_eq!(read(Some(0), None).data, b"hello\n");
        assert_eq!(read(Some(1), Some(3)).data, b"ell");
        assert_eq!(read(Some(6), None), Chunk { offset: 6, data: vec![], size: 6 });
        assert_eq!(read(Some(99), None).offset, 99);
        let (_, length, name) = files.open(stdout).unwrap();
        assert_eq!((length, name.as_str()), (6, "stdout"));
        assert_eq!(files.read("/slave/log", Some(0), None).unwrap().data, b"no");
    }

    #[test]
    fn one_read_is_capped() {
        let (dir, files) = sandbox();
        std::fs::write(dir.path().join("sandbox/big"), vec![b'x'; 100_000]).unwrap();
        let chunk = files.read("/frameworks/f/runs/latest/big", Some(10), Some(99_000)).unwrap();
        assert_eq!(chunk.data.len(), MAX_READ_BYTES);
        assert_eq!(chunk.size, 100_000);
    }

    #[test]
    fn nothing_outside_is_reached() {
        let (dir, files) = sandbox();
        let sandbox = dir.path().join("sandbox");
        symlink("../secret", sandbox.join("relative")).unwrap();
        symlink(dir.path().join("secret"), sandbox.join("absolute")).unwrap();
        symlink(dir.path(), sandbox.join("up")).unwrap();
        symlink("stdout", sandbox.join("inside")).unwrap();
        let read =
            |name: &str| files.read(&format!("/frameworks/f/runs/latest/{name}"), Some(0), None);
        assert!(matches!(read("relative"), Err(FileError::Escapes(_))));
        assert!(matches!(read("absolute"), Err(FileError::Escapes(_))));
        assert!(matches!(read("up/secret"), Err(FileError::Escapes(_))));
        assert!(matches!(read("../secret"), Err(FileError::Path(_))));
        assert_eq!(read("inside").unwrap().data, b"hello\n");
        for name in ["/secret", "/", "", "/frameworks", "/frameworks/f/runs", "/etc/passwd"] {
            assert!(matches!(files.read(name, None, None), Err(FileError::NotFound)), "{name}");
        }
        let up = files.browse("/frameworks/f/runs/latest/up");
        assert!(matches!(up, Err(FileError::Escapes(_))));
    }

    #[test]
    fn a_link_that_appears_after_the_check_is_refused_by_the_kernel() {
        let (dir, files) = sandbox();
        let sandbox = dir.path().join("sandbox");
        let path = Path::from_text("/frameworks/f/runs/latest/deep/er").unwrap();
        let found = files.resolve(&path).unwrap();
        std::fs::remove_dir_all(sandbox.join("deep")).unwrap();
        std::fs::create_dir(dir.path().join("elsewhere")).unwrap();
        std::fs::write(dir.path().join("elsewhere/er"), b"no").unwrap();
        symlink("../elsewhere", sandbox.join("deep")).unwrap();
        assert!(matches!(found.open_file(), Err(FileError::Escapes(_))));
    }

    #[test]
    fn pipes_and_directories_are_not_read() {
        let (dir, files) = sandbox();
        let pipe = dir.path().join("sandbox/pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
        let read = |name: &str| files.read(&format!("/frameworks/f/runs/latest{name}"), None, None);
        assert!(matches!(read("/pipe"), Err(FileError::Special(_))));
        assert!(matches!(read("/deep"), Err(FileError::Directory)));
        assert!(files.browse("/frameworks/f/runs/latest/stdout").unwrap().is_empty());
    }

    #[test]
    fn what_is_detached_is_gone() {
        let (_dir, files) = sandbox();
        files.detach("//slave/log");
        assert!(matches!(files.read("/slave/log", None, None), Err(FileError::NotFound)));
        assert_eq!(files.list().len(), 1);
    }

    #[test]
    fn modes_print_as_ls_prints_them() {
        let mode = |mode| {
            Entry {
                path: String::new(),
                size: 0,
                nlink: 1,
                mode,
                mtime: 0,
                uid: String::new(),
                gid: String::new(),
            }
            .mode_text()
        };
        assert_eq!(mode(0o100_644), "-rw-r--r--");
        assert_eq!(mode(0o040_755), "drwxr-xr-x");
        assert_eq!(mode(0o041_777), "drwxrwxrwt");
        assert_eq!(mode(0o104_755), "-rwsr-xr-x");
        assert_eq!(mode(0o102_644), "-rw-r-Sr--");
        assert_eq!(mode(0o120_777), "lrwxrwxrwx");
    }
}
