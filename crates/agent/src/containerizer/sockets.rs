//! Which process holds a socket.
//!
//! Seen by root, and by a user for processes of the same user; what cannot be seen is not held.

use std::io;

use launch::tree::{self, Process};
use rustix::process::Pid;

/// Whether `first` or a process beneath it holds the socket with this inode.
pub(super) fn held(first: Process, inode: u64) -> io::Result<bool> {
    let wanted = format!("socket:[{inode}]");
    let beneath = tree::descendants(first.pid)?;
    let held =
        holds(first.pid, &wanted) || beneath.iter().any(|process| holds(process.pid, &wanted));
    // Looked at afterwards: if it is there now, its number was nobody else's meanwhile.
    let still = Process::read(first.pid)?.is_some_and(|now| now.started == first.started);
    Ok(held && still)
}

/// A process that is gone, or is not ours to look at, holds nothing.
fn holds(pid: Pid, wanted: &str) -> bool {
    let directory = format!("/proc/{}/fd", pid.as_raw_nonzero());
    let Ok(descriptors) = std::fs::read_dir(directory) else { return false };
    descriptors.flatten().any(|descriptor| {
        std::fs::read_link(descriptor.path()).is_ok_and(|target| target.as_os_str() == wanted)
    })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd as _;

    use super::*;

    fn inode(descriptor: i32) -> u64 {
        let link = std::fs::read_link(format!("/proc/self/fd/{descriptor}")).unwrap();
        let text = link.to_str().unwrap();
        text.trim_start_matches("socket:[").trim_end_matches(']').parse().unwrap()
    }

    #[test]
    fn authn_a_socket_is_held_by_the_process_that_has_it_and_by_no_other() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let process = |pid| Process::read(pid).unwrap().unwrap();
        let own = process(rustix::process::getpid());
        assert!(held(own, inode(stream.as_raw_fd())).unwrap());
        assert!(held(own, inode(listener.as_raw_fd())).unwrap());
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let other = process(Pid::from_child(&child));
        assert!(!held(other, inode(stream.as_raw_fd())).unwrap());
        child.kill().unwrap();
        child.wait().unwrap();
        // Another process that had this number.
        let earlier = Process { started: own.started - 1, ..own };
        assert!(!held(earlier, inode(stream.as_raw_fd())).unwrap());
        let gone = inode(stream.as_raw_fd());
        drop(stream);
        assert!(!held(own, gone).unwrap());
    }
}
