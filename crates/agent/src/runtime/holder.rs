//! Which container the other end of a connection belongs to: how executors without a token are
//! told apart (rows B4 and A1).
//!
//! A connection of this machine has two sockets. The kernel lists both; the one that is not ours
//! has an inode, and a process of the container holds it. Whoever cannot be seen to be in the
//! container is not: an executor in another network namespace, behind a proxy, or of a user whose
//! processes the agent may not look at needs a token.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use libprocess::sender::ConnectionId;
use model::id::ContainerId;
use tokio::sync::Semaphore;

use crate::containerizer::Containerizer;

/// How many questions are asked at once: each reads a part of `/proc`.
const AT_ONCE: usize = 2;
/// How many may wait for their turn. Beyond that nobody is seen: strangers can ask as often as
/// they like, and must not hold up those who belong here for long.
const WAITING: usize = 64;
/// How many answers are remembered.
const REMEMBERED: usize = 4096;
/// How long it is remembered that nobody was seen.
const UNSEEN_FOR: Duration = Duration::from_secs(1);

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Holders {
    /// `None` in tests without sockets: each container then holds every connection.
    containerizer: Option<Arc<dyn Containerizer>>,
    /// The port that this agent really listens on.
    port: u16,
    turns: Semaphore,
    waiting: AtomicUsize,
    known: Mutex<BTreeMap<ConnectionId, Known>>,
}

/// What was found out about a connection.
#[derive(Debug)]
enum Known {
    /// This container holds it. A socket does not change its number.
    Held(ContainerId),
    /// At this moment this container did not.
    Unseen(ContainerId, Instant),
}

impl Holders {
    pub(crate) fn new(containerizer: Arc<dyn Containerizer>, port: u16) -> Self {
        Self::of(Some(containerizer), port)
    }

    /// Each container holds every connection.
    #[cfg(test)]
    pub(crate) fn of_everything() -> Self {
        Self::of(None, 0)
    }

    fn of(containerizer: Option<Arc<dyn Containerizer>>, port: u16) -> Self {
        Self {
            containerizer,
            port,
            turns: Semaphore::new(AT_ONCE),
            waiting: AtomicUsize::new(0),
            known: Mutex::default(),
        }
    }

    /// Whether a process of `container` holds the other end of the connection from `remote`.
    pub(crate) async fn holds(
        &self,
        container: &ContainerId,
        connection: ConnectionId,
        remote: SocketAddr,
    ) -> bool {
        match self.known().get(&connection) {
            Some(Known::Held(holder)) => return holder == container,
            Some(Known::Unseen(of, at)) if of == container && at.elapsed() < UNSEEN_FOR => {
                return false;
            }
            _ => {}
        }
        let port = self.port;
        // The kernel lets two sockets have the same local port if they lead to different addresses
        // of ours: whoever has one of them must not be taken for the holder of the other, so that
        // all that could be meant have to be the container's.
        let held = self.all(container, move |socket: &Socket| {
            !matches!(socket.state, LISTEN | TIME_WAIT)
                && socket.local == canonical(remote)
                && socket.remote.port() == port
        });
        let held = held.await;
        let mut known = self.known();
        let found = if held {
            Known::Held(container.clone())
        } else {
            Known::Unseen(container.clone(), Instant::now())
        };
        known.insert(connection, found);
        // The smallest number is the oldest connection.
        if known.len() > REMEMBERED {
            known.pop_first();
        }
        held
    }

