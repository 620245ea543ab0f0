//! Closing what was inherited by accident.
#![expect(unsafe_code, reason = "marking descriptors that nobody in this process owns")]

use std::io;
use std::os::fd::{BorrowedFd, RawFd};

use rustix::io::{FdFlags, fcntl_setfd};

/// Marks every descriptor above standard error to be closed when this process becomes another
/// program, whoever opened it: what a careless ancestor left open is not given to a container.
///
/// Only for the start of a process, before it opens anything and before it has other threads.
pub(super) fn close_all_at_exec() -> io::Result<()> {
    let mut open = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        open.extend(name.to_str().and_then(|name| name.parse::<RawFd>().ok()));
    }
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > 2) {
        // SAFETY: the number was in the list of this process's open descriptors, no other
        // thread runs that could close it, and the borrow ends with this statement. The one
        // number that is stale is that of the list itself, which is closed by now; it may be
        // answered with EBADF, and nothing else was opened since.
        let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) };
        match fcntl_setfd(descriptor, FdFlags::CLOEXEC) {
            Ok(()) | Err(rustix::io::Errno::BADF) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
