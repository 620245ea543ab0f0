//! This program as a memory file that nobody can change.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{MemfdFlags, Mode, SealFlags, fchmod, fcntl_add_seals, memfd_create};
use rustix::io::Errno;

/// The path under which a process that runs from an [`Image`] starts itself again.
pub const THIS_PROGRAM: &str = "/proc/self/exe";

const ALL_SEALS: SealFlags =
    SealFlags::SEAL.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::WRITE);

/// A sealed copy of the running program.
///
/// A container that finds a way to the program of a process outside it (`/proc/<pid>/exe`)
/// finds a file that cannot be written. One copy serves all containers of an agent.
#[derive(Debug)]
pub struct Image {
    file: OwnedFd,
}

impl Image {
    /// Copies the running program.
    pub fn of_this_program() -> io::Result<Self> {
        Self::copy_of(Path::new(THIS_PROGRAM))
    }

    fn copy_of(program: &Path) -> io::Result<Self> {
        let mut source = File::open(program)?;
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        // Kernels before 6.3 do not know the second flag and need none.
        let file = match memfd_create("alcazar", flags | MemfdFlags::EXEC) {
            Err(Errno::INVAL) => memfd_create("alcazar", flags),
            other => other,
        }?;
        let mut file = File::from(file);
        io::copy(&mut source, &mut file)?;
        seal(&file)?;
        // The kernel hides the memory and the descriptors of a process from others of its user,
        // from the first instruction on, if that user may not read its program.
        fchmod(&file, Mode::from_raw_mode(0o111))?;
        Ok(Self { file: file.into() })
    }

    /// The path under which a child of this process can be started from the image.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
    }
}

/// A memory file with `bytes` in it that nobody can change any more.
pub(crate) fn sealed_bytes(bytes: &[u8]) -> io::Result<File> {
    use std::io::{Seek as _, Write as _};
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = match memfd_create("alcazar-input", flags | MemfdFlags::NOEXEC_SEAL) {
        Err(Errno::INVAL) => memfd_create("alcazar-input", flags),
        other => other,
    }?;
    let mut file = File::from(file);
    file.write_all(bytes)?;
    file.rewind()?;
    seal(&file)?;
    Ok(file)
}

/// How often a seal is asked for. The kernel waits up to 150 ms each time before it says no.
const ATTEMPTS: u32 = 40;

/// Closes `file` to every change.
///
/// The kernel refuses with `EBUSY` while something holds a page of the file, which may be about to
/// write it. Nothing of ours does; but the kernel itself may for a moment, when it moves, scans
/// or reclaims memory.
fn seal(file: &File) -> io::Result<()> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        match fcntl_add_seals(file, ALL_SEALS) {
            Err(Errno::BUSY) if attempts < ATTEMPTS => {}
            sealed => return Ok(sealed?),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[test]
    fn an_image_runs_and_cannot_be_written() {
        let image = Image::copy_of(Path::new("/bin/echo")).unwrap();
        let output = std::process::Command::new(image.path()).arg("hello").output().unwrap();
        assert_eq!(output.stdout, b"hello\n");
        let mut file = File::from(image.file.try_clone().unwrap());
        assert!(file.write_all(b"#!/bin/sh").is_err());
        assert!(file.set_len(0).is_err());
        let reopened = File::options().write(true).open(image.path());
        assert!(reopened.and_then(|mut file| file.write_all(b"#!/bin/sh")).is_err());
    }

    #[test]
    fn sealed_bytes_are_read_from_their_beginning() {
        let mut file = sealed_bytes(b"secret").unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "secret");
        assert!(file.write_all(b"other").is_err());
    }
}