    /// Whether processes of `container`, and only they, listen at `address`.
    pub(crate) async fn listens(&self, container: &ContainerId, address: SocketAddrV4) -> bool {
        self.all(container, move |socket: &Socket| {
            let ip = socket.local.ip();
            socket.state == LISTEN
                && socket.local.port() == address.port()
                && (ip.is_unspecified() || ip == IpAddr::V4(*address.ip()))
        })
        .await
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<ConnectionId, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there are such sockets, and the container holds all of them. One that nobody holds,
    /// since its process has closed it, is not the container's.
    async fn all(
        &self,
        container: &ContainerId,
        wanted: impl Fn(&Socket) -> bool + Send + 'static,
    ) -> bool {
        let Some(containerizer) = &self.containerizer else { return cfg!(test) };
        let Some(_waiting) = Waiting::begin(&self.waiting) else {
            tracing::warn!(%container, "too many connections wait to be looked up");
            return false;
        };
        // It is never closed.
        let Ok(_turn) = self.turns.acquire().await else { return false };
        let found = tokio::task::spawn_blocking(move || -> io::Result<Vec<u64>> {
            let sockets = sockets()?.into_iter().filter(|socket| wanted(socket));
            Ok(sockets.map(|socket| socket.inode).collect())
        });
        let inodes = match found.await {
            Ok(Ok(inodes)) => inodes,
            Ok(Err(error)) => {
                tracing::warn!(%error, "cannot see who is at the other end of a connection");
                return false;
            }
            Err(error) => {
                tracing::error!(%error, "looking for the other end of a connection failed");
                return false;
            }
        };
        for inode in &inodes {
            if *inode == 0 || !containerizer.holds_socket(container, *inode).await {
                return false;
            }
        }
        !inodes.is_empty()
    }
}

/// A place among those who wait.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Option<Self> {
        let place = Self(count);
        (count.fetch_add(1, Ordering::Relaxed) < WAITING).then_some(place)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// `TCP_LISTEN` of the kernel.
const LISTEN: u8 = 0x0a;
/// `TCP_TIME_WAIT`: over; nothing comes from it any more.
const TIME_WAIT: u8 = 0x06;

/// A line of the kernel's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Socket {
    local: SocketAddr,
    remote: SocketAddr,
    state: u8,
    inode: u64,
}

/// All TCP sockets of this network namespace.
fn sockets() -> io::Result<Vec<Socket>> {
    let mut all: Vec<Socket> =
        std::fs::read_to_string("/proc/net/tcp")?.lines().filter_map(parse).collect();
    match std::fs::read_to_string("/proc/net/tcp6") {
        Ok(text) => all.extend(text.lines().filter_map(parse)),
        // A machine without IPv6.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(all)
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// `sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode …`; the first line,
/// with the names, is none.
fn parse(line: &str) -> Option<Socket> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let local = address(fields.next()?)?;
    let remote = address(fields.next()?)?;
    let state = u8::from_str_radix(fields.next()?, 16).ok()?;
    let inode = fields.nth(5)?.parse().ok()?;
    Some(Socket { local, remote, state, inode })
}

/// The address in hexadecimal, each 32 bits of it in the machine's byte order, and the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |index: usize| {
        let digits = ip.get(index * 8..index * 8 + 8)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (index, part) in bytes.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(index)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod authn_holder {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn lines_of_the_kernel_are_read() {
        let head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   \
                    uid  timeout inode";
        assert_eq!(parse(head), None);
        if cfg!(target_endian = "little") {
            let line = "   1: 0200007F:13BB 0100007F:B3A4 01 00000000:00000000 00:00000000 \
                        00000000  1000        0 4711 1 0000000000000000 20 4 30 10 -1";
            let socket = parse(line).unwrap();
            assert_eq!(socket.local, "127.0.0.2:5051".parse().unwrap());
            assert_eq!(socket.remote, "127.0.0.1:45988".parse().unwrap());
            assert_eq!((socket.state, socket.inode), (1, 4711));
            let mapped = address("0000000000000000FFFF00000100007F:0050").unwrap();
            assert_eq!(mapped, "127.0.0.1:80".parse().unwrap());
        }
        for broken in ["", "0100007F", "0100007F:", "01000:0050", "x100007F:0050"] {
            assert_eq!(address(broken), None, "{broken}");
        }
    }

    #[test]
    fn both_ends_of_a_connection_and_its_listener_are_listed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let client = TcpStream::connect(at).unwrap();
        let (server, from) = listener.accept().unwrap();
        let all = sockets().unwrap();
        let one = |wanted: &dyn Fn(&&Socket) -> bool| all.iter().find(wanted).unwrap().inode;
        let ours = one(&|s| s.local == from && s.remote == at);
        let theirs = one(&|s| s.local == at && s.remote == from);
        let listening = one(&|s| s.local == at && s.state == LISTEN);
        assert!(ours != theirs && theirs != listening && ours != 0);
        drop((client, server));
    }
}
